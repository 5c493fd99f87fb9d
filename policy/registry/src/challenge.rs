//! What a registry asks for before it gives anything (RFC 9110 §11.6.1, Docker's token authentication).

use std::net::IpAddr;

use http::HeaderValue;
use http_auth::parser::ChallengeParser;
use url::{Host, Url};

use crate::RegistryError;
use crate::error::shown;

/// What is asked for.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Challenge {
    /// Name and password.
    Basic,
    /// A token, from there.
    Bearer(Url),
}

impl Challenge {
    /// The first challenge of an answer that can be met; none may be there. `registry` is where the answer came from, and
    /// `scope` what the token is for.
    pub(crate) fn read<'h>(
        headers: impl Iterator<Item = &'h HeaderValue>,
        registry: &Url,
        scope: &str,
    ) -> Result<Option<Self>, RegistryError> {
        let texts = headers.filter_map(|value| value.to_str().ok());
        let challenges = texts.flat_map(|text| ChallengeParser::new(text).map_while(Result::ok));
        for challenge in challenges {
            if challenge.scheme.eq_ignore_ascii_case("Basic") {
                return Ok(Some(Self::Basic));
            }
            if !challenge.scheme.eq_ignore_ascii_case("Bearer") {
                continue;
            }
            let parameter = |wanted: &str| {
                let mut all = challenge.params.iter();
                let found = all.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
                found.map(|(_, value)| value.to_unescaped())
            };
            let Some(text) = parameter("realm") else {
                continue;
            };
            let mut realm = realm(&text, registry)?;
            let mut query = realm.query_pairs_mut();
            query.append_pair("scope", scope);
            if let Some(service) = parameter("service") {
                query.append_pair("service", &service);
            }
            drop(query);
            return Ok(Some(Self::Bearer(realm)));
        }
        Ok(None)
    }
}

/// Where a token is asked for: the credential goes there. With TLS anywhere, for registries have their tokens elsewhere;
/// without TLS only from a registry that is itself reached so, and on its own host or this machine.
fn realm(text: &str, registry: &Url) -> Result<Url, RegistryError> {
    let refused = |reason| RegistryError::Realm {
        realm: shown(text),
        reason,
    };
    let realm = Url::parse(text).map_err(|_| refused("that is no address"))?;
    if !realm.username().is_empty() || realm.password().is_some() {
        return Err(refused("it holds a name or a password"));
    }
    match realm.scheme() {
        "https" => Ok(realm),
        "http" if registry.scheme() == "http" && near(&realm, registry) => Ok(realm),
        _ => Err(refused("it must be https")),
    }
}

/// Whether an address is on the registry's own host, or both are on this machine.
pub(crate) fn near(address: &Url, registry: &Url) -> bool {
    address.host() == registry.host() || (is_loopback(address) && is_loopback(registry))
}

fn is_loopback(address: &Url) -> bool {
    match address.host() {
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
        // A name may lead anywhere.
        Some(Host::Domain(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(registry: &str, header: &str) -> Result<Option<Challenge>, RegistryError> {
        let header = HeaderValue::from_str(header).unwrap();
        let registry = Url::parse(registry).unwrap();
        Challenge::read([&header].into_iter(), &registry, "repository:a/b:pull")
    }

    #[test]
    fn a_token_is_asked_for_with_scope_and_service() {
        let header = "Bearer realm=\"https://auth.example/token?x=1\",service=\"r\\\"s\"";
        let expected =
            "https://auth.example/token?x=1&scope=repository%3Aa%2Fb%3Apull&service=r%22s";
        assert_eq!(
            read("https://r.example", header).unwrap(),
            Some(Challenge::Bearer(Url::parse(expected).unwrap()))
        );
        assert_eq!(
            read("https://r.example", "Basic realm=x").unwrap(),
            Some(Challenge::Basic)
        );
        for other in ["Bearer service=x", "Negotiate", ",,=", ""] {
            assert_eq!(read("https://r.example", other).unwrap(), None, "{other}");
        }
    }

    #[test]
    fn nobody_is_sent_where_a_credential_would_be_in_clear() {
        let refused = |registry: &str, realm: &str| {
            let answer = read(registry, &format!("Bearer realm=\"{realm}\""));
            matches!(answer, Err(RegistryError::Realm { .. }))
        };
        for (registry, realm) in [
            ("https://r.example", "http://r.example/token"),
            ("https://r.example", "http://127.0.0.1:80/token"),
            ("https://r.example", "file:///etc/passwd"),
            ("https://r.example", "/token"),
            ("https://r.example", "https://user:word@r.example/token"),
            ("http://127.0.0.1:5000", "http://r.example/token"),
            ("http://127.0.0.1:5000", "http://localhost/token"),
            ("http://r.example", "http://127.0.0.1/token"),
        ] {
            assert!(refused(registry, realm), "{registry} {realm}");
        }
        for (registry, realm) in [
            ("https://r.example", "https://127.0.0.1/token"),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token"),
            ("http://127.0.0.1:5000", "http://[::1]:5001/token"),
            ("http://r.example:5000", "http://r.example/token"),
        ] {
            assert!(!refused(registry, realm), "{registry} {realm}");
        }
    }
}
