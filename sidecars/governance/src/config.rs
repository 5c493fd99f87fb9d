use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use url::Url;

use crate::GovError;

/// What the sidecar is told; all of it is part of the measured command.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Base URL of CGS, such as `https://cgs.operator.example:443`.
    #[arg(long, env = "ccrgovEndpoint", value_name = "URL")]
    pub cgs_endpoint: String,
    /// Path of the contract in CGS: `app/contracts/<contract id>`.
    #[arg(long, env = "ccrgovApiPathPrefix", value_name = "PATH")]
    pub cgs_path_prefix: String,
    /// Base64 of the PEM of the CCF service certificate: the only root that is trusted.
    #[arg(long, env = "serviceCert", value_name = "BASE64")]
    pub service_cert: String,
    /// How long the commit of an event is awaited, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub commit_deadline: u64,
}

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) endpoint: Url,
    pub(crate) contract: String,
    pub(crate) service_cert: Vec<u8>,
    pub(crate) commit_deadline: Duration,
}

const CERTIFICATE_MAX: usize = 64 << 10;

impl Config {
    /// Checks the arguments. The prefix must be exactly one contract: tokens are issued for it and for no other.
    ///
    /// # Errors
    /// [`GovError::Config`] naming the argument.
    pub fn of(args: &Args) -> Result<Self, GovError> {
        let bad = |argument, reason: &str| GovError::Config {
            argument,
            reason: reason.to_owned(),
        };
        let endpoint = Url::parse(&args.cgs_endpoint)
            .map_err(|error| bad("--cgs-endpoint", &error.to_string()))?;
        let bare = endpoint.scheme() == "https"
            && endpoint.has_host()
            && endpoint.username().is_empty()
            && endpoint.password().is_none()
            && endpoint.path() == "/"
            && endpoint.query().is_none()
            && endpoint.fragment().is_none();
        if !bare {
            return Err(bad(
                "--cgs-endpoint",
                "must be https://host[:port] and nothing else",
            ));
        }
        let contract = args
            .cgs_path_prefix
            .trim_matches('/')
            .strip_prefix("app/contracts/")
            .filter(|id| is_segment(id))
            .ok_or_else(|| {
                bad(
                    "--cgs-path-prefix",
                    "must be app/contracts/<id> with an id of A-Z a-z 0-9 - . _ ~",
                )
            })?;
        if args.service_cert.len() > CERTIFICATE_MAX {
            return Err(bad("--service-cert", "is larger than any certificate"));
        }
        let service_cert = BASE64_STANDARD
            .decode(args.service_cert.trim())
            .map_err(|error| bad("--service-cert", &format!("is not base64: {error}")))?;
        Ok(Self {
            endpoint,
            contract: contract.to_owned(),
            service_cert,
            commit_deadline: Duration::from_secs(args.commit_deadline),
        })
    }
}

/// CCF never decodes a path segment: only characters that need no escape can be used.
fn is_segment(id: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    !id.is_empty() && id.len() <= 128 && id.bytes().all(safe) && id != "." && id != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(endpoint: &str, prefix: &str) -> Args {
        Args {
            cgs_endpoint: endpoint.to_owned(),
            cgs_path_prefix: prefix.to_owned(),
            service_cert: "AAAA".to_owned(),
            commit_deadline: 30,
        }
    }

    #[test]
    fn the_contract_is_read_from_the_prefix_with_or_without_slashes() {
        for prefix in ["app/contracts/collab1", "/app/contracts/collab1/"] {
            let config = Config::of(&args("https://cgs.operator.example:8443", prefix)).unwrap();
            assert_eq!(config.contract, "collab1");
        }
    }

    #[test]
    fn a_prefix_that_is_not_one_contract_is_refused() {
        for prefix in [
            "",
            "app",
            "app/contracts/",
            "app/contracts/a/b",
            "app/contracts/..",
            "app/contracts/a%2fb",
            "gov/members",
            "app/contracts/a?x",
        ] {
            let error = Config::of(&args("https://cgs.operator.example", prefix)).unwrap_err();
            assert!(
                matches!(
                    error,
                    GovError::Config {
                        argument: "--cgs-path-prefix",
                        ..
                    }
                ),
                "{prefix}"
            );
        }
    }

    #[test]
    fn an_endpoint_that_is_not_plain_https_is_refused() {
        for endpoint in [
            "http://cgs.operator.example",
            "https://u@cgs.operator.example",
            "https://cgs.operator.example/app",
            "https://cgs.operator.example/?a",
            "cgs",
        ] {
            let error = Config::of(&args(endpoint, "app/contracts/c1")).unwrap_err();
            assert!(
                matches!(
                    error,
                    GovError::Config {
                        argument: "--cgs-endpoint",
                        ..
                    }
                ),
                "{endpoint}"
            );
        }
    }
}
