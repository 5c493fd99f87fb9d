use std::time::Duration;

use serde::Deserialize;
use sidecar_http::PlainEndpoint;
use url::Url;

use crate::AttestError;
use crate::error::shown;

const THIM_PATH: &str = "/metadata/THIM/amd/certification";
const AZURE_CACHE: &str = "global.acccache.azure.net";
const AZURE_TEE: &str = "SevSnpVM";
const AZURE_API_VERSION: &str = "2020-10-15-preview";
const AZURE_CLIENT: &str = "ConfidentialACI";
const KDS: &str = "kdsintf.amd.com";
/// Upstream's endpoint of AMD's service has the path of one interface; ours is the service.
const KDS_PATH: &str = "/vcek/v1";

/// Where certificates of a processor come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EndorsementSource {
    /// The security context: what the host had when the group was launched.
    Context,
    /// THIM: what the host has now.
    Thim(PlainEndpoint),
    /// The Azure certificate cache.
    AzureCache(AzureCache),
    /// AMD's key distribution service, `https://host[:port]`.
    Kds(Url),
}

/// One Azure certificate cache.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AzureCache {
    /// `https://host[:port]`.
    pub endpoint: Url,
    /// First segment of its paths: `SevSnpVM`.
    pub tee_type: String,
    /// `2020-10-15-preview`.
    pub api_version: String,
    /// Whom it counts the request for: `ConfidentialACI`.
    pub client_id: String,
}

/// How long things are kept and waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EndorsementTiming {
    /// Certificates are asked for again after this time (one day, THIM's own `cacheControl`), and used on if nobody answers.
    pub fresh: Duration,
    /// After a failure nobody is asked for this time (5 s), doubled with each further one and with up to a quarter of
    /// jitter.
    pub first_pause: Duration,
    /// The longest such time without its jitter (5 min).
    pub longest_pause: Duration,
    /// Between two requests to AMD (10 s): it limits rates by address.
    pub kds_interval: Duration,
    /// All the time that AMD's answers to one question may take (60 s), the waits between requests included.
    pub kds_deadline: Duration,
}

impl Default for EndorsementTiming {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(24 * 60 * 60),
            first_pause: Duration::from_secs(5),
            longest_pause: Duration::from_secs(5 * 60),
            kds_interval: Duration::from_secs(10),
            kds_deadline: Duration::from_secs(60),
        }
    }
}

/// What an [`crate::EndorsementStore`] asks, in this order, and how long it keeps the answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EndorsementConfig {
    /// The sources in order.
    pub sources: Vec<EndorsementSource>,
    /// Times.
    pub timing: EndorsementTiming,
}

/// Upstream's `certcache` object; empty members are as good as missing.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(default)]
pub struct CertCache {
    /// `AMD`, `LocalTHIM` or `AzCache`; anything else is refused. Missing: every source in the default order.
    pub endpoint_type: String,
    /// `host[:port][/path]`.
    pub endpoint: String,
    /// First path segment of the Azure cache. For AMD upstream's clients put the product here; the report knows it better.
    pub tee_type: String,
    /// `api-version=<version>`, with or without its name.
    pub api_version: String,
    /// `clientId=<client>`, with or without its name.
    pub client_id: String,
}

impl EndorsementConfig {
    /// The security context, then THIM, the global Azure cache, and AMD.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn standard() -> Result<Self, AttestError> {
        Self::of_certcache(&CertCache::default())
    }

    /// What upstream's configuration asks for: the security context first, then the one source that it names, or every
    /// source where it names none, with its endpoint as the Azure cache's.
    ///
    /// # Errors
    /// [`AttestError::CertCache`] naming the member.
    pub fn of_certcache(from: &CertCache) -> Result<Self, AttestError> {
        let named = match from.endpoint_type.as_str() {
            "" => vec![
                EndorsementSource::Thim(PlainEndpoint::metadata_service(THIM_PATH)?),
                azure(from)?,
                EndorsementSource::Kds(https("endpoint", KDS)?),
            ],
            "LocalTHIM" => vec![EndorsementSource::Thim(match from.endpoint.as_str() {
                "" => PlainEndpoint::metadata_service(THIM_PATH)?,
                endpoint => PlainEndpoint::explicit(endpoint)
                    .map_err(|error| refuse("endpoint", &error.to_string()))?,
            })],
            "AzCache" => vec![azure(from)?],
            "AMD" => {
                let endpoint = or(&from.endpoint, KDS).trim_end_matches('/');
                let host = endpoint.strip_suffix(KDS_PATH).unwrap_or(endpoint);
                vec![EndorsementSource::Kds(https("endpoint", host)?)]
            }
            other => {
                let expected = "expected AMD, LocalTHIM or AzCache, or none for the default order";
                return Err(refuse(
                    "endpoint_type",
                    &format!("{:?}, {expected}", shown(other)),
                ));
            }
        };
        let mut sources = vec![EndorsementSource::Context];
        sources.extend(named);
        Ok(Self {
            sources,
            timing: EndorsementTiming::default(),
        })
    }
}

