use std::path::PathBuf;

use cleanroom_spec::{
    AccessPoint, AccessPointType, CleanroomSecret, EncryptionMode, EncryptionSecret,
    EncryptionSecrets, Format, Identity, PrivacyProxySettings, ProtectionConfiguration,
    ProtocolType, ProxyMode, ProxyType, Resource, ResourceType, S3Access, SecretType,
    ServiceEndpoint,
};

use super::pin::{PinArgs, Pinned};
use super::{change, identity_of};
use crate::CliError;
use crate::stores::{
    self, DataStore, DataStores, SecretStore, SecretStores, SupportedSecret, default_kek_name,
    wrapped_name,
};

/// A dataset for the fragment.
#[derive(clap::Args, Debug)]
pub struct DatasetArgs {
    /// The fragment.
    #[arg(long)]
    cleanroom_config: PathBuf,
    /// Your datastore.
    #[arg(long)]
    datastore_name: String,
    /// File that lists your datastores.
    #[arg(long, env = "CLEANROOM_DATASTORE_CONFIG_FILE")]
    datastore_config: PathBuf,
    /// Access name: the directory below `/mnt/remote`; the datastore's name by default.
    #[arg(long, alias = "access-name")]
    name: Option<String>,
    /// Layout of the files of a client-side encrypted datastore: `v2` (by default), `cse-v1`, `cse-v1-4m`,
    /// `azure-cse-2.1` or `azure-cse-2.1-sealed`. The room reads and writes this one and no other.
    #[arg(long)]
    format: Option<Format>,
    #[command(flatten)]
    pin: PinArgs,
    #[command(flatten)]
    keys: KeyArgs,
}

/// Who reaches a dataset and where its keys are.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct KeyArgs {
    /// Identity that may reach storage and vaults.
    #[arg(long)]
    pub(super) identity: String,
    /// File that lists your secret stores.
    #[arg(long, env = "CLEANROOM_SECRETSTORE_CONFIG_FILE")]
    pub(super) secretstore_config: PathBuf,
    /// Store for the wrapped data key; none for data that the storage service encrypts with its own key (SSE).
    #[arg(long)]
    pub(super) dek_secret_store: Option<String>,
    /// Store for the key that wraps it; none under SSE.
    #[arg(long)]
    pub(super) kek_secret_store: Option<String>,
    /// Name of that key; made from the access name by default.
    #[arg(long)]
    pub(super) kek_name: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Source,
    Sink,
}

