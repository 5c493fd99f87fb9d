use std::path::Path;
use std::sync::Arc;

use blob_store::{
    AzureConfig, AzureStore, BlobStore, CustomerKey, S3Config, S3Credentials, S3Store,
};
use cleanroom_crypto::Dek;
use cleanroom_spec::{EncryptionMode, Format};
use url::Url;

use super::s3;
use crate::credential::Azure;
use crate::stores::DataStore;
use crate::transfer::{Dataset, Folder, Journal, Layout, Place};
use crate::{CliError, deks};

/// A datastore in its container.
pub(crate) fn remote(store: &DataStore, azure: &Azure) -> Result<Arc<Dataset>, CliError> {
    let dek = Arc::new(deks::load(store)?);
    if let Some(access) = store.s3()? {
        let credentials = s3::credentials(store, access, &dek)?;
        let place = (access.region.as_str(), access.prefix.as_str());
        let bucket: Arc<dyn BlobStore> = Arc::new(bucket(store, place, credentials, azure)?);
        return dataset(store, dek, Place::Container(bucket));
    }
    let key = match store.encryption_mode {
        EncryptionMode::Cpk => Some(CustomerKey::new(&dek)),
        EncryptionMode::Cse | EncryptionMode::Sse => None,
    };
    let place = Place::Container(Arc::new(container(store, azure, key)?));
    dataset(store, dek, place)
}

/// The encrypted files of a datastore in a folder; with the journal of the command that writes them.
pub(crate) fn local(
    store: &DataStore,
    folder: &Path,
    journal: Option<&Arc<Journal>>,
) -> Result<Arc<Dataset>, CliError> {
    if store.encryption_mode != EncryptionMode::Cse {
        return Err(CliError::Argument {
            argument: "--name",
            reason: format!(
                "files of {:?} are encrypted by the storage service, not in folders",
                store.name
            ),
        });
    }
    if matches!(store.layout(), Format::AzureCse | Format::AzureCseSealed) {
        return Err(CliError::Argument {
            argument: "--name",
            reason: format!(
                "files of {:?} need the metadata of blobs, which folders do not keep",
                store.name
            ),
        });
    }
    let dek = Arc::new(deks::load(store)?);
    let folder = Folder {
        path: folder.to_owned(),
        journal: journal.cloned(),
    };
    dataset(store, dek, Place::Folder(folder))
}

fn dataset(store: &DataStore, dek: Arc<Dek>, place: Place) -> Result<Arc<Dataset>, CliError> {
    let layout = match store.encryption_mode {
        EncryptionMode::Cse => {
            let format = blob_format::Format::from_contract(store.layout().as_str())?;
            Layout::sealed(format, &dek, &store.key_id())?
        }
        EncryptionMode::Cpk | EncryptionMode::Sse => Layout::Plain,
    };
    Ok(Arc::new(Dataset {
        name: store.name.clone(),
        layout,
        dek,
        place,
    }))
}

/// The bucket of a datastore: region and folder in it.
pub(super) fn bucket(
    store: &DataStore,
    (region, prefix): (&str, &str),
    credentials: S3Credentials,
    azure: &Azure,
) -> Result<S3Store, CliError> {
    let endpoint = s3::endpoint(store)?;
    let mut config = S3Config::new(endpoint, &store.store_name, region, credentials);
    prefix.clone_into(&mut config.prefix);
    Ok(S3Store::new(config, azure.client())?)
}

/// Removes what transfers that were interrupted a week ago left in a bucket; the next one does, if this one cannot.
#[expect(
    clippy::print_stderr,
    reason = "a warning to the person at the terminal"
)]
pub(super) async fn sweep(store: &DataStore, azure: &Azure) -> Result<(), CliError> {
    let Some(access) = store.s3()? else {
        return Ok(());
    };
    let credentials = s3::credentials(store, access, &deks::load(store)?)?;
    let place = (access.region.as_str(), access.prefix.as_str());
    let bucket = bucket(store, place, credentials, azure)?;
    if let Err(error) = bucket.remove_abandoned().await {
        eprintln!(
            "{}: parts of interrupted transfers stay in the bucket: {error}",
            store.name
        );
    }
    Ok(())
}

/// The container of a datastore.
pub(crate) fn container(
    store: &DataStore,
    azure: &Azure,
    key: Option<CustomerKey>,
) -> Result<AzureStore, CliError> {
    let endpoint = Url::parse(&store.store_provider_url).map_err(|error| CliError::Argument {
        argument: "storeProviderUrl",
        reason: error.to_string(),
    })?;
    let mut config = AzureConfig::new(endpoint, &store.store_name, azure.storage_tokens());
    config.key = key.map(Arc::new);
    Ok(AzureStore::new(config, azure.client())?)
}
