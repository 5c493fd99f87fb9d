//! Datastores in S3-compatible storage: the bucket is there already, and the access key for it is kept sealed.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use blob_store::{AccessKey, BlobStore, S3Credentials};
use cleanroom_crypto::{Dek, Zeroizing};
use cleanroom_spec::{EncryptionMode, Format, S3Access, is_bucket, is_prefix, is_region};
use serde_json::json;
use url::Url;

use super::{Which, open};
use crate::credential::Azure;
use crate::stores::{DataStore, StoreType};
use crate::{CliError, deks};

/// Longest file with an access key, bytes.
const LONGEST: u64 = 8 << 10;
const ACCESS_KEY: &str = "--access-key";

/// Where in S3-compatible storage a dataset lies, and with which key.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct S3Args {
    /// Region of the bucket, as signatures name it; for Aws_S3.
    #[arg(long)]
    region: Option<String>,
    /// Folder inside the bucket that is the dataset; by default the whole bucket. For Aws_S3.
    #[arg(long)]
    prefix: Option<String>,
    /// File with the access key for the bucket, `-` for standard input: a JSON object of `accessKeyId`, `secretAccessKey`
    /// and, for a temporary key, `sessionToken`. It is kept sealed under the data key. For Aws_S3.
    #[arg(long, value_name = "FILE")]
    access_key: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
pub(crate) struct SealArgs {
    #[command(flatten)]
    which: Which,
    /// File with the access key, `-` for standard input; as in `datastore add`.
    #[arg(long, value_name = "FILE")]
    access_key: PathBuf,
}

/// A dataset's place in S3-compatible storage.
pub(super) struct Place<'a> {
    region: &'a str,
    prefix: &'a str,
    access_key: &'a Path,
}

impl S3Args {
    /// The place of a new datastore; none for one that does not lie in S3-compatible storage.
    pub(super) fn place(&self, store: &DataStore) -> Result<Option<Place<'_>>, CliError> {
        let refused = |argument, reason: &str| {
            Err(CliError::Argument {
                argument,
                reason: reason.to_owned(),
            })
        };
        if store.store_type != StoreType::AwsS3 {
            return match self {
                Self {
                    region: None,
                    prefix: None,
                    access_key: None,
                } => Ok(None),
                _ => refused(
                    "--backingstore-type",
                    "--region, --prefix and --access-key are for Aws_S3",
                ),
            };
        }
        if store.encryption_mode != EncryptionMode::Cse {
            return refused(
                "--encryption-mode",
                "the service of a bucket takes no keys of ours: CSE only",
            );
        }
        fits_s3(store.layout())?;
        if !is_bucket(&store.store_name) {
            return refused("--container-name", "is no name of a bucket");
        }
        let region = self.region.as_deref().unwrap_or_default();
        if !is_region(region) {
            return refused("--region", "a bucket has one: a-z, 0-9 and -");
        }
        let prefix = self.prefix.as_deref().unwrap_or_default();
        if !is_prefix(prefix) {
            return refused(
                "--prefix",
                "is no folder in a bucket: parts of A-Z, a-z, 0-9, -, _ and . with / between them",
            );
        }
        let Some(access_key) = &self.access_key else {
            return refused(ACCESS_KEY, "a room needs one to reach a bucket");
        };
        Ok(Some(Place {
            region,
            prefix,
            access_key,
        }))
    }
}

impl Place<'_> {
    /// Whether a datastore lies in the place of a new one, or around it.
    pub(super) fn overlaps(&self, other: &DataStore, new: &DataStore) -> bool {
        other.overlaps(new, self.prefix)
    }

    /// Reads the access key, and sees that it opens the bucket.
    pub(super) async fn try_access_key(
        &self,
        store: &DataStore,
        azure: &Azure,
    ) -> Result<AccessKey, CliError> {
        let access = read(self.access_key)?;
        let secret = Zeroizing::new(access.secret_access_key.clone());
        let session = access.session_token.clone().map(Zeroizing::new);
        let credentials = S3Credentials::new(&access.access_key_id, &secret, session.as_ref());
        let place = (self.region, self.prefix);
        let bucket = open::bucket(store, place, credentials, azure)?;
        bucket.list("", true, None).await?;
        Ok(access)
    }

    /// The access key as list, contract and room have it.
    pub(super) fn seal(&self, store: &DataStore, access: &AccessKey) -> Result<S3Access, CliError> {
        let dek = deks::load(store)?;
        let endpoint = endpoint(store)?;
        let place = (&endpoint, store.store_name.as_str(), self.region);
        Ok(S3Access {
            region: self.region.to_owned(),
            prefix: self.prefix.to_owned(),
            sealed_access_key: S3Credentials::seal(access, &dek, place)?,
        })
    }
}

/// The owner's own use of the access key that a datastore keeps.
pub(super) fn credentials(
    store: &DataStore,
    access: &S3Access,
    dek: &Dek,
) -> Result<S3Credentials, CliError> {
    let endpoint = endpoint(store)?;
    let place = (&endpoint, store.store_name.as_str(), access.region.as_str());
    Ok(S3Credentials::open(&access.sealed_access_key, dek, place)?)
}

