//! Recorded releases; `tests/vectors/keyvault/README.md` says whose.
use cleanroom_crypto::ec::EcPrivateKey;
use cleanroom_crypto::keywrap::unwrap_rsa_aes;
use cleanroom_crypto::rsa::OaepHash;

use super::*;
use crate::jws;
use crate::released::Material;

macro_rules! vector {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/vectors/keyvault/",
            $name
        ))
    };
}

const TRANSFER: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../crypto/tests/vectors/key-unwrap.json"
));

fn transfer_key() -> PrivateKey {
    let vectors: Value = serde_json::from_str(TRANSFER).unwrap();
    PrivateKey::from_pem(vectors["synthetic"]["private_key_pem"].as_str().unwrap()).unwrap()
}

#[test]
fn every_recorded_release_is_verified_and_opens_to_its_key() {
    let responses: Value = serde_json::from_str(vector!("akv-release-responses.json")).unwrap();
    let root = Trust::only_pem(vector!("akv-root.pem").as_bytes());
    let root = root.map(|trust| trust.anchors()).unwrap();
    let key = transfer_key();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    let mut opened = 0;
    for case in responses["cases"].as_array().unwrap() {
        let text = |name: &str| case[name].as_str().unwrap();
        let jws = case["response"]["value"].as_str().unwrap();
        let payload: Value = jws::verify(jws, text("host"), &root, now).unwrap();
        assert_eq!(payload["request"]["enc"], case["enc"]);
        let released = &payload["response"]["key"]["key"];
        assert_eq!(released["kty"], case["kty"]);
        let decode = |text: &Value| crate::wire::decode(text.as_str().unwrap(), "x").unwrap();
        let envelope: Value = serde_json::from_slice(&decode(&released["key_hsm"])).unwrap();
        let wrapped = decode(&envelope["ciphertext"]);
        let hash = match text("enc") {
            "CKM_RSA_AES_KEY_WRAP" => OaepHash::Sha1,
            "RSA_AES_KEY_WRAP_256" => OaepHash::Sha256,
            "RSA_AES_KEY_WRAP_384" => OaepHash::Sha384,
            other => panic!("{other}"),
        };
        let clear = unwrap_rsa_aes(&key, hash, &wrapped).unwrap();
        assert_eq!(hex::encode(clear.as_slice()), text("plaintext_hex"));
        match (
            text("kty"),
            Material::read(text("kty"), clear.clone()).unwrap(),
        ) {
            ("RSA-HSM", Material::Rsa(key)) => assert_eq!(key.to_pkcs8_der(), clear),
            ("EC-HSM", Material::Ec(key)) => {
                let again = EcPrivateKey::from_pkcs8_der(&clear).unwrap();
                assert_eq!(key.to_jwk(), again.to_jwk());
            }
            ("oct-HSM", Material::Oct(bytes)) => assert_eq!(bytes, clear),
            (kty, _) => panic!("{kty}"),
        }
        let elsewhere = jws::verify::<Value>(jws, "other.vault.azure.net", &root, now);
        assert!(matches!(elsewhere, Err(KeyVaultError::Certificate(_))));
        opened += 1;
    }
    assert_eq!(opened, 9);
}

#[test]
fn the_recorded_policy_is_of_the_grammar_but_releases_to_anybody() {
    let policy: Value = serde_json::from_str(vector!("release-policy.json")).unwrap();
    let refused = ReleasePolicy::from_json(policy.clone()).unwrap_err();
    assert!(
        matches!(refused, KeyVaultError::AllowAll { .. }),
        "{refused}"
    );
    let mut other = policy;
    other["anyOf"][0]["allOf"][0]["equals"] = json!("ab".repeat(32));
    assert!(ReleasePolicy::from_json(other).is_ok());
}

/// The certificates of a real managed HSM pass at their time under the compiled-in roots, for its names and no others; what
/// remains is the signature, here over another text.
#[test]
fn the_certificates_of_a_real_hsm_pass_at_their_time() {
    let header = vector!("mhsm-release-header.b64url");
    let jws = format!("{header}.e30.{}", "A".repeat(342));
    let verify = |host: &str, at: u64| {
        let roots = Trust::web().anchors();
        jws::verify::<Value>(&jws, host, &roots, std::time::Duration::from_secs(at)).unwrap_err()
    };
    let then = 1_640_112_800;
    for host in [
        "malegeskrkvhsm.managedhsm.azure.net",
        "a.malegeskrkvhsm.managedhsm.azure.net",
    ] {
        let error = verify(host, then);
        assert!(matches!(error, KeyVaultError::Signature), "{error}");
    }
    let elsewhere = verify("litware.managedhsm.azure.net", then);
    assert!(matches!(
        elsewhere,
        KeyVaultError::Certificate(webpki::Error::CertNotValidForName(_))
    ));
    let late = verify("malegeskrkvhsm.managedhsm.azure.net", 1_671_300_000);
    assert!(matches!(
        late,
        KeyVaultError::Certificate(webpki::Error::CertExpired { .. })
    ));
    let early = verify("malegeskrkvhsm.managedhsm.azure.net", 1_600_000_000);
    assert!(matches!(
        early,
        KeyVaultError::Certificate(webpki::Error::CertNotValidYet { .. })
    ));
}
