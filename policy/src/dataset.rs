use cleanroom_spec::{
    AccessPoint, AccessPointType, EncryptionMode, Format, ResourceType, S3Access, VaultKind,
};
use serde_json::{Value, json};
use sidecar_http::services::{self, Service};
use url::{Position, Url};

use crate::PolicyError;

/// An access point with its user and everything its shim and its grant need, said once.
pub(crate) struct Dataset<'a> {
    pub(crate) point: &'a AccessPoint,
    pub(crate) service: Service,
    pub(crate) mode: EncryptionMode,
    pub(crate) format: Option<Format>,
    /// Keyed tree head of the manifest of a source.
    pub(crate) manifest_hmac: Option<String>,
    /// Of a dataset in S3-compatible storage.
    pub(crate) s3: Option<S3Access>,
    /// None where the storage service encrypts with a key of its own.
    pub(crate) key: Option<KeyAccess>,
}

/// What a shim asks for its key, and who holds it.
pub(crate) struct KeyAccess {
    /// `POST /secrets/unwrap` of the shim, and what the grant allows: the same value.
    pub(crate) unwrap: Value,
    pub(crate) vault_kind: VaultKind,
}

impl<'a> Dataset<'a> {
    pub(crate) fn of(index: usize, point: &'a AccessPoint) -> Result<Self, PolicyError> {
        let unsupported = |what: String| PolicyError::Unsupported {
            what: format!("{} (dataset {:?})", what, point.name),
        };
        let uid = services::shim_uid(index).ok_or(PolicyError::TooManyDatasets)?;
        let configuration = point.protection.configuration()?;
        if configuration.manifest_hmac.is_some() {
            // A sink holds nothing yet, and without a key there is none to check it with.
            if point.kind == AccessPointType::ReadWrite {
                return Err(unsupported("a pinned manifest of a sink".to_owned()));
            }
            if configuration.encryption_mode == EncryptionMode::Sse {
                return Err(unsupported("a pinned manifest without a key".to_owned()));
            }
        }
        if point.protection.privacy_policy.is_some() {
            return Err(unsupported("a privacy policy".to_owned()));
        }
        let s3 = match point.store.kind {
            ResourceType::AwsS3 => Some(point.store.s3_access()?),
            _ => None,
        };
        let dataset = Self {
            point,
            s3,
            service: services::shim(&point.name, uid),
            mode: configuration.encryption_mode,
            format: configuration.format,
            manifest_hmac: configuration.manifest_hmac,
            key: None,
        };
        if configuration.encryption_mode == EncryptionMode::Sse {
            return Ok(dataset);
        }
        let (Some(secrets), Some(access)) = (
            &point.protection.encryption_secrets,
            &point.protection.encryption_secret_access_identity,
        ) else {
            return Err(unsupported("a dataset without keys".to_owned()));
        };
        if access.client_id != point.identity.client_id
            || access.tenant_id != point.identity.tenant_id
        {
            return Err(unsupported(
                "one identity for storage and another for the vault".to_owned(),
            ));
        }
        let kek = &secrets.kek.secret.backing_resource;
        let dek = &secrets.dek.secret.backing_resource;
        let release = secrets.kek.key_release()?;
        let key = KeyAccess {
            unwrap: json!({
                "clientId": access.client_id,
                "tenantId": access.tenant_id,
                "kid": dek.name,
                "akvEndpoint": dek.provider.url,
                "kek": {"kid": kek.name, "akvEndpoint": kek.provider.url, "maaEndpoint": release.authority},
            }),
            vault_kind: release.vault_kind,
        };
        Ok(Self {
            key: Some(key),
            ..dataset
        })
    }

    /// Where a dataset in S3-compatible storage lies, and the sealed key to it, as its shim's arguments; else none.
    pub(crate) fn s3_arguments(&self) -> Vec<&str> {
        let Some(s3) = &self.s3 else {
            return Vec::new();
        };
        let store = &self.point.store;
        let mut arguments = vec![
            "--store",
            "s3",
            "--s3-endpoint",
            &store.provider.url,
            "--s3-region",
            &s3.region,
            "--container",
            &store.name,
            "--s3-credentials",
            &s3.sealed_access_key,
        ];
        if !s3.prefix.is_empty() {
            arguments.extend(["--sub-directory", &s3.prefix]);
        }
        arguments
    }

    /// Where a dataset in blob storage lies, as its shim's variables; else none.
    pub(crate) fn account(&self) -> Vec<(&'static str, String)> {
        if self.s3.is_some() {
            return Vec::new();
        }
        let store = &self.point.store;
        let url = Url::parse(&store.provider.url).ok();
        let host = url.as_ref().and_then(Url::host_str);
        let account = host.and_then(|host| host.split('.').next());
        vec![
            (
                "AZURE_STORAGE_ACCOUNT",
                account.unwrap_or_default().to_owned(),
            ),
            ("AZURE_STORAGE_ACCOUNT_CONTAINER", store.name.clone()),
            ("AZURE_STORAGE_BLOB_ENDPOINT", store.provider.url.clone()),
        ]
    }

    /// `https://host[:port]` of an endpoint of the request. More than that would be refused where the endpoint is used.
    pub(crate) fn origin(&self, key: &KeyAccess, pointer: &str) -> Result<String, PolicyError> {
        let text = key.text(pointer);
        let url = Url::parse(&text).ok();
        url.filter(|url| &url[Position::BeforePath..] == "/")
            .map(|url| url.origin().ascii_serialization())
            .ok_or_else(|| PolicyError::Unsupported {
                what: format!(
                    "the endpoint {text:?} with a path (dataset {:?})",
                    self.point.name
                ),
            })
    }
}

impl KeyAccess {
    /// A member of the request.
    pub(crate) fn text(&self, pointer: &str) -> String {
        let value = self.unwrap.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    }
}
