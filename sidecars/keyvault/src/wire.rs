use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::StatusCode;
use serde::Deserialize;
use sidecar_http::{ApiVersion, Response};
use url::{Position, Url};

use crate::KeyVaultError;

/// The service as error texts name it.
pub(crate) const HOP: &str = "Key Vault";
/// The version asked under unless configured otherwise.
pub(crate) const API_VERSION: ApiVersion = ApiVersion::preset("7.4");
const MESSAGE_CAP: usize = 600;

/// base64url without padding; padding is tolerated when reading.
pub(crate) const B64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(crate) fn decode(text: &str, what: &'static str) -> Result<Vec<u8>, KeyVaultError> {
    B64URL
        .decode(text)
        .map_err(|_| KeyVaultError::Answer { what })
}

/// The kind of object a route is about.
#[derive(Clone, Copy)]
pub(crate) enum Object {
    Key,
    Secret,
}

impl Object {
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Secret => "secret",
        }
    }

    const fn segment(self) -> &'static str {
        match self {
            Self::Key => "keys",
            Self::Secret => "secrets",
        }
    }

    /// A name and the version behind it, if any.
    pub(crate) fn split(self, text: &str) -> Result<(&str, Option<&str>), KeyVaultError> {
        let word = |text: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !text.is_empty() && text.len() <= 127 && text.bytes().all(plain)
        };
        let (name, version) = match text.split_once('/') {
            None => (text, None),
            Some((name, version)) => (name, Some(version)),
        };
        if word(name) && version.is_none_or(word) {
            Ok((name, version))
        } else {
            Err(KeyVaultError::Name { what: self.what() })
        }
    }

    /// `<vault>/<keys|secrets>/<name>[/<version>][/<action>]?api-version=…`, port kept.
    pub(crate) fn url(
        self,
        vault: &Url,
        name: &str,
        action: Option<&str>,
        api_version: &ApiVersion,
    ) -> Result<Url, KeyVaultError> {
        let (name, version) = self.split(name)?;
        let mut url = checked(vault)?;
        {
            let bad = |()| KeyVaultError::Url {
                reason: "no base of a path",
            };
            let mut segments = url.path_segments_mut().map_err(bad)?;
            segments.clear().push(self.segment()).push(name);
            segments.extend(version).extend(action);
        }
        url.query_pairs_mut()
            .append_pair("api-version", api_version.as_str());
        Ok(url)
    }
}

fn checked(vault: &Url) -> Result<Url, KeyVaultError> {
    let refuse = |reason| Err(KeyVaultError::Url { reason });
    if vault.scheme() != "https" {
        return refuse("not https");
    }
    if !vault.username().is_empty() || vault.password().is_some() {
        return refuse("holds credentials");
    }
    if !matches!(&vault[Position::BeforePath..], "" | "/") {
        return refuse("holds a path, query or fragment");
    }
    if vault.domain().is_none() {
        return refuse("no host name");
    }
    Ok(vault.clone())
}

#[derive(Deserialize)]
struct Refusal {
    error: Reason,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reason {
    code: String,
    message: String,
    innererror: Option<Box<Inner>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner {
    code: String,
}

/// The answer, unless its status says that there is none.
pub(crate) fn accept(
    response: Response,
    object: Object,
    name: &str,
) -> Result<Response, KeyVaultError> {
    let status = response.status;
    // 202 and its like never carry what these routes promise.
    if status == StatusCode::OK {
        return Ok(response);
    }
    let retry_after = response.retry_after();
    let reason = match serde_json::from_slice::<Refusal>(&response.body) {
        Ok(refusal) => refusal.error,
        Err(_) => Reason::default(),
    };
    let message = printable(&reason.message);
    let mut code = printable(&reason.code);
    if let Some(inner) = reason.innererror.filter(|inner| !inner.code.is_empty()) {
        code = format!("{code}/{}", printable(&inner.code));
    }
    Err(match status.as_u16() {
        401 => KeyVaultError::Unauthorized { message },
        403 => KeyVaultError::Forbidden { code, message },
        404 => KeyVaultError::NotFound {
            what: object.what(),
            name: name.to_owned(),
            message,
        },
        408 | 429 | 500..=599 => KeyVaultError::Unavailable {
            status,
            message,
            retry_after,
        },
        _ => KeyVaultError::Rejected {
            status,
            code,
            message,
        },
    })
}

/// A foreign text, bounded and on one line.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MESSAGE_CAP)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_keep_the_port_and_carry_name_version_and_action() {
        let vault = Url::parse("https://litware.vault.azure.net:8443/").unwrap();
        let url = Object::Key.url(&vault, "kek-1/0a", Some("release"), &API_VERSION);
        assert_eq!(
            url.unwrap().as_str(),
            "https://litware.vault.azure.net:8443/keys/kek-1/0a/release?api-version=7.4"
        );
        let url = Object::Secret.url(&vault, "wrapped", None, &API_VERSION);
        assert_eq!(
            url.unwrap().as_str(),
            "https://litware.vault.azure.net:8443/secrets/wrapped?api-version=7.4"
        );
    }

    #[test]
    fn names_that_would_change_the_path_are_refused() {
        let vault = Url::parse("https://litware.vault.azure.net").unwrap();
        for name in ["", "..", "a/", "/a", "a/b/c", "a?b", "a%2fb", "é", "a b"] {
            let refused = Object::Key.url(&vault, name, None, &API_VERSION);
            assert!(matches!(refused, Err(KeyVaultError::Name { .. })), "{name}");
        }
        assert!(Object::Key.url(&vault, "a", None, &API_VERSION).is_ok());
    }

    #[test]
    fn only_an_https_origin_is_a_vault() {
        for text in [
            "http://litware.vault.azure.net",
            "https://u:p@litware.vault.azure.net",
            "https://litware.vault.azure.net/keys",
            "https://litware.vault.azure.net/?x=1",
            "https://127.0.0.1",
        ] {
            let refused = Object::Key.url(&Url::parse(text).unwrap(), "kek", None, &API_VERSION);
            assert!(matches!(refused, Err(KeyVaultError::Url { .. })), "{text}");
        }
    }
}
