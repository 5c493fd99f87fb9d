use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cleanroom_crypto::rsa::PublicKey;
use serde::Deserialize;
use serde_json::{Map, Value};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use zeroize::Zeroizing;

use crate::error::shown;
use crate::{AttestError, Report};

/// Clocks may differ by this much, in seconds; the token is made for us just now.
const SKEW: i64 = 300;
const TOKEN_CAP: usize = 256 << 10;

/// Something that has been checked. Only [`verify_token`] makes one.
#[derive(Clone, Debug)]
pub struct Verified<T>(T);

impl<T> std::ops::Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A MAA token: whoever holds it can have keys wrapped for the transfer key that it names, so it is not printed.
#[derive(Clone)]
pub struct MaaToken {
    jwt: Zeroizing<String>,
    claims: Map<String, Value>,
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

/// The keys that an endpoint publishes at `/certs`.
#[derive(Clone, Debug, Deserialize)]
pub struct SigningKeys {
    keys: Vec<SigningKey>,
}

#[derive(Clone, Debug, Deserialize)]
struct SigningKey {
    kid: String,
    #[serde(default)]
    x5c: Vec<String>,
}

impl SigningKeys {
    fn find(&self, kid: &str) -> Result<PublicKey, AttestError> {
        let unknown = || AttestError::UnknownKey { kid: shown(kid) };
        let key = self
            .keys
            .iter()
            .find(|key| key.kid == kid)
            .ok_or_else(unknown)?;
        let leaf = key.x5c.first().ok_or_else(unknown)?;
        let unreadable = |what: &str| bad(format!("the published certificate of its key: {what}"));
        let der = STANDARD
            .decode(leaf)
            .map_err(|_| unreadable("not base64"))?;
        let certificate = Certificate::from_der(&der).map_err(|_| unreadable("not X.509"))?;
        let spki = certificate
            .tbs_certificate()
            .subject_public_key_info()
            .to_der()
            .map_err(|_| unreadable("not X.509"))?;
        PublicKey::from_spki_der(&spki).map_err(|_| unreadable("not an RSA key"))
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
}

/// Checks a token: RS256 and nothing else, a key from `keys` (never from the token's own `jku`), the lifetime against
/// `now` (seconds since 1970), and every claim of `expected`.
///
/// # Errors
/// The first check that failed, with the claim, the expected and the actual value.
pub fn verify_token(
    jwt: &str,
    keys: &SigningKeys,
    expected: &Expected,
    now: i64,
) -> Result<Verified<MaaToken>, AttestError> {
    if jwt.len() > TOKEN_CAP {
        return Err(bad(format!("more than {TOKEN_CAP} bytes")));
    }
    let mut parts = jwt.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad("not three parts".to_owned()));
    };
    let head: Header = json(header, "header")?;
    if head.alg != "RS256" {
        return Err(bad(format!(
            "alg {:?}, expected \"RS256\"",
            shown(&head.alg)
        )));
    }
    let key = keys.find(&head.kid)?;
    let signed = jwt
        .get(..header.len() + 1 + claims.len())
        .unwrap_or_default();
    key.verify_pkcs1_sha256(signed.as_bytes(), &decode(signature, "signature")?)
        .map_err(|_| AttestError::TokenSignature)?;
    let token = MaaToken {
        jwt: Zeroizing::new(jwt.to_owned()),
        claims: json(claims, "claims")?,
    };
    let issuer = token
        .claim("iss")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if issuer.trim_end_matches('/') != expected.issuer {
        return Err(token.differs("iss", &expected.issuer));
    }
    token.check_lifetime(now)?;
    token.equals("nonce", &expected.nonce)?;
    token.equals("x-ms-attestation-type", "sevsnpvm")?;
    token.equals("x-ms-sevsnpvm-hostdata", &expected.host_data)?;
    token.equals("x-ms-sevsnpvm-reportdata", &expected.report_data)?;
    token.equals("x-ms-sevsnpvm-launchmeasurement", &expected.measurement)?;
    Ok(Verified(token))
}

impl MaaToken {
    fn check_lifetime(&self, now: i64) -> Result<(), AttestError> {
        let (exp, iat) = (self.time("exp")?, self.time("iat")?);
        let nbf = if self.claims.contains_key("nbf") {
            self.time("nbf")?
        } else {
            iat
        };
        // The host gives the clock: it can make a token look old, which refuses, and young only within the skew.
        if now.saturating_sub(iat).saturating_abs() > SKEW {
            return Err(AttestError::Clock {
                now,
                iat,
                allowed: SKEW,
            });
        }
        for (claim, at, outside) in [
            ("exp", exp, exp <= now.saturating_sub(SKEW)),
            ("nbf", nbf, nbf > now.saturating_add(SKEW)),
        ] {
            if outside {
                return Err(AttestError::Lifetime { claim, at, now });
            }
        }
        Ok(())
    }

    fn time(&self, name: &'static str) -> Result<i64, AttestError> {
        self.claim(name)
            .and_then(Value::as_i64)
            .ok_or_else(|| self.differs(name, "seconds since 1970"))
    }

    fn equals(&self, name: &'static str, expected: &str) -> Result<(), AttestError> {
        match self.claim(name) {
            Some(Value::String(actual)) if actual == expected => Ok(()),
            _ => Err(self.differs(name, expected)),
        }
    }

    fn differs(&self, claim: &'static str, expected: &str) -> AttestError {
        AttestError::Claim {
            claim,
            expected: expected.to_owned(),
            actual: self
                .claim(claim)
                .map_or_else(|| "nothing".to_owned(), |value| shown(&value.to_string())),
        }
    }
}

fn bad(reason: String) -> AttestError {
    AttestError::BadToken { reason }
}

fn decode(part: &str, what: &str) -> Result<Vec<u8>, AttestError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| bad(format!("its {what} is not base64url")))
}

fn json<T: serde::de::DeserializeOwned>(part: &str, what: &str) -> Result<T, AttestError> {
    serde_json::from_slice(&decode(part, what)?)
        .map_err(|error| bad(format!("its {what} is not the expected JSON: {error}")))
}

#[cfg(test)]
mod tests;
