//! What others' requests and tokens say.

use super::*;
use crate::Report;

const REPORT: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/vectors/attestation-mock/report-v3.bin"
));

fn mock_expected() -> Expected {
    Expected::of(
        &Report::parse(REPORT).unwrap(),
        "https://mockmaa.attest.azure.net".to_owned(),
        "13202930541250959283".to_owned(),
    )
}

#[test]
fn the_mock_token_is_about_its_report() {
    let jwt = vector!("maa/maa-token.jwt").trim();
    let iat = 1_767_225_600;
    let token = verify_token(jwt, &signing_keys(), &mock_expected(), iat + 10).unwrap();
    assert_eq!(
        token.claim("x-ms-sevsnpvm-microcode-svn"),
        Some(&json!(219))
    );
    let later = verify_token(jwt, &signing_keys(), &mock_expected(), iat + 1000);
    assert!(matches!(later, Err(AttestError::Clock { .. })));
}

#[test]
fn the_expired_mock_token_is_refused_as_such() {
    let jwt = vector!("maa/maa-token-expired.jwt").trim();
    let at = |now| verify_token(jwt, &signing_keys(), &mock_expected(), now);
    assert!(at(1_767_225_700).is_ok());
    match at(1_767_225_700 + 300) {
        Err(AttestError::Lifetime { claim, at, .. }) => {
            assert_eq!((claim, at), ("exp", 1_767_225_700));
        }
        other => panic!("{other:?}"),
    }
}

/// The service's own example: everything but the signature, whose key is not public.
#[test]
fn the_published_example_binds_its_runtime_data() {
    let jwt = vector!("maa/spec-example-token.jwt").trim();
    let claims = read_claims(jwt).unwrap();
    let runtime = vector!("maa/spec-example-runtime-data.b64url").trim();
    let runtime = URL_SAFE_NO_PAD
        .decode(runtime.trim_end_matches('='))
        .unwrap();
    let digest = hex::encode(sha256(&runtime));
    assert!(digest.starts_with("99dd4593"));
    let report_data = claims["x-ms-sevsnpvm-reportdata"].as_str().unwrap();
    assert_eq!(report_data, format!("{digest}{}", "00".repeat(32)));
    assert_eq!(
        report_data,
        hex::encode(RuntimeData::new(runtime.clone()).report_data())
    );
    let runtime: Value = serde_json::from_slice(&runtime).unwrap();
    assert_eq!(claims["x-ms-runtime"], runtime);
    let time = |name: &str| claims[name].as_i64().unwrap();
    assert_eq!(time("exp") - time("iat"), 28_800);
    let header: Value = json(parts(jwt)[0], "header").unwrap();
    let kid = header["kid"].as_str().unwrap();
    assert!(kid.contains('+') && kid.ends_with('='), "{kid}");
    assert_eq!(STANDARD.decode(kid).unwrap().len(), 32);
    let jku = header["jku"].clone();
    check_jku(&jku, claims["iss"].as_str().unwrap()).unwrap();
    let keys = SigningKeys::from_json(br#"{"keys":[]}"#).unwrap();
    let unknown = verify_token(jwt, &keys, &expected_of(&claims), time("iat"));
    assert!(matches!(unknown, Err(AttestError::UnknownKey { kid: named }) if named == kid));
}

fn expected_of(claims: &Map<String, Value>) -> Expected {
    let text = |name: &str| {
        claims
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Expected {
        issuer: text("iss"),
        nonce: text("nonce"),
        host_data: text("x-ms-sevsnpvm-hostdata"),
        report_data: text("x-ms-sevsnpvm-reportdata"),
        measurement: text("x-ms-sevsnpvm-launchmeasurement"),
    }
}
