use attestation::{Evidence, RuntimeData, Verified, parse_endpoint};
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::general_purpose::STANDARD as PADDED;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::SkrError;

/// Padded or not: upstream's clients send both, in both alphabets.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const LENIENT_STANDARD: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const LENIENT_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Reads a body whatever its content type, as upstream does.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, SkrError> {
    serde_json::from_slice(body).map_err(SkrError::Body)
}

fn required<'a>(member: &'static str, value: &'a str) -> Result<&'a str, SkrError> {
    if value.is_empty() {
        return Err(SkrError::Missing { member });
    }
    Ok(value)
}

/// Runtime data in any spelling of base64.
pub(crate) fn runtime_data(text: &str) -> Result<RuntimeData, SkrError> {
    let text = required("runtime_data", text)?;
    let engine = if text.contains(['-', '_']) {
        &LENIENT_URL
    } else {
        &LENIENT_STANDARD
    };
    let bytes = engine.decode(text).map_err(|error| SkrError::RuntimeData {
        reason: error.to_string(),
    })?;
    Ok(RuntimeData::new(bytes))
}

/// Body of `/attest/raw` and `/attest/combined`, and of `/attest/maa` with the endpoint.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AttestRequest {
    maa_endpoint: String,
    runtime_data: String,
}

impl AttestRequest {
    pub(crate) fn runtime(&self) -> Result<RuntimeData, SkrError> {
        runtime_data(&self.runtime_data)
    }

    pub(crate) fn maa_endpoint(&self) -> Result<Url, SkrError> {
        Ok(parse_endpoint(required(
            "maa_endpoint",
            &self.maa_endpoint,
        )?)?)
    }
}

/// Body of `/key/release`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ReleaseRequest {
    maa_endpoint: String,
    akv_endpoint: String,
    kid: String,
    #[serde(deserialize_with = "secret")]
    access_token: Option<Zeroizing<String>>,
}

/// Upstream's clients send an empty token, `null`, or none.
fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Zeroizing<String>>, D::Error> {
    let text = Option::<String>::deserialize(from)?.map(Zeroizing::new);
    Ok(text.filter(|text| !text.is_empty()))
}

/// A checked release request.
pub(crate) struct Release {
    pub(crate) maa: Url,
    pub(crate) vault: Url,
    /// `name` or `name/version`.
    pub(crate) kid: String,
    /// Without one, the agent gets it.
    pub(crate) access_token: Option<Zeroizing<String>>,
}

impl ReleaseRequest {
    pub(crate) fn check(self) -> Result<Release, SkrError> {
        let maa = parse_endpoint(required("maa_endpoint", &self.maa_endpoint)?)?;
        let vault = parse_endpoint(required("akv_endpoint", &self.akv_endpoint)?)?;
        let kid = key_path(required("kid", &self.kid)?, &vault)?;
        Ok(Release {
            maa,
            vault,
            kid,
            access_token: self.access_token,
        })
    }
}

impl Release {
    /// The release that a wrapped layer key asks for.
    pub(crate) fn of_annotation(maa: &str, vault: &str, kid: &str) -> Result<Self, SkrError> {
        let named = ReleaseRequest {
            maa_endpoint: maa.to_owned(),
            akv_endpoint: vault.to_owned(),
            kid: kid.to_owned(),
            access_token: None,
        };
        named.check()
    }
}

