use std::net::Ipv4Addr;
use std::time::Duration;

use url::{Host, Url};

use crate::https::CONNECT;
use crate::retry::retrying;
use crate::{HttpsError, Request, Response, Trust};

/// A service that speaks plain HTTP: the metadata service of the machine below, or one that the measured command names.
///
/// Anyone on the way can read and change what is said, so nothing secret may be sent, and nothing that comes back may be
/// believed without a signature of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlainEndpoint(Url);

impl PlainEndpoint {
    /// Azure's instance metadata service, `http://169.254.169.254`: link-local, so it never leaves the host.
    ///
    /// # Errors
    /// [`HttpsError::Invalid`] if `path` is no path.
    pub fn metadata_service(path: &str) -> Result<Self, HttpsError> {
        let endpoint = Self::explicit(&format!("{}{path}", Ipv4Addr::new(169, 254, 169, 254)))?;
        match endpoint.0.host() {
            Some(Host::Ipv4(address)) if address.is_link_local() => Ok(endpoint),
            _ => Err(invalid(format!(
                "{path:?} is no path of the metadata service"
            ))),
        }
    }

    /// Another endpoint, `host[:port][/path]`. Only for arguments of the measured command: never for what a caller sends.
    ///
    /// # Errors
    /// [`HttpsError::Invalid`]: a scheme, a user, a query, or no host.
    pub fn explicit(text: &str) -> Result<Self, HttpsError> {
        let refuse =
            |reason: &str| invalid(format!("{text:?} {reason}, expected host[:port][/path]"));
        if text.contains("://") || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(refuse("is no endpoint"));
        }
        let url = Url::parse(&format!("http://{text}")).map_err(|_| refuse("is no endpoint"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("names a user"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("has a query or a fragment"));
        }
        Ok(Self(url))
    }

    /// Its URL.
    pub const fn url(&self) -> &Url {
        &self.0
    }
}

fn invalid(reason: String) -> HttpsError {
    HttpsError::Invalid {
        hop: "plain HTTP",
        reason,
    }
}

/// A client of one [`PlainEndpoint`]: no redirects, no proxy, bounds on time and size.
#[derive(Clone, Debug)]
pub struct PlainClient {
    client: reqwest::Client,
    endpoint: PlainEndpoint,
}

impl PlainClient {
    /// A client that speaks to `endpoint` and nobody else.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn new(endpoint: PlainEndpoint) -> Result<Self, HttpsError> {
        // Never used; without it the client would look for the system's roots, and an image FROM scratch has none.
        let roots = Trust::web().config(None)?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(roots)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .pool_idle_timeout(Duration::from_secs(60))
            .build()
            .map_err(|error| HttpsError::Tls {
                reason: crate::chain(&error),
            })?;
        Ok(Self { client, endpoint })
    }

    /// The endpoint.
    pub const fn endpoint(&self) -> &PlainEndpoint {
        &self.endpoint
    }

    /// As [`crate::HttpsClient::send_retrying`].
    ///
    /// # Errors
    /// As there; [`HttpsError::Invalid`] for a request to anybody else.
    pub async fn send_retrying(&self, request: &Request) -> Result<Response, HttpsError> {
        request.check_origin(self.endpoint.url())?;
        retrying(&self.client, request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Coded;

    #[test]
    fn only_a_host_a_port_and_a_path_make_an_endpoint() {
        for text in ["127.0.0.1:8080/metadata", "thim.example", "[::1]:80/x"] {
            PlainEndpoint::explicit(text).unwrap();
        }
        for text in [
            "",
            "http://h/x",
            "https://h",
            "u@h",
            "u:p@h",
            "h/?q",
            "h/#f",
            "h h",
            "h:99999",
            "h\n/",
        ] {
            let error = PlainEndpoint::explicit(text).unwrap_err();
            assert_eq!(error.code(), "CR-HTTP-0022", "{text}");
        }
    }

    #[test]
    fn the_metadata_service_is_where_it_always_is() {
        let endpoint = PlainEndpoint::metadata_service("/metadata/x").unwrap();
        assert_eq!(endpoint.url().as_str(), "http://169.254.169.254/metadata/x");
        for path in [".example", "@h/", ":80x"] {
            assert!(PlainEndpoint::metadata_service(path).is_err(), "{path}");
        }
    }

    #[tokio::test]
    async fn nobody_else_is_asked() {
        crate::install_crypto_provider();
        let endpoint = PlainEndpoint::explicit("127.0.0.1:9/thim").unwrap();
        let client = PlainClient::new(endpoint).unwrap();
        for url in [
            "http://127.0.0.1:10/thim",
            "http://127.0.0.2:9/thim",
            "https://127.0.0.1:9/thim",
        ] {
            let request = Request::get("THIM", Url::parse(url).unwrap());
            let error = client.send_retrying(&request).await.unwrap_err();
            assert_eq!(error.code(), "CR-HTTP-0022", "{url}");
        }
    }
}
