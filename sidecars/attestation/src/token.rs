mod cache;
mod flaw;
mod json;
mod keys;
mod redact;

pub use cache::TokenCache;
pub use flaw::TokenFlaw;
pub use keys::SigningKeys;
pub use redact::redacted;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

use crate::error::shown;
use crate::{AttestError, Report, Verified};

/// Clocks may differ by this much, in seconds; the token is made for us just now.
const SKEW: i64 = 300;
const TOKEN_CAP: usize = 256 << 10;

/// A MAA token: whoever holds it can have keys wrapped for the transfer key that it names, so it is not printed.
#[derive(Clone)]
pub struct MaaToken {
    jwt: Zeroizing<String>,
    claims: Map<String, Value>,
    iat: i64,
    exp: i64,
}

impl MaaToken {
    /// The compact JWT.
    pub fn jwt(&self) -> &str {
        &self.jwt
    }

    /// A claim at the top level.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// All claims.
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// MAA's verdict on the utility VM, such as `azure-compliant-uvm`.
    pub fn compliance(&self) -> Option<&str> {
        self.claim("x-ms-compliance-status").and_then(Value::as_str)
    }
}

impl std::fmt::Debug for MaaToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MaaToken").finish_non_exhaustive()
    }
}

/// What a token must say to be about the evidence that was sent.
#[derive(Clone, Debug)]
pub struct Expected {
    /// `https://host[:port]` of the endpoint.
    pub issuer: String,
    /// The nonce that was sent.
    pub nonce: String,
    /// host_data, 64 hex digits.
    pub host_data: String,
    /// report_data, 128 hex digits.
    pub report_data: String,
    /// Launch measurement, 96 hex digits.
    pub measurement: String,
}

impl Expected {
    /// The claims that a report demands.
    pub fn of(report: &Report, issuer: String, nonce: String) -> Self {
        Self {
            issuer,
            nonce,
            host_data: hex::encode(report.host_data()),
            report_data: hex::encode(report.report_data()),
            measurement: hex::encode(report.measurement()),
        }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    #[serde(default)]
    jku: Option<Value>,
    #[serde(default)]
    crit: Option<Value>,
}

/// A JWT taken apart, nothing of it checked.
struct Parts<'a> {
    signed: &'a str,
    header: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    fn of(jwt: &'a str) -> Result<Self, AttestError> {
        if jwt.len() > TOKEN_CAP {
            return Err(bad(TokenFlaw::TooLong { cap: TOKEN_CAP }));
        }
        let parts = || bad(TokenFlaw::Parts);
        let (signed, signature) = jwt.rsplit_once('.').ok_or_else(parts)?;
        let (header, claims) = signed.split_once('.').ok_or_else(parts)?;
        if claims.contains('.') {
            return Err(parts());
        }
        Ok(Self {
            signed,
            header,
            claims,
            signature,
        })
    }
}

/// The claims of a token **of which nothing is checked**: to explain a refusal, never to decide anything.
///
/// # Errors
/// [`AttestError::BadToken`] if this is no JWT.
pub fn read_claims(jwt: &str) -> Result<Map<String, Value>, AttestError> {
    json(Parts::of(jwt)?.claims, "claims")
}