pub(super) fn run(args: &DatasetArgs, kind: Kind) -> Result<(), CliError> {
    let stores: DataStores = stores::read(&args.datastore_config)?;
    let store = stores.find(&args.datastore_name)?;
    let access_name = args.name.as_deref().unwrap_or(&store.name);
    let pinned = args.pin.of(kind, store)?;
    change(&args.cleanroom_config, |spec| {
        let identity = identity_of(spec, &args.keys.identity)?;
        let mut point = access_point(access_name, kind, store, args.format, identity, &args.keys)?;
        if let Some(Pinned::To(root)) = pinned {
            let mut configuration = point.protection.configuration()?;
            configuration.manifest_hmac = Some(root.to_string());
            point.protection.configuration = configuration.to_text()?;
        }
        spec.put_access_point(point);
        Ok(())
    })?;
    if let Some(pinned) = pinned {
        say(access_name, pinned);
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a word to the person at the terminal")]
fn say(access_name: &str, pinned: Pinned) {
    eprintln!("{access_name}: {pinned}");
}

/// The access point of a datastore.
pub(super) fn access_point(
    access_name: &str,
    kind: Kind,
    store: &DataStore,
    format: Option<Format>,
    identity: Identity,
    keys: &KeyArgs,
) -> Result<AccessPoint, CliError> {
    let configuration = configuration(store.encryption_mode, agreed(store, format)?)?;
    let secrets = match store.encryption_mode {
        EncryptionMode::Sse => keys.none().map(|()| None)?,
        _ => Some(keys.secrets(access_name, store)?),
    };
    let s3 = store.s3()?;
    let access = match kind {
        Kind::Source => AccessPointType::ReadOnly,
        Kind::Sink => AccessPointType::ReadWrite,
    };
    let proxy_type = match (kind, s3) {
        (Kind::Source, None) => ProxyType::ReadOnlyBlobStorage,
        (Kind::Sink, None) => ProxyType::ReadWriteBlobStorage,
        (Kind::Source, Some(_)) => ProxyType::ReadOnlyS3,
        (Kind::Sink, Some(_)) => ProxyType::ReadWriteS3,
    };
    Ok(AccessPoint {
        name: access_name.to_owned(),
        kind: access,
        path: String::new(),
        store: resource(store, s3)?,
        identity: identity.clone(),
        protection: PrivacyProxySettings {
            proxy_type,
            proxy_mode: ProxyMode::Secure,
            privacy_policy: None,
            configuration: configuration.to_text()?,
            encryption_secret_access_identity: secrets.as_ref().map(|_| identity),
            encryption_secrets: secrets,
        },
    })
}

/// Where the dataset lies.
fn resource(store: &DataStore, s3: Option<&S3Access>) -> Result<Resource, CliError> {
    let (kind, protocol, configuration) = match s3 {
        None => (
            ResourceType::AzureBlobStorage,
            ProtocolType::AzureBlobStorage,
            String::new(),
        ),
        Some(access) => (ResourceType::AwsS3, ProtocolType::AwsS3, access.to_text()?),
    };
    Ok(Resource {
        name: store.store_name.clone(),
        kind,
        id: store.name.clone(),
        provider: ServiceEndpoint {
            protocol,
            url: store.store_provider_url.clone(),
            configuration,
        },
    })
}

/// The format that the datastore was made for, or the one that is asked for.
fn agreed(store: &DataStore, asked: Option<Format>) -> Result<Option<Format>, CliError> {
    match (store.format, asked) {
        (Some(recorded), Some(asked)) if recorded != asked => Err(CliError::Argument {
            argument: "--format",
            reason: format!(
                "datastore {:?} was made for {}",
                store.name,
                recorded.as_str()
            ),
        }),
        (_, Some(asked)) if store.s3.is_some() => crate::datastore::fits_s3(asked).map(Some),
        _ => Ok(asked.or(store.format)),
    }
}

fn configuration(
    mode: EncryptionMode,
    format: Option<Format>,
) -> Result<ProtectionConfiguration, CliError> {
    let mut configuration = ProtectionConfiguration::new(mode);
    match (mode, format) {
        (_, None) => {}
        (EncryptionMode::Cse, Some(_)) => configuration.format = format,
        (_, Some(_)) => {
            return Err(CliError::Argument {
                argument: "--format",
                reason: "for client-side encrypted datastores (CSE) only".to_owned(),
            });
        }
    }
    Ok(configuration)
}

impl KeyArgs {
    /// Nothing that names a key.
    fn none(&self) -> Result<(), CliError> {
        for (argument, given) in [
            ("--dek-secret-store", &self.dek_secret_store),
            ("--kek-secret-store", &self.kek_secret_store),
            ("--kek-name", &self.kek_name),
        ] {
            if given.is_some() {
                return Err(CliError::Argument {
                    argument,
                    reason: "under SSE the storage service encrypts with its own key".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The keys of a datastore, and where they will be.
    fn secrets(&self, access_name: &str, store: &DataStore) -> Result<EncryptionSecrets, CliError> {
        let secret_stores: SecretStores = stores::read(&self.secretstore_config)?;
        let find = |argument, name: &Option<String>| match name {
            Some(name) => secret_stores.find(name),
            None => Err(CliError::Argument {
                argument,
                reason: "missing".to_owned(),
            }),
        };
        let dek_store = find("--dek-secret-store", &self.dek_secret_store)?
            .must_hold(SupportedSecret::Secret)?;
        let kek_store =
            find("--kek-secret-store", &self.kek_secret_store)?.must_hold(SupportedSecret::Key)?;
        let kek_name = self
            .kek_name
            .clone()
            .unwrap_or_else(|| default_kek_name(access_name));
        let dek_name = wrapped_name(&store.name, &kek_name);
        let azure = matches!(store.layout(), Format::AzureCse | Format::AzureCseSealed);
        if azure && dek_name != store.key_id() {
            return Err(CliError::Argument {
                argument: "--kek-name",
                reason: format!(
                    "the wrapped key would be called {dek_name:?}, and the files of datastore {:?} call it {:?}",
                    store.name,
                    store.key_id()
                ),
            });
        }
        Ok(EncryptionSecrets {
            dek: secret(&dek_name, dek_store, ProtocolType::AzureKeyVaultSecret),
            kek: secret(&kek_name, kek_store, ProtocolType::AzureKeyVaultSecureKey),
        })
    }
}

fn secret(name: &str, store: &SecretStore, protocol: ProtocolType) -> EncryptionSecret {
    EncryptionSecret {
        name: name.to_owned(),
        secret: CleanroomSecret {
            secret_type: SecretType::Key,
            backing_resource: Resource {
                name: name.to_owned(),
                kind: ResourceType::AzureKeyVault,
                id: store.name.clone(),
                provider: ServiceEndpoint {
                    protocol,
                    url: store.store_provider_url.clone(),
                    configuration: store.configuration.clone(),
                },
            },
        },
    }
}