fn azure(from: &CertCache) -> Result<EndorsementSource, AttestError> {
    let value = |member, given, name, default| {
        let value = or(given, default);
        word(member, value.strip_prefix(name).unwrap_or(value))
    };
    Ok(EndorsementSource::AzureCache(AzureCache {
        endpoint: https("endpoint", or(&from.endpoint, AZURE_CACHE))?,
        tee_type: word("tee_type", or(&from.tee_type, AZURE_TEE))?,
        api_version: value(
            "api_version",
            &from.api_version,
            "api-version=",
            AZURE_API_VERSION,
        )?,
        client_id: value("client_id", &from.client_id, "clientId=", AZURE_CLIENT)?,
    }))
}

fn or<'a>(given: &'a str, default: &'a str) -> &'a str {
    if given.is_empty() { default } else { given }
}

/// A word that can stand in a path or a query as it is.
fn word(member: &'static str, text: &str) -> Result<String, AttestError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    if !text.is_empty() && text.len() <= 128 && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(refuse(
        member,
        &format!(
            "{:?}, expected letters, digits and -_.~, at most 128",
            shown(text)
        ),
    ))
}

fn https(member: &'static str, host: &str) -> Result<Url, AttestError> {
    crate::parse_endpoint(host).map_err(|error| refuse(member, &error.to_string()))
}

fn refuse(member: &'static str, reason: &str) -> AttestError {
    AttestError::CertCache {
        member,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidecar_http::Coded;

    fn of(json: &str) -> Result<Vec<EndorsementSource>, AttestError> {
        let certcache: CertCache = serde_json::from_str(json).unwrap();
        EndorsementConfig::of_certcache(&certcache).map(|config| config.sources)
    }

    fn cache(endpoint: &str) -> EndorsementSource {
        EndorsementSource::AzureCache(AzureCache {
            endpoint: Url::parse(endpoint).unwrap(),
            tee_type: "SevSnpVM".to_owned(),
            api_version: "2020-10-15-preview".to_owned(),
            client_id: "ConfidentialACI".to_owned(),
        })
    }

    fn thim(endpoint: &str) -> EndorsementSource {
        EndorsementSource::Thim(PlainEndpoint::explicit(endpoint).unwrap())
    }

    fn kds(endpoint: &str) -> EndorsementSource {
        EndorsementSource::Kds(Url::parse(endpoint).unwrap())
    }

    const IMDS: &str = "169.254.169.254/metadata/THIM/amd/certification";

    #[test]
    fn without_a_type_every_source_is_asked_in_the_default_order() {
        // As azure-cleanroom deploys it.
        let deployed = r#"{"endpoint":"americas.acccache.azure.net","tee_type":"SevSnpVM",
            "api_version":"api-version=2020-10-15-preview"}"#;
        let order = |azure: &str| {
            vec![
                EndorsementSource::Context,
                thim(IMDS),
                cache(azure),
                kds("https://kdsintf.amd.com"),
            ]
        };
        assert_eq!(
            of(deployed).unwrap(),
            order("https://americas.acccache.azure.net")
        );
        assert_eq!(
            of("{}").unwrap(),
            order("https://global.acccache.azure.net")
        );
        let standard = EndorsementConfig::standard().unwrap();
        assert_eq!(standard.sources, of("{}").unwrap());
    }

    #[test]
    fn each_type_names_one_source_beside_the_context() {
        for (json, source) in [
            (
                r#"{"endpoint_type":"AMD","endpoint":"kdsintf.amd.com/vcek/v1","tee_type":"Milan"}"#,
                kds("https://kdsintf.amd.com"),
            ),
            (r#"{"endpoint_type":"AMD"}"#, kds("https://kdsintf.amd.com")),
            (r#"{"endpoint_type":"LocalTHIM"}"#, thim(IMDS)),
            (
                r#"{"endpoint_type":"LocalTHIM","endpoint":"127.0.0.1:81/thim"}"#,
                thim("127.0.0.1:81/thim"),
            ),
            (
                r#"{"endpoint_type":"AzCache","client_id":"clientId=ConfidentialACI","api_version":"2020-10-15-preview"}"#,
                cache("https://global.acccache.azure.net"),
            ),
        ] {
            assert_eq!(
                of(json).unwrap(),
                [EndorsementSource::Context, source],
                "{json}"
            );
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        for (json, member) in [
            (r#"{"endpoint_type":"amd"}"#, "endpoint_type"),
            (
                r#"{"endpoint_type":"AzCache","endpoint":"http://h"}"#,
                "endpoint",
            ),
            (
                r#"{"endpoint_type":"AMD","endpoint":"h/other"}"#,
                "endpoint",
            ),
            (
                r#"{"endpoint_type":"LocalTHIM","endpoint":"u@h"}"#,
                "endpoint",
            ),
            (r#"{"tee_type":"../x"}"#, "tee_type"),
            (r#"{"api_version":"api-version=1&x=y"}"#, "api_version"),
            (r#"{"client_id":"clientId="}"#, "client_id"),
        ] {
            let error = of(json).unwrap_err();
            assert_eq!(error.code(), "CR-SKR-0042", "{json}");
            assert!(error.to_string().contains(member), "{json}: {error}");
        }
    }
}
