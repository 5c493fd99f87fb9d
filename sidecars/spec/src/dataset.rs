//! What must be true of one dataset.

use crate::validate::Report;
use crate::{
    AccessPoint, AccessPointType, EncryptionMode, EncryptionSecrets, PrivacyProxySettings,
    ProtocolType, ProxyMode, ProxyType, Resource, ResourceType, Specification,
};

/// Longest name of a key or secret in a vault.
const MAX_VAULT_NAME: usize = 127;

impl Report {
    pub(crate) fn access_point(
        &mut self,
        spec: &Specification,
        list: &str,
        kind: AccessPointType,
        point: &AccessPoint,
    ) {
        let path = format!("{list}[{}]", point.name);
        self.name(&format!("{path}.name"), &point.name);
        if point.kind != kind {
            self.add(
                "CR-SPEC-0026",
                format!("{path}.type"),
                "sources are read-only, sinks read-write",
            );
        }
        if !point.path.is_empty() {
            self.add(
                "CR-SPEC-0039",
                format!("{path}.path"),
                "must be empty: a dataset is a whole container",
            );
        }
        self.store(&path, point);
        self.known_identity(spec, format!("{path}.identity"), &point.identity);
        let configuration = point.protection.configuration();
        if let Ok(read) = &configuration {
            self.s3_protection(&path, point, read);
        }
        match configuration {
            Err(error) => self.add(
                "CR-SPEC-0005",
                format!("{path}.protection.configuration"),
                error.to_string(),
            ),
            Ok(read) if read.manifest_hmac.is_some() && kind == AccessPointType::ReadWrite => self
                .add(
                    "CR-SPEC-0005",
                    format!("{path}.protection.configuration"),
                    "manifestHmac pins what a source holds; a sink holds nothing yet",
                ),
            Ok(read) if read.encryption_mode == EncryptionMode::Sse => {
                return self.no_keys(&path, &point.protection);
            }
            Ok(_) => {}
        }
        match &point.protection.encryption_secrets {
            None => self.add(
                "CR-SPEC-0027",
                format!("{path}.protection.encryptionSecrets"),
                "missing",
            ),
            Some(secrets) => {
                self.keys(&format!("{path}.protection.encryptionSecrets"), secrets);
            }
        }
        let place = format!("{path}.protection.encryptionSecretAccessIdentity");
        match &point.protection.encryption_secret_access_identity {
            None => self.add("CR-SPEC-0027", place, "missing"),
            Some(identity) => self.known_identity(spec, place, identity),
        }
    }

    /// The service encrypts with a key of its own: a key in the contract would be released and protect nothing.
    fn no_keys(&mut self, path: &str, protection: &PrivacyProxySettings) {
        for (member, given) in [
            ("encryptionSecrets", protection.encryption_secrets.is_some()),
            (
                "encryptionSecretAccessIdentity",
                protection.encryption_secret_access_identity.is_some(),
            ),
        ] {
            if given {
                self.add(
                    "CR-SPEC-0043",
                    format!("{path}.protection.{member}"),
                    "EncryptionMode SSE uses no key of the contract",
                );
            }
        }
    }

    /// The store is blob storage or S3-compatible, and the proxy is the one for it.
    fn store(&mut self, path: &str, point: &AccessPoint) {
        let store = &point.store;
        self.url(format!("{path}.store.provider.url"), &store.provider.url);
        let (protocol, proxy) = match (store.kind, point.kind) {
            (ResourceType::AwsS3, AccessPointType::ReadOnly) => {
                (ProtocolType::AwsS3, ProxyType::ReadOnlyS3)
            }
            (ResourceType::AwsS3, AccessPointType::ReadWrite) => {
                (ProtocolType::AwsS3, ProxyType::ReadWriteS3)
            }
            (_, AccessPointType::ReadOnly) => (
                ProtocolType::AzureBlobStorage,
                ProxyType::ReadOnlyBlobStorage,
            ),
            (_, AccessPointType::ReadWrite) => (
                ProtocolType::AzureBlobStorage,
                ProxyType::ReadWriteBlobStorage,
            ),
        };
        let fits = [ResourceType::AzureBlobStorage, ResourceType::AwsS3].contains(&store.kind)
            && store.provider.protocol == protocol
            && point.protection.proxy_type == proxy
            && point.protection.proxy_mode == ProxyMode::Secure;
        if !fits {
            self.add(
                "CR-SPEC-0041",
                format!("{path}.store"),
                "neither blob storage nor S3 behind the secure proxy of the dataset's type",
            );
        }
        match store.kind {
            ResourceType::AwsS3 => self.s3_store(path, store),
            _ => self.container(path, store),
        }
    }

    fn container(&mut self, path: &str, store: &Resource) {
        let container = store.name.as_str();
        let plain = (3..=63).contains(&container.len())
            && container
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !plain {
            self.add(
                "CR-SPEC-0040",
                format!("{path}.store.name"),
                format!("{container:?} is no name of a container"),
            );
        }
    }

    fn keys(&mut self, path: &str, secrets: &EncryptionSecrets) {
        for (member, secret) in [("dek", &secrets.dek), ("kek", &secrets.kek)] {
            let resource = &secret.secret.backing_resource;
            self.url(format!("{path}.{member}"), &resource.provider.url);
            let plain = (1..=MAX_VAULT_NAME).contains(&resource.name.len())
                && resource
                    .name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !plain || secret.name != resource.name {
                self.add(
                    "CR-SPEC-0042",
                    format!("{path}.{member}"),
                    format!(
                        "{:?} is no name of a key or secret in a vault, or has two names",
                        resource.name
                    ),
                );
            }
        }
        let place = format!("{path}.kek.configuration");
        match secrets.kek.key_release() {
            Ok(release) => self.url(place, &release.authority),
            Err(error) => self.add("CR-SPEC-0005", place, error.to_string()),
        }
    }
}
