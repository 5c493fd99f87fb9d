use cleanroom_crypto::rsa::PrivateKey;
use serde_json::json;
use sidecar_http::Coded;

use super::*;

macro_rules! vector {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/vectors/attestation-mock/",
            $name
        ))
    };
}

const NOW: i64 = 1_790_000_000;
const KID: &str = "pgxk85nQ94K8e8EzyljIZk9yy9DbzJzmHL6Uo1jnbnk=";

fn key() -> PrivateKey {
    let pem: String = vector!("maa-signing.key.pem")
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    PrivateKey::from_pkcs8_der(&STANDARD.decode(pem).unwrap()).unwrap()
}

fn keys() -> SigningKeys {
    serde_json::from_str(vector!("maa-certs.json")).unwrap()
}

fn expected() -> Expected {
    Expected {
        issuer: "https://maa.example:8443".to_owned(),
        nonce: "13202930541250959283".to_owned(),
        host_data: "11".repeat(32),
        report_data: "22".repeat(64),
        measurement: "ab".repeat(48),
    }
}

fn header() -> Value {
    json!({"alg": "RS256", "kid": KID, "typ": "JWT", "jku": "https://fabrikam.example/certs"})
}

fn claims() -> Value {
    json!({
        "iss": "https://maa.example:8443", "iat": NOW, "nbf": NOW, "exp": NOW + 28_800,
        "nonce": "13202930541250959283",
        "x-ms-attestation-type": "sevsnpvm",
        "x-ms-compliance-status": "azure-compliant-uvm",
        "x-ms-sevsnpvm-hostdata": "11".repeat(32),
        "x-ms-sevsnpvm-reportdata": "22".repeat(64),
        "x-ms-sevsnpvm-launchmeasurement": "ab".repeat(48),
    })
}

fn sign(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = key().sign_pkcs1_sha256(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn verify(jwt: &str) -> Result<Verified<MaaToken>, AttestError> {
    verify_token(jwt, &keys(), &expected(), NOW + 10)
}

#[test]
fn a_token_about_the_evidence_is_accepted() {
    let token = verify(&sign(&header(), &claims())).unwrap();
    assert_eq!(token.compliance(), Some("azure-compliant-uvm"));
    assert_eq!(format!("{:?}", *token), "MaaToken { .. }");
}

#[test]
fn one_changed_claim_is_refused_and_named() {
    for (claim, value, code) in [
        ("iss", json!("https://fabrikam.example"), "CR-SKR-0017"),
        ("nonce", json!("13202930541250959284"), "CR-SKR-0017"),
        ("nonce", Value::Null, "CR-SKR-0017"),
        (
            "x-ms-sevsnpvm-hostdata",
            json!("12".repeat(32)),
            "CR-SKR-0017",
        ),
        (
            "x-ms-sevsnpvm-reportdata",
            json!("23".repeat(64)),
            "CR-SKR-0017",
        ),
        (
            "x-ms-sevsnpvm-launchmeasurement",
            json!("ac".repeat(48)),
            "CR-SKR-0017",
        ),
        ("x-ms-attestation-type", json!("sgx"), "CR-SKR-0017"),
        ("exp", json!(NOW - 400), "CR-SKR-0018"),
        ("exp", json!("never"), "CR-SKR-0017"),
        ("nbf", json!(NOW + 400), "CR-SKR-0018"),
        ("iat", json!(NOW - 3600), "CR-SKR-0019"),
    ] {
        let mut changed = claims();
        changed[claim] = value;
        let error = verify(&sign(&header(), &changed)).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(claim), "{error}");
    }
    let mut wrong = claims();
    wrong["x-ms-sevsnpvm-hostdata"] = json!("12".repeat(32));
    let text = verify(&sign(&header(), &wrong)).unwrap_err().to_string();
    assert!(
        text.contains(&"11".repeat(32)) && text.contains(&"12".repeat(32)),
        "{text}"
    );
}

#[test]
fn algorithms_keys_and_signatures_are_pinned() {
    for alg in ["none", "HS256", "PS256", "rs256"] {
        let mut changed = header();
        changed["alg"] = json!(alg);
        assert_eq!(
            verify(&sign(&changed, &claims())).unwrap_err().code(),
            "CR-SKR-0014"
        );
    }
    let mut changed = header();
    changed["kid"] = json!("pgxk85nQ94K8e8EzyljIZk9yy9DbzJzmHL6Uo1jnbnl=");
    assert_eq!(
        verify(&sign(&changed, &claims())).unwrap_err().code(),
        "CR-SKR-0015"
    );

    let jwt = sign(&header(), &claims());
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    bytes[0] ^= 1;
    let flipped = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes));
    assert_eq!(verify(&flipped).unwrap_err().code(), "CR-SKR-0016");
    assert_eq!(
        verify(&format!("{signed}.")).unwrap_err().code(),
        "CR-SKR-0016"
    );
    assert_eq!(verify(signed).unwrap_err().code(), "CR-SKR-0014");
    assert_eq!(
        verify(&format!("{jwt}.x")).unwrap_err().code(),
        "CR-SKR-0014"
    );
}