/// `datastore seal-access-key`: the key that takes the place of the one before it.
pub(super) async fn seal_again(args: &SealArgs, azure: &Azure) -> Result<(), CliError> {
    let store = args.which.store()?;
    let Some(before) = store.s3()? else {
        return Err(CliError::Argument {
            argument: "--name",
            reason: format!("{:?} does not lie in S3-compatible storage", store.name),
        });
    };
    let place = Place {
        region: &before.region,
        prefix: &before.prefix,
        access_key: &args.access_key,
    };
    let access = place.try_access_key(&store, azure).await?;
    let sealed = place.seal(&store, &access)?;
    args.which
        .note(&store.name, |store| store.s3 = Some(sealed))?;
    say_old(&store);
    crate::print(&json!({
        "datastore": store.name,
        "endpoint": store.store_provider_url,
        "bucket": store.store_name,
    }))
}

#[expect(
    clippy::print_stderr,
    reason = "a warning to the person at the terminal"
)]
fn say_old(store: &DataStore) {
    eprintln!(
        "{}: contracts that are signed already have the access key before this one: keep it valid as long as their rooms \
         run. A new contract takes this one after `config add-datasource` or `add-datasink`",
        store.name
    );
}

/// A format of files that need no metadata beside them.
pub(crate) fn fits_s3(format: Format) -> Result<Format, CliError> {
    match format {
        Format::V2 | Format::CseV1 | Format::CseV1Mib4 => Ok(format),
        Format::AzureCse | Format::AzureCseSealed => Err(CliError::Argument {
            argument: "--format",
            reason: "needs metadata beside each file, which buckets do not keep for us".to_owned(),
        }),
    }
}

pub(super) fn endpoint(store: &DataStore) -> Result<Url, CliError> {
    Url::parse(&store.store_provider_url).map_err(|error| CliError::Argument {
        argument: "storeProviderUrl",
        reason: error.to_string(),
    })
}

/// Reads an access key; what is wrong with it is said without a word of it.
fn read(path: &Path) -> Result<AccessKey, CliError> {
    let failed = |error| CliError::io(path.display().to_string(), error);
    let file = match path == Path::new("-") {
        true => std::io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .map(File::from),
        false => File::open(path),
    };
    let capacity = usize::try_from(LONGEST).unwrap_or_default() + 64;
    // Large enough from the start: what is moved would leave a copy.
    let mut text = Zeroizing::new(Vec::with_capacity(capacity));
    let file = file.map_err(failed)?;
    let length = file.take(LONGEST + 1).read_to_end(&mut text);
    let length = length.map_err(failed)?;
    let read = serde_json::from_slice::<AccessKey>(&text).ok();
    match read.filter(|key| length as u64 <= LONGEST && is_usable(key)) {
        Some(key) => Ok(key),
        None => Err(CliError::Argument {
            argument: ACCESS_KEY,
            reason: "is no JSON object of accessKeyId, secretAccessKey and, for a temporary key, \
                     sessionToken, texts that are not empty"
                .to_owned(),
        }),
    }
}

fn is_usable(key: &AccessKey) -> bool {
    let clean = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    key.access_key_id
        .bytes()
        .all(|byte| byte.is_ascii_graphic())
        && clean(&key.access_key_id)
        && clean(&key.secret_access_key)
        && key.session_token.as_deref().is_none_or(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = r#"{"accessKeyId":"AKIA","secretAccessKey":"hush"}"#;

    fn read_text(text: &str) -> Result<AccessKey, CliError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn an_access_key_is_read_whole_or_refused_without_a_word_of_it() {
        assert_eq!(read_text(KEY).unwrap().access_key_id, "AKIA");
        let temporary = KEY.replace('}', r#","sessionToken":"t"}"#);
        assert!(read_text(&temporary).unwrap().session_token.is_some());
        for wrong in [
            "",
            "hush",
            r#""hush""#,
            r#"{"accessKeyId":"AKIA"}"#,
            &KEY.replace("AKIA", ""),
            &KEY.replace("AKIA", "A KIA"),
            &KEY.replace("hush", ""),
            &KEY.replace("hush", r"hush\n"),
            &KEY.replace(r#""hush""#, r#"["hush"]"#),
            &KEY.replace('}', r#","hush":"hush"}"#),
            &KEY.replace('}', r#","sessionToken":""}"#),
            &format!("{}{KEY}", " ".repeat(8 << 10)),
        ] {
            let error = read_text(wrong).err().unwrap();
            let said = sidecar_http::chain(&error);
            assert!(
                said.starts_with("--access-key: is no JSON object"),
                "{said}"
            );
            assert!(!said.contains("hush"), "{said}");
        }
        let gone = read(Path::new("/nothing/here"));
        assert!(matches!(gone, Err(CliError::Io { .. })));
    }
}
