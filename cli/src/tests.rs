//! Whole commands: of files alone, and against the emulated services.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests

mod data;
mod doctor;
mod files;
mod keys;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blob_store::BlobStore;
use clap::Parser;
use emulators::world::{ENTRA_HOST, World, WorldConfig};
use sidecar_http::HttpsClient;

use crate::credential::{Access, Azure, Login};
use crate::stores::{self, DataStores};
use crate::transfer::{Dataset, Place};
use crate::{Cli, Shown, datastore, dispatch};

/// litware at its desk: a folder of its own, and a world to reach.
struct Desk {
    folder: tempfile::TempDir,
    access: Access,
    world: Option<World>,
}

impl Desk {
    /// Nothing but a folder.
    fn offline() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            access: Access::new(None),
            world: None,
        }
    }

    /// In a world of its own, logged in as litware.
    async fn online() -> Self {
        let world = World::start(WorldConfig::two_parties()).await.unwrap();
        let mut desk = Self::offline();
        desk.access.given = Some(azure(&world, "litware-secret"));
        desk.world = Some(world);
        desk
    }

    fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Runs a command line; words that begin with `@` are paths in the folder.
    async fn run(&self, line: &str) -> Result<(), Box<dyn Shown>> {
        let words = line
            .split_whitespace()
            .map(|word| match word.strip_prefix('@') {
                Some(name) => self.path(name).display().to_string(),
                None => word.to_owned(),
            });
        let cli = Cli::try_parse_from(["cleanroom".to_owned()].into_iter().chain(words)).unwrap();
        dispatch(cli.command, &self.access).await.map(|_| ())
    }

    async fn ok(&self, line: &str) {
        if let Err(error) = self.run(line).await {
            panic!("{line}: {} {}", error.code(), sidecar_http::chain(&*error));
        }
    }

    async fn code(&self, line: &str) -> String {
        match self.run(line).await {
            Ok(()) => panic!("{line}: succeeded"),
            Err(error) => error.code().to_owned(),
        }
    }

    /// The files that a command fails for.
    async fn failed(&self, line: &str) -> Vec<String> {
        let error = self.run(line).await.unwrap_err();
        assert!(
            ["CR-CLI-0017", "CR-CLI-0018"].contains(&error.code()),
            "{}",
            sidecar_http::chain(&*error)
        );
        error.files().iter().map(|one| one.path.clone()).collect()
    }

    fn dataset(&self, name: &str) -> Arc<Dataset> {
        let known: DataStores = stores::read(&self.path("datastores.yaml")).unwrap();
        let azure = self.access.given.as_ref().unwrap();
        datastore::open::remote(known.find(name).unwrap(), azure).unwrap()
    }

    fn container(&self, name: &str) -> Arc<dyn BlobStore> {
        match &self.dataset(name).place {
            Place::Container(store) => Arc::clone(store),
            Place::Folder(_) => panic!("{name} is no container"),
        }
    }

    /// The three secret stores of a collaborator.
    async fn stores(&self) {
        let (vault, attestation) = match &self.world {
            None => (
                "https://litwarekv.vault.azure.net".to_owned(),
                "https://sharedneu.neu.attest.azure.net".to_owned(),
            ),
            Some(world) => (
                world.url("litwarekv.vault.azure.net").to_string(),
                world.url("sharedneu.neu.attest.azure.net").to_string(),
            ),
        };
        let add = "secretstore add --config @secretstores.yaml --name";
        self.ok(&format!(
            "{add} local --backingstore-type Local_File --backingstore-path @keys"
        ))
        .await;
        self.ok(&format!(
            "{add} deks --backingstore-type Azure_KeyVault --backingstore-id {vault}"
        ))
        .await;
        self.ok(&format!(
            "{add} keks --backingstore-type Azure_KeyVault_Managed_HSM --backingstore-id {vault} \
             --attestation-endpoint {attestation}"
        ))
        .await;
    }

    fn add_datastore(&self, name: &str, mode: &str) -> String {
        let account = self.world().url("litwarestore.blob.core.windows.net");
        format!(
            "datastore add --name {name} --config @datastores.yaml --secretstore local \
             --secretstore-config @secretstores.yaml --encryption-mode {mode} \
             --backingstore-type Azure_BlobStorage --backingstore-id {account}"
        )
    }
}

fn azure(world: &World, secret: &str) -> Azure {
    sidecar_http::install_crypto_provider();
    let party = world.config().parties[0].clone();
    let login = Login::Secret {
        authority: world.url(ENTRA_HOST).to_string(),
        tenant: party.tenant_id,
        id: party.service_principal.unwrap().client_id,
        secret: secret.to_owned().into(),
    };
    let trust = test_support::trust(world).unwrap();
    Azure::new(HttpsClient::new(&trust).unwrap(), trust, login)
}

/// Every file below a folder with its content, by relative name.
pub(crate) fn tree(folder: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        for entry in std::fs::read_dir(&current).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}
