use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use cleanroom_crypto::rsa::PublicKey;
use serde::Deserialize;
use serde_json::Value;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use super::json;
use crate::AttestError;
use crate::error::shown;

/// More keys than any endpoint publishes.
const MOST: usize = 128;

// Writers of key sets disagree on padding; nothing depends on it.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const B64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const B64URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// The keys that an endpoint publishes at `/certs`.
#[derive(Clone, Debug)]
pub struct SigningKeys(BTreeMap<String, Published>);

#[derive(Clone, Debug)]
enum Published {
    Key(PublicKey),
    Unusable(&'static str),
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl SigningKeys {
    /// Reads a JWKS (RFC 7517). What has no `kid` is left out; a key that cannot be used is an error only for a token that
    /// names it. The same key may stand there twice; two keys of one name serve nobody.
    ///
    /// # Errors
    /// [`AttestError::SigningKeys`] if this is no JWKS, or one of more than 128 keys.
    pub fn from_json(jwks: &[u8]) -> Result<Self, AttestError> {
        let refuse = |reason: String| AttestError::SigningKeys { reason };
        let set: Set = json::from_slice(jwks)
            .map_err(|error| refuse(format!("the set is not the expected JSON: {error}")))?;
        if set.keys.len() > MOST {
            return Err(refuse(format!(
                "{} keys, expected at most {MOST}",
                set.keys.len()
            )));
        }
        let mut keys = BTreeMap::new();
        for entry in &set.keys {
            let Some(kid) = entry.get("kid").and_then(Value::as_str) else {
                continue;
            };
            let read = match public_key(entry) {
                Ok(key) => Published::Key(key),
                Err(reason) => Published::Unusable(reason),
            };
            match keys.entry(kid.to_owned()) {
                Entry::Vacant(place) => {
                    place.insert(read);
                }
                Entry::Occupied(mut place) => {
                    let same = matches!((place.get(), &read), (Published::Key(a), Published::Key(b)) if a == b);
                    if !same {
                        place.insert(Published::Unusable("published twice, not alike"));
                    }
                }
            }
        }
        Ok(Self(keys))
    }

    pub(super) fn find(&self, kid: &str) -> Result<&PublicKey, AttestError> {
        match self.0.get(kid) {
            Some(Published::Key(key)) => Ok(key),
            Some(Published::Unusable(why)) => Err(AttestError::SigningKeys {
                reason: format!("key {:?}: {why}", shown(kid)),
            }),
            None => Err(AttestError::UnknownKey { kid: shown(kid) }),
        }
    }
}

/// The key of an entry: the numbers, or what is in its first certificate. The service may publish only the latter.
fn public_key(entry: &Value) -> Result<PublicKey, &'static str> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    if text("kty") != Some("RSA") {
        return Err("not an RSA key");
    }
    let numbers = match (text("n"), text("e")) {
        (Some(n), Some(e)) => Some(from_numbers(n, e)?),
        _ => None,
    };
    let leaf = entry.pointer("/x5c/0").and_then(Value::as_str);
    let certified = leaf.map(from_certificate).transpose()?;
    match (numbers, certified) {
        (Some(numbers), Some(certified)) if numbers != certified => {
            Err("its numbers are not those of its certificate")
        }
        (Some(key), _) | (None, Some(key)) => Ok(key),
        (None, None) => Err("neither n and e nor x5c"),
    }
}

fn from_numbers(n: &str, e: &str) -> Result<PublicKey, &'static str> {
    let number = |text| B64URL.decode(text).map_err(|_| "n or e is not base64url");
    PublicKey::from_n_e(&number(n)?, &number(e)?).map_err(|_| "not an RSA key of 2048 to 8192 bits")
}

fn from_certificate(leaf: &str) -> Result<PublicKey, &'static str> {
    let der = B64
        .decode(leaf)
        .map_err(|_| "its certificate is not base64")?;
    let spki = Certificate::from_der(&der)
        .and_then(|leaf| leaf.tbs_certificate().subject_public_key_info().to_der())
        .map_err(|_| "its certificate is not X.509")?;
    PublicKey::from_spki_der(&spki)
        .map_err(|_| "its certificate has no RSA key of 2048 to 8192 bits")
}