/// A key's name, or its URL in this vault, with or without a version, as `name` or `name/version`.
fn key_path(kid: &str, vault: &Url) -> Result<String, SkrError> {
    let refuse = |reason| SkrError::Kid { reason };
    let word = |text: &str| {
        !text.is_empty()
            && text.len() <= 127
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let path = if kid.contains("://") {
        let url = Url::parse(kid).map_err(|_| refuse("not a URL"))?;
        if url.origin() != vault.origin() {
            return Err(refuse("its vault is not akv_endpoint"));
        }
        let path = url.path().strip_prefix("/keys/");
        path.ok_or_else(|| refuse("not the URL of a key"))?
            .to_owned()
    } else {
        kid.to_owned()
    };
    let (name, version) = match path.split_once('/') {
        None => (path.as_str(), None),
        Some((name, version)) => (name, Some(version)),
    };
    if !word(name) || version.is_some_and(|version| !word(version)) {
        return Err(refuse(
            "a key name holds letters, digits and hyphens only, at most 127",
        ));
    }
    Ok(path)
}

/// Answer of `/attest/raw`.
#[derive(Serialize)]
pub(crate) struct RawAnswer {
    /// Lower-case hex.
    pub(crate) report: String,
}

/// Answer of `/attest/combined`.
#[derive(Serialize)]
pub(crate) struct CombinedAnswer {
    pub(crate) endorsed_tcb: String,
    pub(crate) endorsements: String,
    pub(crate) evidence: String,
    pub(crate) uvm_endorsements: String,
}

impl CombinedAnswer {
    /// Nothing but evidence that verifies is given out.
    pub(crate) fn of(evidence: &Verified<Evidence>) -> Self {
        Self {
            endorsements: PADDED.encode(&evidence.endorsements_pem),
            evidence: PADDED.encode(evidence.report.as_bytes()),
            uvm_endorsements: PADDED.encode(&evidence.uvm_endorsements),
            endorsed_tcb: evidence.endorsed_tcb.clone(),
        }
    }
}

/// Answer of `/attest/maa`.
#[derive(Serialize)]
pub(crate) struct TokenAnswer {
    pub(crate) token: String,
}

/// Answer of `/key/release`.
#[derive(Serialize)]
pub(crate) struct KeyAnswer<'a> {
    /// The JWK as a JSON string.
    pub(crate) key: &'a str,
    /// The key's URL in its vault, with the version that was released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kid: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sidecar_http::Coded;

    use super::*;

    fn vault() -> Url {
        parse_endpoint("litware.vault.azure.net:8443").unwrap()
    }

    #[test]
    fn runtime_data_is_read_in_every_spelling_of_base64() {
        for text in ["+/8=", "-_8=", "+/8", "-_8"] {
            let request = AttestRequest {
                runtime_data: text.to_owned(),
                ..AttestRequest::default()
            };
            assert_eq!(
                request.runtime().unwrap().as_bytes(),
                [0xfb, 0xff],
                "{text}"
            );
        }
        for (text, code) in [
            ("", "CR-SKR-0031"),
            ("+_8=", "CR-SKR-0032"),
            ("%%", "CR-SKR-0032"),
        ] {
            let request = AttestRequest {
                runtime_data: text.to_owned(),
                ..AttestRequest::default()
            };
            assert_eq!(request.runtime().unwrap_err().code(), code, "{text}");
        }
    }

    #[test]
    fn a_key_is_named_or_addressed_in_its_own_vault() {
        let named = |kid| key_path(kid, &vault());
        assert_eq!(named("kek-1").unwrap(), "kek-1");
        assert_eq!(
            named("https://litware.vault.azure.net:8443/keys/kek-1/0a").unwrap(),
            "kek-1/0a"
        );
        for kid in [
            "https://fabrikam.vault.azure.net:8443/keys/kek-1",
            "https://litware.vault.azure.net/keys/kek-1",
            "https://litware.vault.azure.net:8443/secrets/kek-1",
            "../secrets/x",
            "kek 1",
            "kek?x",
            "a/b/c",
        ] {
            assert_eq!(named(kid).unwrap_err().code(), "CR-SKR-0033", "{kid}");
        }
    }

    #[test]
    fn every_member_of_a_release_but_the_token_is_required() {
        let whole = serde_json::json!({
            "maa_endpoint": "maa.example", "akv_endpoint": "litware.vault.azure.net",
            "kid": "kek", "access_token": "t", "unknown": 1,
        });
        let check = |body: &Value| {
            read::<ReleaseRequest>(body.to_string().as_bytes()).and_then(ReleaseRequest::check)
        };
        let token = |body: &Value| check(body).unwrap().access_token;
        assert_eq!(token(&whole).unwrap().as_str(), "t");
        for none in [json!(null), json!("")] {
            let mut body = whole.clone();
            body["access_token"] = none;
            assert!(token(&body).is_none());
        }
        for member in ["maa_endpoint", "akv_endpoint", "kid"] {
            let mut body = whole.clone();
            body.as_object_mut().unwrap().remove(member);
            let error = check(&body).err().unwrap();
            assert_eq!(error.code(), "CR-SKR-0031");
            assert!(error.to_string().contains(member), "{error}");
        }
    }
}
