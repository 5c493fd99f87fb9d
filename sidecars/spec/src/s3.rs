//! Datasets in S3-compatible object storage.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::validate::Report;
use crate::{
    AccessPoint, EncryptionMode, Format, ProtectionConfiguration, Resource, SpecError,
    configuration,
};

/// Longest sealed access key, bytes of text; a session token has about 1 KiB.
const LONGEST_KEY: usize = 16 << 10;
/// Nonce and tag of a sealed access key, bytes.
const SEAL: usize = 12 + 16;
/// Longest prefix, bytes: names below it may have 1024.
const LONGEST_PREFIX: usize = 256;

/// The content of `store.provider.configuration` of an S3-compatible store. The endpoint is the provider's `url`, the bucket
/// the store's `name`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct S3Access {
    /// Region, as signatures name it.
    pub region: String,
    /// Folder inside the bucket that is the dataset, without a slash at either end; empty for the whole bucket.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// The access key for the bucket, sealed under the dataset's key for this endpoint, bucket and region.
    pub sealed_access_key: String,
}

impl S3Access {
    /// The JSON text that goes into the specification.
    ///
    /// # Errors
    /// None in practice: every member is serialisable.
    pub fn to_text(&self) -> Result<String, SpecError> {
        serde_json::to_string(self).map_err(|error| SpecError::Configuration {
            reason: error.to_string(),
        })
    }

    /// What of it no shim could use, if anything.
    pub fn problem(&self) -> Option<String> {
        if !is_region(&self.region) {
            return Some(format!("{:?} is no name of a region", self.region));
        }
        if !is_prefix(&self.prefix) {
            return Some(format!("{:?} is no folder in a bucket", self.prefix));
        }
        let text = self.sealed_access_key.as_str();
        let sealed = (text.len() <= LONGEST_KEY).then(|| STANDARD.decode(text));
        match sealed {
            Some(Ok(bytes)) if bytes.len() > SEAL => None,
            _ => Some("sealedAccessKey is no sealed access key".to_owned()),
        }
    }
}

/// Whether a text can be the name of a bucket.
pub fn is_bucket(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let outer = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| inner(*b))
        && outer(bytes.first())
        && outer(bytes.last())
        && !name.contains("..")
}

/// Whether a text can be the name of a region.
pub fn is_region(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(plain) && !is_flag(name)
}

/// Whether a text is empty or names a folder inside a bucket, that can be a dataset.
pub fn is_prefix(prefix: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    // A folder of the dataset's own, such as the one for staged blocks, is none for a dataset.
    let part =
        |part: &str| !matches!(part, "" | "." | ".." | ".cleanroom") && part.bytes().all(plain);
    let whole = prefix.len() <= LONGEST_PREFIX && prefix.split('/').all(part);
    prefix.is_empty() || (whole && !is_flag(prefix))
}

/// Both become arguments of a shim.
fn is_flag(text: &str) -> bool {
    text.starts_with('-')
}

impl Resource {
    /// Reads the provider's `configuration` of an S3-compatible store.
    ///
    /// # Errors
    /// [`SpecError::Configuration`]: JSON in none of its encodings, an unknown member, or a value that no shim could use.
    pub fn s3_access(&self) -> Result<S3Access, SpecError> {
        let refused = |reason: String| SpecError::Configuration { reason };
        let json = configuration::json(&self.provider.configuration)?;
        let read: S3Access =
            serde_json::from_str(&json).map_err(|error| refused(error.to_string()))?;
        match read.problem() {
            Some(problem) => Err(refused(problem)),
            None => Ok(read),
        }
    }
}

impl Report {
    /// An S3-compatible store: bucket and access are usable.
    pub(crate) fn s3_store(&mut self, path: &str, store: &Resource) {
        if !is_bucket(&store.name) {
            self.add(
                "CR-SPEC-0040",
                format!("{path}.store.name"),
                format!("{:?} is no name of a bucket", store.name),
            );
        }
        if let Err(error) = store.s3_access() {
            self.add(
                "CR-SPEC-0044",
                format!("{path}.store.provider.configuration"),
                error.to_string(),
            );
        }
    }

    /// The service has no keys of ours and no metadata: files are sealed before they get there, in a format that needs none.
    pub(crate) fn s3_protection(
        &mut self,
        path: &str,
        point: &AccessPoint,
        read: &ProtectionConfiguration,
    ) {
        if point.store.kind == crate::ResourceType::AwsS3 && !fits_s3(read) {
            self.add(
                "CR-SPEC-0045",
                format!("{path}.protection.configuration"),
                "S3-compatible storage takes EncryptionMode CSE, in the formats v2, cse-v1 and cse-v1-4m",
            );
        }
    }
}

/// Whether a dataset can lie in an S3-compatible store.
fn fits_s3(read: &ProtectionConfiguration) -> bool {
    let formats = [Format::V2, Format::CseV1, Format::CseV1Mib4];
    read.encryption_mode == EncryptionMode::Cse
        && read.format.is_some_and(|format| formats.contains(&format))
}
