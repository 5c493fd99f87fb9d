//! What a world holds: parties with their tenants, accounts and vaults, and the registries beside them.
use serde::{Deserialize, Serialize};

/// Host name of the attestation service.
pub const MAA_HOST: &str = "sharedneu.neu.attest.azure.net";
/// Host name of the token service.
pub const ENTRA_HOST: &str = "login.microsoftonline.com";
/// Host name of the resource manager.
pub const ARM_HOST: &str = "management.azure.com";
/// Host name of the Azure certificate cache.
pub const AZURE_CACHE_HOST: &str = "global.acccache.azure.net";
/// Host name of AMD's key distribution service.
pub const KDS_HOST: &str = "kdsintf.amd.com";
/// Host name of the governance service, which listens on a port of its own.
pub const CGS_HOST: &str = "cgs.operator.example";

/// A whole world, as read from `world.json`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WorldConfig {
    /// Who takes part, each with a tenant.
    #[serde(alias = "tenants")]
    pub parties: Vec<Party>,
    /// Registry names: `operator` is served as `operator.azurecr.io`.
    #[serde(default)]
    pub registries: Vec<String>,
    /// How long CGS leaves a write pending, in milliseconds.
    #[serde(default = "default_commit_delay")]
    pub commit_delay_ms: u64,
    /// Signing certificate of CGS' first member, the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_cert_pem: Option<String>,
}

fn default_commit_delay() -> u64 {
    50
}

/// One collaborator and what is theirs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Name, for people.
    pub name: String,
    /// Entra tenant (UUID).
    pub tenant_id: String,
    /// The application the party's own commands log in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_principal: Option<ServicePrincipal>,
    /// The identity the clean room acts as, by a federated credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_identity: Option<ManagedIdentity>,
    /// Storage accounts.
    #[serde(default)]
    pub storage_accounts: Vec<StorageAccount>,
    /// Vaults.
    #[serde(default)]
    pub vaults: Vec<VaultSpec>,
}

/// An application with a client secret.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServicePrincipal {
    /// Client id (UUID).
    pub client_id: String,
    /// Its password in this world.
    pub secret: String,
}

/// A user-assigned managed identity.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ManagedIdentity {
    /// Client id (UUID).
    pub client_id: String,
    /// Resource name.
    pub name: String,
}

/// A storage account: its name alone, or with the client ids outside its tenant that hold a data role on it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(from = "StorageAccountForm")]
pub struct StorageAccount {
    /// Account name.
    pub name: String,
    /// Client ids with a data role, beside the owner tenant's own principals.
    #[serde(default)]
    pub grants: Vec<String>,
    /// Names are hierarchical (ADLS Gen2).
    #[serde(default)]
    pub hierarchical: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StorageAccountForm {
    Name(String),
    Full {
        name: String,
        #[serde(default)]
        grants: Vec<String>,
        #[serde(default)]
        hierarchical: bool,
    },
}

impl From<StorageAccountForm> for StorageAccount {
    fn from(form: StorageAccountForm) -> Self {
        match form {
            StorageAccountForm::Name(name) => Self {
                name,
                grants: Vec::new(),
                hierarchical: false,
            },
            StorageAccountForm::Full {
                name,
                grants,
                hierarchical,
            } => Self {
                name,
                grants,
                hierarchical,
            },
        }
    }
}

impl From<&str> for StorageAccount {
    fn from(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            grants: Vec::new(),
            hierarchical: false,
        }
    }
}

/// A vault and its kind.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct VaultSpec {
    /// First label of its host name.
    pub name: String,
    /// Which service.
    pub kind: VaultKind,
}

impl VaultSpec {
    /// Its host name.
    #[must_use]
    pub fn host(&self) -> String {
        match self.kind {
            VaultKind::KeyVault => format!("{}.vault.azure.net", self.name),
            VaultKind::ManagedHsm => format!("{}.managedhsm.azure.net", self.name),
        }
    }
}

/// The two vault services.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum VaultKind {
    /// `<name>.vault.azure.net`.
    #[serde(alias = "keyvault", alias = "key_vault", alias = "akv")]
    KeyVault,
    /// `<name>.managedhsm.azure.net`.
    #[serde(alias = "managedhsm", alias = "managed_hsm", alias = "mhsm")]
    ManagedHsm,
}

impl WorldConfig {
    /// The two-party world of the tests: litware with account `litwarestore` and vault `litwarekv`, fabrikam with
    /// `fabrikamstore` and the managed HSM `fabrikamhsm`; registry `operator`. Client secrets are
    /// `<party>-secret`, service principals end in `01`, managed identities in `02`.
    #[must_use]
    pub fn two_parties() -> Self {
        let party = |name: &str, digit: char, kind, vault: &str| Party {
            name: name.to_owned(),
            tenant_id: uuid_of(digit, "00"),
            service_principal: Some(ServicePrincipal {
                client_id: uuid_of(digit, "01"),
                secret: format!("{name}-secret"),
            }),
            managed_identity: Some(ManagedIdentity {
                client_id: uuid_of(digit, "02"),
                name: format!("{name}-identity"),
            }),
            storage_accounts: vec![StorageAccount::from(format!("{name}store").as_str())],
            vaults: vec![VaultSpec {
                name: vault.to_owned(),
                kind,
            }],
        };
        Self {
            parties: vec![
                party("litware", 'a', VaultKind::KeyVault, "litwarekv"),
                party("fabrikam", 'b', VaultKind::ManagedHsm, "fabrikamhsm"),
            ],
            registries: vec!["operator".to_owned()],
            commit_delay_ms: default_commit_delay(),
            operator_cert_pem: None,
        }
    }
}

fn uuid_of(digit: char, last: &str) -> String {
    let run = |n: usize| digit.to_string().repeat(n);
    format!(
        "{}-{}-4{}-8{}-{}{last}",
        run(8),
        run(4),
        run(3),
        run(3),
        run(10)
    )
}
