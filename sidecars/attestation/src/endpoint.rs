use url::{Position, Url};

use crate::AttestError;
use crate::error::shown;

/// Reads an endpoint as upstream clients write it: `host`, `host:port`, or the same with `https://` and a final slash.
///
/// # Errors
/// [`AttestError::Endpoint`] for another scheme, a path, a query, credentials, or no host.
pub fn parse_endpoint(text: &str) -> Result<Url, AttestError> {
    let refuse = |reason| AttestError::Endpoint {
        text: shown(text),
        reason,
    };
    let text_url = if text.contains("://") {
        text.to_owned()
    } else {
        format!("https://{text}")
    };
    let url = Url::parse(&text_url).map_err(|_| refuse("not a host name or https URL"))?;
    if url.scheme() != "https" {
        return Err(refuse("not https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("holds credentials"));
    }
    if !matches!(&url[Position::BeforePath..], "" | "/") {
        return Err(refuse("holds a path, query or fragment"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refuse("no host"));
    }
    Ok(url)
}

/// `https://host[:port]`, without a final slash: the form of an issuer.
pub(crate) fn origin(url: &Url) -> String {
    url[..Position::BeforePath].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_ports_and_schemes_are_kept() {
        for (text, expected) in [
            ("maa.example", "https://maa.example"),
            ("maa.example:8443", "https://maa.example:8443"),
            ("https://maa.example:8443/", "https://maa.example:8443"),
        ] {
            assert_eq!(origin(&parse_endpoint(text).unwrap()), expected);
        }
    }

    #[test]
    fn anything_but_an_origin_is_refused() {
        for text in [
            "",
            "http://maa.example",
            "https://litware:pw@maa.example",
            "maa.example/attest",
            "maa.example?x=1",
            "maa.example#f",
            "ftp://maa.example",
            "maa example",
        ] {
            assert!(parse_endpoint(text).is_err(), "{text}");
        }
    }
}
