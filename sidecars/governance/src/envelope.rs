use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Serialize;

use crate::{GovError, RoomKey};

/// The evidence of this clean room as CGS takes it. Nothing in it is secret.
#[derive(Clone, Debug, Serialize)]
pub struct Attestation {
    /// Base64 of the SNP report, 1184 bytes.
    pub evidence: String,
    /// Base64 of the PEM chain VCEK, ASK, ARK.
    pub endorsements: String,
    /// Base64 of the UVM's COSE endorsement. Left out where there is none: CGS decodes even an empty text, and fails.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uvm_endorsements: String,
}

/// Key and evidence: what the clean room is to CGS.
#[derive(Debug)]
pub struct Room {
    key: RoomKey,
    attestation: Attestation,
}

#[derive(Serialize)]
struct Encrypt<'a> {
    #[serde(rename = "publicKey")]
    public_key: &'a str,
}

#[derive(Serialize)]
struct Sign<'a> {
    signature: String,
    #[serde(rename = "publicKey")]
    public_key: &'a str,
}

#[derive(Serialize)]
struct Envelope<'a> {
    attestation: &'a Attestation,
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypt: Option<Encrypt<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sign: Option<Sign<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
}

impl Room {
    /// Joins a key with the evidence that binds it.
    pub const fn new(key: RoomKey, attestation: Attestation) -> Self {
        Self { key, attestation }
    }

    /// The key.
    pub const fn key(&self) -> &RoomKey {
        &self.key
    }

    /// The body of a question that needs evidence only (consent).
    ///
    /// # Errors
    /// [`GovError::Request`] if it cannot be written.
    pub fn attested(&self) -> Result<Bytes, GovError> {
        self.envelope(None, None)
    }

    /// The body of a question whose answer is to be wrapped for this clean room (token).
    ///
    /// # Errors
    /// [`GovError::Request`] if it cannot be written.
    pub fn encrypted(&self) -> Result<Bytes, GovError> {
        self.envelope(Some(self.encrypt()), None)
    }

    /// The body that carries signed data (event). The time is outside the signature, as CGS has it; the data carries
    /// its own.
    ///
    /// # Errors
    /// [`GovError::Crypto`] if signing fails.
    pub fn signed(&self, data: &[u8], now: SystemTime) -> Result<Bytes, GovError> {
        let sign = Sign {
            signature: BASE64_STANDARD.encode(self.key.sign(data)?),
            public_key: self.key.public(),
        };
        let millis = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis());
        let payload = (sign, BASE64_STANDARD.encode(data), millis.to_string());
        self.envelope(Some(self.encrypt()), Some(payload))
    }

    const fn encrypt(&self) -> Encrypt<'_> {
        Encrypt {
            public_key: self.key.public.as_str(),
        }
    }

    fn envelope(
        &self,
        encrypt: Option<Encrypt<'_>>,
        payload: Option<(Sign<'_>, String, String)>,
    ) -> Result<Bytes, GovError> {
        let (sign, data, timestamp) = match payload {
            Some((sign, data, timestamp)) => (Some(sign), Some(data), Some(timestamp)),
            None => (None, None, None),
        };
        let envelope = Envelope {
            attestation: &self.attestation,
            encrypt,
            sign,
            data,
            timestamp,
        };
        serde_json::to_vec(&envelope)
            .map(Bytes::from)
            .map_err(|_| GovError::Request {
                reason: "the request cannot be written as JSON".to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    use serde_json::{Value, json};

    use super::*;

    fn room() -> Room {
        let attestation = Attestation {
            evidence: "ZXY=".to_owned(),
            endorsements: "ZW4=".to_owned(),
            uvm_endorsements: "dXY=".to_owned(),
        };
        Room::new(RoomKey::generate().unwrap(), attestation)
    }

    #[test]
    fn consent_needs_the_evidence_and_nothing_else() {
        let body = room().attested().unwrap();
        assert_eq!(
            body,
            r#"{"attestation":{"evidence":"ZXY=","endorsements":"ZW4=","uvm_endorsements":"dXY="}}"#
        );
    }

    #[test]
    fn a_signed_body_carries_the_same_key_twice_and_a_time_in_text() {
        let room = room();
        let at = UNIX_EPOCH + Duration::from_millis(1_717_591_984_758);
        let body: Value = serde_json::from_slice(&room.signed(b"{}", at).unwrap()).unwrap();
        assert_eq!(body["timestamp"], json!("1717591984758"));
        assert_eq!(body["data"], json!("e30="));
        assert_eq!(body["encrypt"]["publicKey"], body["sign"]["publicKey"]);
        assert_eq!(body["sign"]["publicKey"], json!(room.key().public()));
    }

    #[test]
    fn the_signature_verifies_as_pss_with_salt_32_over_the_decoded_data() {
        let room = room();
        let body: Value =
            serde_json::from_slice(&room.signed(b"{\"a\":1}", UNIX_EPOCH).unwrap()).unwrap();
        let decode = |value: &Value| BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap();
        let pem = String::from_utf8(decode(&body["sign"]["publicKey"])).unwrap();
        let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let spki = BASE64_STANDARD.decode(der).unwrap();
        // aws-lc-rs reads the salt's length from the algorithm: as long as the digest.
        let key = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, spki);
        key.verify(&decode(&body["data"]), &decode(&body["sign"]["signature"]))
            .unwrap();
        assert!(
            key.verify(b"{\"a\":2}", &decode(&body["sign"]["signature"]))
                .is_err()
        );
    }

    #[test]
    fn missing_uvm_endorsements_are_left_out_and_not_sent_empty() {
        let mut room = room();
        room.attestation.uvm_endorsements.clear();
        let text = String::from_utf8(room.attested().unwrap().to_vec()).unwrap();
        assert!(!text.contains("uvm_endorsements"), "{text}");
    }
}