/// Checks a token made just now: RS256 and nothing else, a key from `keys` (the token's own `jku` may only name where
/// those come from), the lifetime against `now` (seconds since 1970), and every claim of `expected`.
///
/// The clock of the host must be within five minutes of the time that MAA signed.
///
/// # Errors
/// The first check that failed, with the claim, the expected and the actual value.
pub fn verify_token(
    jwt: &str,
    keys: &SigningKeys,
    expected: &Expected,
    now: i64,
) -> Result<Verified<MaaToken>, AttestError> {
    let parts = Parts::of(jwt)?;
    let head: Header = json(parts.header, "header")?;
    if head.alg != "RS256" {
        return Err(AttestError::Algorithm {
            actual: shown(&head.alg),
        });
    }
    if head.crit.is_some() {
        return Err(bad(TokenFlaw::Critical));
    }
    if let Some(jku) = &head.jku {
        check_jku(jku, &expected.issuer)?;
    }
    keys.find(&head.kid)?
        .verify_pkcs1_sha256(
            parts.signed.as_bytes(),
            &decode(parts.signature, "signature")?,
        )
        .map_err(|_| AttestError::TokenSignature)?;
    let claims: Map<String, Value> = json(parts.claims, "claims")?;
    let token = MaaToken {
        iat: time(&claims, "iat")?,
        exp: time(&claims, "exp")?,
        jwt: Zeroizing::new(jwt.to_owned()),
        claims,
    };
    let issuer = token
        .claim("iss")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if issuer.trim_end_matches('/') != expected.issuer {
        let expected = format!("{:?}", expected.issuer);
        return Err(differs(&token.claims, "iss", &expected));
    }
    token.check_lifetime(now)?;
    token.equals("nonce", &expected.nonce)?;
    token.equals("x-ms-attestation-type", "sevsnpvm")?;
    token.equals("x-ms-sevsnpvm-hostdata", &expected.host_data)?;
    token.equals("x-ms-sevsnpvm-reportdata", &expected.report_data)?;
    token.equals("x-ms-sevsnpvm-launchmeasurement", &expected.measurement)?;
    Ok(Verified::new(token))
}

/// `jku` is never followed; one that points elsewhere means that the token is not of this endpoint.
fn check_jku(jku: &Value, issuer: &str) -> Result<(), AttestError> {
    let expected = format!("{issuer}/certs");
    let url = jku.as_str().and_then(|text| Url::parse(text).ok());
    if url.is_some_and(|url| url.as_str() == expected) {
        return Ok(());
    }
    Err(AttestError::ForeignKeys {
        expected,
        actual: shown(&jku.to_string()),
    })
}

impl MaaToken {
    fn check_lifetime(&self, now: i64) -> Result<(), AttestError> {
        let (exp, iat) = (self.exp, self.iat);
        let nbf = if self.claims.contains_key("nbf") {
            time(&self.claims, "nbf")?
        } else {
            iat
        };
        for (claim, at, outside) in [
            ("exp", exp, exp <= now.saturating_sub(SKEW)),
            ("nbf", nbf, nbf > now.saturating_add(SKEW)),
        ] {
            if outside {
                return Err(AttestError::Lifetime { claim, at, now });
            }
        }
        // The host gives the clock: it can make a token look old, which refuses, and young only within the skew.
        if now.saturating_sub(iat).saturating_abs() > SKEW {
            return Err(AttestError::Clock {
                now,
                iat,
                allowed: SKEW,
            });
        }
        Ok(())
    }

    /// The claim is this text; a number of the same digits is not.
    fn equals(&self, name: &'static str, expected: &str) -> Result<(), AttestError> {
        match self.claim(name) {
            Some(Value::String(actual)) if actual == expected => Ok(()),
            // In quotes, as the actual value is: text and number must not look alike.
            _ => Err(differs(&self.claims, name, &format!("{expected:?}"))),
        }
    }
}

fn time(claims: &Map<String, Value>, name: &'static str) -> Result<i64, AttestError> {
    claims
        .get(name)
        .and_then(Value::as_i64)
        .ok_or_else(|| differs(claims, name, "seconds since 1970"))
}

fn differs(claims: &Map<String, Value>, claim: &'static str, expected: &str) -> AttestError {
    AttestError::Claim {
        claim,
        expected: expected.to_owned(),
        actual: claims
            .get(claim)
            .map_or_else(|| "nothing".to_owned(), |value| shown(&value.to_string())),
    }
}

const fn bad(flaw: TokenFlaw) -> AttestError {
    AttestError::BadToken(flaw)
}

fn decode(text: &str, part: &'static str) -> Result<Vec<u8>, AttestError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| bad(TokenFlaw::Base64 { part }))
}

fn json<T: DeserializeOwned>(text: &str, part: &'static str) -> Result<T, AttestError> {
    json::from_slice(&decode(text, part)?).map_err(|error| {
        bad(TokenFlaw::Json {
            part,
            reason: shown(&error.to_string()),
        })
    })
}

#[cfg(test)]
mod tests;
