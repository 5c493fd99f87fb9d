use cleanroom_crypto::rsa::PrivateKey;
use emulators::world::{MAA_HOST, Party, World};
use keyvault::{KeyClient, ReleasePolicy, VaultKind};
use serde_json::{Value, json};
use url::Url;

const AUDIENCE: &str = VaultKind::KeyVault.audience();

/// litware's vault with a key encryption key in it, released to the group of one policy.
#[derive(Debug)]
pub struct KekOwner {
    /// The party.
    pub party: Party,
    /// Its vault.
    pub vault: Url,
    /// The key, named `kek` there.
    pub kek: PrivateKey,
}

impl KekOwner {
    /// Imports a fresh key for the group whose host_data is `host_data`.
    ///
    /// # Panics
    /// The world does not take it.
    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    pub async fn of(world: &World, host_data: &[u8; 32]) -> Self {
        let party = world.config().parties.first().expect("a party").clone();
        let vault = party.vaults.first().expect("a vault").host();
        let owner = Self {
            vault: world.url(&vault),
            kek: PrivateKey::generate(2048).expect("a key"),
            party,
        };
        let principal = owner.party.service_principal.as_ref();
        let token = owner.token(world, &principal.expect("a principal").client_id, 3600);
        let policy =
            ReleasePolicy::for_host_data(&world.url(MAA_HOST), host_data).expect("a policy");
        KeyClient::new(crate::https(world).expect("a client"))
            .import_rsa(&owner.vault, "kek", &owner.kek, &policy, &token)
            .await
            .expect("an import");
        owner
    }

    /// A token of the owner's tenant for Key Vault; `lifetime` in seconds, negative for an expired one.
    ///
    /// # Panics
    /// It cannot be signed.
    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    pub fn token(&self, world: &World, client: &str, lifetime: i64) -> String {
        let entra = &world.services().entra;
        entra
            .issue(&self.party.tenant_id, client, AUDIENCE, lifetime)
            .expect("a token")
    }

    /// Client id of the identity that the clean room acts as.
    ///
    /// # Panics
    /// The party has none.
    #[expect(clippy::expect_used, reason = "a fixture fails its test")]
    pub fn identity(&self) -> &str {
        let identity = self.party.managed_identity.as_ref();
        &identity.expect("an identity").client_id
    }

    /// What a caller sends to have the key released, with a fresh token of the clean room's identity.
    pub fn request(&self, world: &World) -> Value {
        json!({
            "maa_endpoint": world.url(MAA_HOST).as_str().trim_start_matches("https://").trim_end_matches('/'),
            "akv_endpoint": self.vault.as_str(),
            "kid": "kek",
            "access_token": self.token(world, self.identity(), 3600),
        })
    }

    /// How many releases the vaults were asked for.
    pub fn releases(world: &World) -> usize {
        count(world, "vault", "/release")
    }

    /// How many tokens MAA was asked for.
    pub fn attestations(world: &World) -> usize {
        count(world, "maa", "/attest/")
    }
}

fn count(world: &World, service: &str, path: &str) -> usize {
    let requests = world.requests(service);
    requests
        .iter()
        .filter(|request| request.path.contains(path))
        .count()
}
