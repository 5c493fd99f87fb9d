//! Keys as they come out of vaults and certificates: PKCS#8, SubjectPublicKeyInfo, PEM, JWK.
#![no_main]

use cleanroom_crypto::ec::{EcPrivateKey, P384PublicKey};
use cleanroom_crypto::rsa::{PrivateKey, PublicKey};
use fuzz::bounded;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const MEMORY: usize = 64;

fuzz_target!(|input: &[u8]| {
    if let Ok(key) = bounded(input, MEMORY, || PrivateKey::from_pkcs8_der(input)) {
        private(&key);
    }
    if let Ok(key) = bounded(input, MEMORY, || EcPrivateKey::from_pkcs8_der(input)) {
        let again = EcPrivateKey::from_pkcs8_der(&key.to_pkcs8_der()).unwrap();
        assert_eq!(again.to_jwk(), key.to_jwk());
        assert_eq!(again.public_point(), key.public_point());
        let jwk: Value = serde_json::from_str(&key.to_jwk()).unwrap();
        assert_eq!(jwk["kty"], "EC");
    }
    if let Ok(key) = bounded(input, MEMORY, || PublicKey::from_spki_der(input)) {
        public(&key);
    }
    let _ = bounded(input, MEMORY, || P384PublicKey::from_spki_der(input));
    let _ = bounded(input, MEMORY, || P384PublicKey::from_point(input));

    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    for key in [
        bounded(input, MEMORY, || PrivateKey::from_jwk(text)),
        bounded(input, MEMORY, || PrivateKey::from_pem(text)),
    ] {
        if let Ok(key) = key {
            private(&key);
        }
    }
    if let Ok(key) = bounded(input, MEMORY, || PublicKey::from_spki_pem(text)) {
        public(&key);
    }
});

fn private(key: &PrivateKey) {
    let public_key = key.public_key();
    let again = PrivateKey::from_pkcs8_der(&key.to_pkcs8_der()).unwrap();
    assert_eq!(again.public_key(), public_key);
    let again = PrivateKey::from_jwk(&key.to_jwk()).unwrap();
    assert_eq!(again.public_key(), public_key);
    let signature = key.sign_pkcs1_sha256(b"fuzz").unwrap();
    assert!(public_key.verify_pkcs1_sha256(b"fuzz", &signature).is_ok());
    public(&public_key);
}

fn public(key: &PublicKey) {
    assert!(
        (256..=1024).contains(&key.n_be().len()),
        "{} bytes",
        key.n_be().len()
    );
    assert_eq!(
        PublicKey::from_spki_der(&key.to_spki_der()).as_ref(),
        Ok(key)
    );
    assert_eq!(
        PublicKey::from_spki_pem(&key.to_spki_pem()).as_ref(),
        Ok(key)
    );
    assert_eq!(
        PublicKey::from_n_e(key.n_be(), key.e_be()).as_ref(),
        Ok(key)
    );
}
