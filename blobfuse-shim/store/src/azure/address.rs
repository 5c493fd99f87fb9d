//! URLs of containers and blobs.

use url::Url;

use super::AzureConfig;
use crate::StoreError;

/// The service's limits for names.
const LONGEST_NAME: usize = 1024;
const MOST_SEGMENTS: usize = 254;

#[derive(Clone, Debug)]
pub(super) struct Address {
    container: Url,
    /// The same container at the endpoint for hierarchical names.
    file_system: Option<Url>,
    prefix: String,
}

impl Address {
    pub(super) fn new(config: &AzureConfig) -> Result<Self, StoreError> {
        let bad = |reason: &str| Err(StoreError::Config(reason.to_owned()));
        if config.endpoint.scheme() != "https" {
            return bad("the endpoint is not https");
        }
        let host = config.endpoint.host_str().unwrap_or_default();
        if config.key.is_some() && host.ends_with("fabric.microsoft.com") {
            return bad("OneLake ignores customer-provided keys; use client-side encryption");
        }
        let possible = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let container = config.container.as_str();
        let special = matches!(container, "$web" | "$root");
        if container.is_empty()
            || container.len() > 63
            || !(special || container.chars().all(possible))
        {
            return bad("the container's name is not possible");
        }
        let mut prefix = config.prefix.trim_matches('/').to_owned();
        if !prefix.is_empty() {
            check(&prefix)?;
            prefix.push('/');
        }
        let below = |endpoint: &Url| {
            let mut url = endpoint.clone();
            url.set_query(None);
            url.set_fragment(None);
            let path = format!("{}/{container}", url.path().trim_end_matches('/'));
            url.set_path(&path);
            url
        };
        let insecure = |endpoint: &Url| endpoint.scheme() != "https";
        if config.dfs_endpoint.as_ref().is_some_and(insecure) {
            return bad("the endpoint for hierarchical names is not https");
        }
        Ok(Self {
            container: below(&config.endpoint),
            file_system: config.dfs_endpoint.as_ref().map(below),
            prefix,
        })
    }

    pub(super) const fn is_hierarchical(&self) -> bool {
        self.file_system.is_some()
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn container(&self, query: &[(&str, &str)]) -> Url {
        let mut url = self.container.clone();
        url.query_pairs_mut().extend_pairs(query);
        url
    }

    pub(super) fn blob(&self, name: &str, query: &[(&str, &str)]) -> Result<Url, StoreError> {
        self.inside(&self.container, name, query)
    }

    /// A path at the endpoint for hierarchical names.
    pub(super) fn path(&self, name: &str, query: &[(&str, &str)]) -> Result<Url, StoreError> {
        let flat = || StoreError::Config("the account's names are flat".to_owned());
        let file_system = self.file_system.as_ref().ok_or_else(flat)?;
        self.inside(file_system, name, query)
    }

    fn inside(
        &self,
        container: &Url,
        name: &str,
        query: &[(&str, &str)],
    ) -> Result<Url, StoreError> {
        let name = format!("{}{name}", self.prefix);
        check(&name)?;
        let mut url = container.clone();
        let path = format!("{}/{}", url.path(), encode(&name));
        url.set_path(&path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }
}

/// Names that a URL would change (`.`, `..`) or that the service does not take.
fn check(name: &str) -> Result<(), StoreError> {
    let odd = name.split('/').any(|part| matches!(part, "" | "." | ".."));
    if odd || name.chars().count() > LONGEST_NAME || name.split('/').count() > MOST_SEGMENTS {
        return Err(StoreError::Config(
            "the blob's name is not possible".to_owned(),
        ));
    }
    Ok(())
}

/// Keeps the unreserved characters of RFC 3986 and `/`.
fn encode(name: &str) -> String {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or('0');
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            out.push(char::from(byte));
        } else {
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cleanroom_crypto::Dek;

    use super::*;
    use crate::{CustomerKey, FixedToken, Token};

    fn config(endpoint: &str) -> AzureConfig {
        let tokens = Arc::new(FixedToken(Token::new("t".to_owned())));
        AzureConfig::new(Url::parse(endpoint).unwrap(), "c1", tokens)
    }

    #[test]
    fn every_character_of_a_name_survives_the_url() {
        let address = Address::new(&config("https://litware.example/")).unwrap();
        let url = address.blob("a b/ü?#%25\\+.txt", &[]).unwrap();
        assert_eq!(
            url.as_str(),
            "https://litware.example/c1/a%20b/%C3%BC%3F%23%2525%5C%2B.txt"
        );
        let query = [("comp", "block"), ("blockid", "a+/=")];
        let url = address.blob("x", &query).unwrap();
        assert_eq!(
            url.as_str(),
            "https://litware.example/c1/x?comp=block&blockid=a%2B%2F%3D"
        );
    }

    #[test]
    fn a_name_cannot_leave_the_prefix() {
        let mut config = config("https://litware.example/account/");
        config.prefix = "/in/".to_owned();
        let address = Address::new(&config).unwrap();
        let url = address.blob("x", &[]).unwrap();
        assert_eq!(url.as_str(), "https://litware.example/account/c1/in/x");
        for name in ["..", "../x", "a/../../x", "a//b", ".", "", "/x"] {
            assert!(address.blob(name, &[]).is_err(), "{name}");
        }
    }

    #[test]
    fn a_service_that_ignores_the_key_is_refused_at_start() {
        let mut config = config("https://onelake.blob.fabric.microsoft.com");
        assert!(Address::new(&config).is_ok());
        let dek = Dek::from_slice(&[1; 32]).unwrap();
        config.key = Some(Arc::new(CustomerKey::new(&dek)));
        assert!(Address::new(&config).is_err());
        assert!(Address::new(&self::config("http://litware.example")).is_err());
    }
}
