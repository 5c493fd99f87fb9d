//! Tokens of the attestation service: a JWT, or, where the input is a JSON object, claims that are signed first.
#![no_main]

use std::sync::LazyLock;

use attestation::{Expected, Report, SigningKeys, read_claims, redacted, verify_token};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fuzz::mock::{NOW, REPORT};
use fuzz::{bounded, sign, vector, vector_text};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const GENUINE: [&str; 2] = [
    vector_text!("maa/maa-token.jwt"),
    vector_text!("maa/maa-token-expired.jwt"),
];
/// When the genuine ones were made.
const ISSUED: i64 = 1_767_225_600;

static KEYS: LazyLock<SigningKeys> =
    LazyLock::new(|| SigningKeys::from_json(vector!("attestation-mock/maa-certs.json")).unwrap());

static EXPECTED: LazyLock<Expected> = LazyLock::new(|| {
    Expected::of(
        &Report::parse(REPORT).unwrap(),
        "https://mockmaa.attest.azure.net".to_owned(),
        "13202930541250959283".to_owned(),
    )
});

fuzz_target!(|input: &[u8]| {
    let ours = input.starts_with(b"{");
    let jwt = if ours {
        let header = json!({"alg": "RS256", "kid": "pgxk85nQ94K8e8EzyljIZk9yy9DbzJzmHL6Uo1jnbnk="});
        sign::jws(&header, input)
    } else {
        let Ok(text) = std::str::from_utf8(input) else {
            return;
        };
        text.to_owned()
    };
    let claims = bounded(jwt.as_bytes(), 256, || read_claims(&jwt));
    let shown = redacted(&jwt);
    let signature = jwt.rsplit('.').next().unwrap_or_default();
    assert!(
        signature.len() < 8 || !shown.ends_with(signature),
        "a log could have the token"
    );

    for time in [NOW, ISSUED] {
        let verified = bounded(jwt.as_bytes(), 256, || {
            verify_token(&jwt, &KEYS, &EXPECTED, time)
        });
        let Ok(token) = verified else {
            continue;
        };
        let (signed, _) = jwt.rsplit_once('.').unwrap();
        let genuine = |known: &&str| known.rsplit_once('.').unwrap().0 == signed;
        assert!(ours || GENUINE.iter().any(genuine), "a forged token");
        assert_eq!(token.jwt(), jwt);
        assert_eq!(Some(token.claims()), claims.as_ref().ok());
        about(signed.split_once('.').unwrap().1, time);
    }
});

/// What an accepted token must say, read once more.
fn about(claims: &str, now: i64) {
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let expected = &*EXPECTED;
    for (name, value) in [
        ("nonce", expected.nonce.as_str()),
        ("x-ms-attestation-type", "sevsnpvm"),
        ("x-ms-sevsnpvm-hostdata", &expected.host_data),
        ("x-ms-sevsnpvm-reportdata", &expected.report_data),
        ("x-ms-sevsnpvm-launchmeasurement", &expected.measurement),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    let issuer = claims["iss"].as_str().unwrap();
    assert_eq!(issuer.trim_end_matches('/'), expected.issuer);
    let time = |name: &str| claims[name].as_i64().unwrap();
    assert!(time("exp") > now - 300 && (time("iat") - now).abs() <= 300);
    assert!(claims["nbf"].is_null() && claims.get("nbf").is_none() || time("nbf") <= now + 300);
}
