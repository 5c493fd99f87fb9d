use std::str::FromStr;

use attestation::parse_endpoint;
use keyvault::VaultKind;
use url::Url;

use crate::SkrError;

/// A vault that a caller may name, and which service it is: its host name does not say so.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AllowedVault {
    /// `https` origin.
    pub url: Url,
    /// Which service it is.
    pub kind: VaultKind,
}

/// `[KeyVault=|ManagedHsm=]<host>[:<port>]`; without a kind, a Key Vault.
impl FromStr for AllowedVault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, endpoint) = match text.split_once('=') {
            Some((kind, endpoint)) => (
                kind.parse::<VaultKind>()
                    .map_err(|error| error.to_string())?,
                endpoint,
            ),
            None => (VaultKind::KeyVault, text),
        };
        let url = parse_endpoint(endpoint).map_err(|error| error.to_string())?;
        Ok(Self { url, kind })
    }
}

/// A MAA instance that a caller may name: `<host>[:<port>]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AllowedMaa(pub Url);

impl FromStr for AllowedMaa {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_endpoint(text)
            .map(Self)
            .map_err(|error| error.to_string())
    }
}

/// Where a caller may have evidence and access tokens sent. An empty list allows any endpoint, unless none is allowed.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    vaults: Vec<AllowedVault>,
    maas: Vec<AllowedMaa>,
    closed: bool,
}

impl Allowed {
    /// Any endpoint.
    pub const fn any() -> Self {
        Self::new(Vec::new(), Vec::new())
    }

    /// These vaults and MAA instances.
    pub const fn new(vaults: Vec<AllowedVault>, maas: Vec<AllowedMaa>) -> Self {
        Self {
            vaults,
            maas,
            closed: false,
        }
    }

    /// No endpoint.
    pub const fn none() -> Self {
        Self {
            vaults: Vec::new(),
            maas: Vec::new(),
            closed: true,
        }
    }

    pub(crate) fn check_maa(&self, maa: &Url) -> Result<(), SkrError> {
        let any = self.maas.is_empty() && !self.closed;
        if any || self.maas.iter().any(|allowed| same(&allowed.0, maa)) {
            return Ok(());
        }
        Err(refused("maa_endpoint", maa, "--allow-maa"))
    }

    pub(crate) fn check_vault(&self, vault: &Url) -> Result<(), SkrError> {
        let any = self.vaults.is_empty() && !self.closed;
        if any || self.vault_kind(vault).is_some() {
            return Ok(());
        }
        Err(refused("akv_endpoint", vault, "--allow-vault"))
    }

    /// Which service a vault is, if it is listed.
    pub(crate) fn vault_kind(&self, vault: &Url) -> Option<VaultKind> {
        let listed = self.vaults.iter().find(|allowed| same(&allowed.url, vault));
        listed.map(|allowed| allowed.kind)
    }
}

fn same(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

fn refused(member: &'static str, endpoint: &Url, argument: &'static str) -> SkrError {
    SkrError::NotAllowed {
        member,
        endpoint: endpoint.to_string(),
        argument,
    }
}

#[cfg(test)]
mod tests {
    use sidecar_http::{Coded, Fault};

    use super::*;

    fn url(text: &str) -> Url {
        parse_endpoint(text).unwrap()
    }

    #[test]
    fn only_listed_endpoints_pass_once_there_is_a_list() {
        let open = Allowed::default();
        assert!(open.check_maa(&url("any.example")).is_ok());
        assert!(open.check_vault(&url("any.example")).is_ok());
        assert_eq!(open.vault_kind(&url("any.example")), None);

        let allowed = Allowed::new(
            vec![
                "litware.vault.azure.net".parse().unwrap(),
                "ManagedHsm=https://fabrikam.example:8443".parse().unwrap(),
            ],
            vec!["maa.example".parse().unwrap()],
        );
        assert!(allowed.check_maa(&url("https://maa.example/")).is_ok());
        assert!(
            allowed
                .check_vault(&url("litware.vault.azure.net:443"))
                .is_ok()
        );
        assert_eq!(
            allowed.vault_kind(&url("fabrikam.example:8443")),
            Some(VaultKind::ManagedHsm)
        );
        for vault in [
            "evil.example",
            "litware.vault.azure.net:444",
            "fabrikam.example",
            "litware.vault.azure.net.evil.example",
        ] {
            let error = allowed.check_vault(&url(vault)).unwrap_err();
            assert_eq!(error.code(), "CR-SKR-0081");
            assert_eq!(error.fault(), Fault::Denied);
            assert!(error.to_string().contains("--allow-vault"), "{error}");
        }
        let error = allowed.check_maa(&url("maa.example:8443")).unwrap_err();
        assert!(error.to_string().contains("maa.example:8443"), "{error}");

        let closed = Allowed::none();
        assert!(closed.check_maa(&url("any.example")).is_err());
        assert!(closed.check_vault(&url("any.example")).is_err());
    }

    #[test]
    fn arguments_that_name_no_endpoint_or_no_kind_are_refused() {
        for text in [
            "",
            "http://v.example",
            "v.example/keys",
            "Vault=v.example",
            "=v.example",
        ] {
            assert!(text.parse::<AllowedVault>().is_err(), "{text}");
        }
        assert!("maa.example/attest".parse::<AllowedMaa>().is_err());
    }
}
