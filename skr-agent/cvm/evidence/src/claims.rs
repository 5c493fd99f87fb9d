use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cleanroom_crypto::rsa::PublicKey;
use serde::Deserialize;

use crate::EvidenceError;

/// Name of the TPM's attestation key in the claims.
const AK: &str = "HCLAkPub";

/// What the paravisor says about the virtual machine, as far as evidence needs it.
#[derive(Clone, Debug)]
pub struct RuntimeClaims {
    ak: PublicKey,
    user_data: Option<[u8; 64]>,
}

#[derive(Deserialize)]
struct Wire {
    keys: Vec<Jwk>,
    #[serde(rename = "user-data")]
    user_data: Option<String>,
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    kty: String,
    n: Option<String>,
    e: Option<String>,
}

impl RuntimeClaims {
    /// Reads the claims. A member that occurs twice is refused: readers differ on which one counts.
    ///
    /// # Errors
    /// [`EvidenceError::Claims`]: not the JSON of runtime claims, not exactly one `HCLAkPub`, a key that is no RSA key of at
    /// least 2048 bits, or `user-data` that is not 128 hex digits.
    pub fn parse(json: &[u8]) -> Result<Self, EvidenceError> {
        let wire: Wire = serde_json::from_slice(json).map_err(|error| bad(error.to_string()))?;
        let mut named = wire.keys.iter().filter(|key| key.kid == AK);
        let (Some(key), None) = (named.next(), named.next()) else {
            let count = wire.keys.iter().filter(|key| key.kid == AK).count();
            return Err(bad(format!("{count} keys are named {AK}, expected 1")));
        };
        let user_data = match &wire.user_data {
            None => None,
            Some(text) => {
                let mut bytes = [0; 64];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|error| bad(format!("user-data is not 128 hex digits: {error}")))?;
                Some(bytes)
            }
        };
        Ok(Self {
            ak: ak(key)?,
            user_data,
        })
    }

    /// The key that signs the TPM's quotes.
    pub const fn ak(&self) -> &PublicKey {
        &self.ak
    }

    /// What the guest had bound; `None` on hosts whose claims have no such member.
    pub const fn user_data(&self) -> Option<&[u8; 64]> {
        self.user_data.as_ref()
    }

    /// Whether the guest's `user-data` is the one asked for.
    ///
    /// # Errors
    /// [`EvidenceError::UserData`].
    pub fn check_user_data(&self, expected: &[u8; 64]) -> Result<(), EvidenceError> {
        if self.user_data.as_ref() == Some(expected) {
            return Ok(());
        }
        Err(EvidenceError::UserData {
            expected: hex::encode(expected),
            actual: self
                .user_data
                .map_or_else(|| "none".to_owned(), hex::encode),
        })
    }
}

fn ak(key: &Jwk) -> Result<PublicKey, EvidenceError> {
    if key.kty != "RSA" {
        return Err(bad(format!("{AK} is not of type RSA")));
    }
    let number = |name: &str, text: &Option<String>| {
        text.as_deref()
            .and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok())
            .ok_or_else(|| bad(format!("{AK}.{name} is no base64url number")))
    };
    PublicKey::from_n_e(&number("n", &key.n)?, &number("e", &key.e)?)
        .map_err(|error| bad(format!("{AK}: {error}")))
}

fn bad(reason: String) -> EvidenceError {
    EvidenceError::Claims { reason }
}

#[cfg(test)]
mod tests;
