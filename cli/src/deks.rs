//! Data encryption keys on the owner's disk: 0600, never overwritten.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use cleanroom_crypto::{Dek, Zeroizing, random};

use crate::CliError;
use crate::stores::{DataStore, SecretStores, SupportedSecret, read};

/// The key's file: `<store>/<datastore>.bin`, 32 bytes.
pub(crate) fn path(store_folder: &str, datastore: &str) -> PathBuf {
    Path::new(store_folder).join(format!("{datastore}.bin"))
}

/// Whether a key can be made here.
pub(crate) fn must_be_new(path: &Path) -> Result<(), CliError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(CliError::io(path.display().to_string(), error)),
        Ok(_) => Err(CliError::KeyExists {
            path: path.to_owned(),
        }),
    }
}

/// Makes a new key.
pub(crate) fn create(path: &Path) -> Result<(), CliError> {
    let mut key = Zeroizing::new([0_u8; 32]);
    random::fill(key.as_mut())?;
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => CliError::KeyExists {
            path: path.to_owned(),
        },
        _ => CliError::io(path.display().to_string(), error),
    })?;
    let written = file.write_all(key.as_ref()).and_then(|()| file.sync_all());
    written.map_err(|error| CliError::io(path.display().to_string(), error))
}

/// Reads the key of a datastore.
pub(crate) fn load(store: &DataStore) -> Result<Dek, CliError> {
    let secret_stores: SecretStores = read(&store.secretstore_config)?;
    let folder = secret_stores
        .find(&store.secretstore_name)?
        .must_hold(SupportedSecret::Secret)?;
    let path = path(&folder.store_provider_url, &store.name);
    let mut file = std::fs::File::open(&path)
        .map_err(|error| CliError::io(path.display().to_string(), error))?;
    let mut key = Zeroizing::new([0_u8; 33]);
    let mut held = 0;
    loop {
        let rest = key.get_mut(held..).unwrap_or_default();
        match file
            .read(rest)
            .map_err(|error| CliError::io(path.display().to_string(), error))?
        {
            0 => break,
            count => held += count,
        }
    }
    match key.get(..held) {
        Some(bytes) if held == 32 => Ok(Dek::from_slice(bytes)?),
        _ => Err(CliError::BadKey { path }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_key_is_private_random_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("a.bin"), folder.path().join("b.bin"));
        create(&one).unwrap();
        create(&other).unwrap();
        let key = std::fs::read(&one).unwrap();
        assert_eq!(key.len(), 32);
        assert_ne!(key, std::fs::read(&other).unwrap());
        assert_eq!(std::fs::metadata(&one).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(create(&one), Err(CliError::KeyExists { .. })));
        assert_eq!(key, std::fs::read(&one).unwrap());
    }
}
