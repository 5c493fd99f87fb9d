//! An emulated storage account, and kernel mounts of its container.

#![allow(dead_code)] // each test program uses its part

use std::sync::Arc;
use std::time::Duration;

use blob_fs::{Mode, Options};
use blob_store::testing::Faulty;
use blob_store::{AzureConfig, AzureStore, CustomerKey, FixedToken, Token, TokenSource};
use cleanroom_crypto::Dek;
use emulators::world::{World, WorldConfig};

use crate::room::{Mount, options};

pub(crate) const ACCOUNT: &str = "litwarestore";
pub(crate) const KEY: u8 = 7;

pub(crate) struct Account {
    pub(crate) world: World,
    runtime: tokio::runtime::Runtime,
    token: Token,
    hierarchical: bool,
    /// Time for one request of a mount with all its repetitions.
    pub(crate) budget: Duration,
}

impl Account {
    pub(crate) fn new(hierarchical: bool) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut config = WorldConfig::two_parties();
        config.parties[0].storage_accounts[0].hierarchical = hierarchical;
        let world = runtime.block_on(World::start(config)).unwrap();
        let token = Token::new(
            runtime
                .block_on(test_support::storage_token(&world, "litware"))
                .unwrap(),
        );
        let account = Self {
            world,
            runtime,
            token,
            hierarchical,
            budget: Duration::from_secs(20),
        };
        let made = account.store(
            Mode::CseV2(blob_format::Params::default()),
            account.tokens(),
        );
        account.runtime.block_on(made.create_container()).unwrap();
        account
    }

    pub(crate) fn tokens(&self) -> Arc<dyn TokenSource> {
        Arc::new(FixedToken(self.token.clone()))
    }

    pub(crate) fn token(&self) -> Token {
        self.token.clone()
    }

    pub(crate) fn store(&self, mode: Mode, tokens: Arc<dyn TokenSource>) -> AzureStore {
        let endpoint = |kind: &str| {
            let host = format!("{ACCOUNT}.{kind}.core.windows.net");
            self.world.url(&host)
        };
        let mut config = AzureConfig::new(endpoint("blob"), "data", tokens);
        config.dfs_endpoint = self.hierarchical.then(|| endpoint("dfs"));
        config.read_budget = self.budget;
        config.write_budget = self.budget;
        if mode == Mode::Cpk {
            let dek = Dek::from_slice(&[KEY; 32]).unwrap();
            config.key = Some(Arc::new(CustomerKey::new(&dek)));
        }
        AzureStore::new(config, test_support::https(&self.world).unwrap()).unwrap()
    }

    pub(crate) fn mount(&self, mode: Mode, read_only: bool) -> Mount {
        self.mount_as(mode, read_only, self.tokens())
    }

    pub(crate) fn mount_as(
        &self,
        mode: Mode,
        read_only: bool,
        tokens: Arc<dyn TokenSource>,
    ) -> Mount {
        let options = Options {
            deadline: Duration::from_secs(30),
            ..options(read_only)
        };
        let store = Faulty::new(self.store(mode, tokens));
        Mount::with(store, KEY, mode, options)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.world.services().blob.names(ACCOUNT, "data")
    }
}
