use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cleanroom_crypto::digest::sha256;
use cleanroom_crypto::rsa::PublicKey;

/// The bytes that a report is bound to.
///
/// The hash covers bytes, not meaning: the same bytes go into the report and to MAA.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuntimeData(Vec<u8>);

impl RuntimeData {
    /// Any bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The JWKS of a transfer key: members in alphabetical order, no white space, `kid` the key's RFC 7638 thumbprint.
    pub fn of_transfer_key(key: &PublicKey) -> Self {
        let n = URL_SAFE_NO_PAD.encode(key.n_be());
        let e = URL_SAFE_NO_PAD.encode(key.e_be());
        let thumbprint = sha256(format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#).as_bytes());
        let kid = URL_SAFE_NO_PAD.encode(thumbprint);
        let jwks = format!(
            r#"{{"keys":[{{"e":"{e}","key_ops":["encrypt"],"kid":"{kid}","kty":"RSA","n":"{n}"}}]}}"#
        );
        Self(jwks.into_bytes())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// SHA-256 of the bytes.
    pub fn digest(&self) -> [u8; 32] {
        sha256(&self.0)
    }

    /// What the report must carry: SHA-256 of the bytes, then 32 zero bytes.
    pub fn report_data(&self) -> [u8; 64] {
        let mut report_data = [0; 64];
        if let Some(head) = report_data.first_chunk_mut() {
            *head = self.digest();
        }
        report_data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jwks_has_the_bytes_that_the_vault_side_expects() {
        let n = [0xff_u8; 256];
        let key = PublicKey::from_n_e(&n, &[1, 0, 1]).unwrap();
        let n = URL_SAFE_NO_PAD.encode(n);
        let kid = URL_SAFE_NO_PAD.encode(sha256(
            format!(r#"{{"e":"AQAB","kty":"RSA","n":"{n}"}}"#).as_bytes(),
        ));
        let runtime = RuntimeData::of_transfer_key(&key);
        let expected = format!(
            "{{\"keys\":[{{\"e\":\"AQAB\",\"key_ops\":[\"encrypt\"],\"kid\":\"{kid}\",\"kty\":\"RSA\",\"n\":\"{n}\"}}]}}"
        );
        assert_eq!(runtime.as_bytes(), expected.as_bytes());
    }

    #[test]
    fn report_data_is_the_hash_and_zeros() {
        let report_data = RuntimeData::new(*br#"{"keys":[]}"#).report_data();
        assert_eq!(
            hex::encode(&report_data[..32]),
            "9638d11914735d0072002dd4d67c734a94ee7a0cd845e6dcbc984ee7581860a7"
        );
        assert_eq!(report_data[32..], [0; 32]);
    }
}
