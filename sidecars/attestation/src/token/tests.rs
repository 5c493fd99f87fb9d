use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use cleanroom_crypto::digest::sha256;
use cleanroom_crypto::rsa::PrivateKey;
use serde_json::json;
use sidecar_http::Coded;

use super::*;
use crate::RuntimeData;

mod cache;
mod keys;
mod vectors;

macro_rules! vector {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/vectors/",
            $name
        ))
    };
}
use vector;

const NOW: i64 = 1_790_000_000;
const KID: &str = "pgxk85nQ94K8e8EzyljIZk9yy9DbzJzmHL6Uo1jnbnk=";
const ISSUER: &str = "https://maa.example:8443";

fn key() -> PrivateKey {
    PrivateKey::from_pem(vector!("attestation-mock/maa-signing.key.pem")).unwrap()
}

fn signing_keys() -> SigningKeys {
    SigningKeys::from_json(vector!("attestation-mock/maa-certs.json").as_bytes()).unwrap()
}

fn expected() -> Expected {
    Expected {
        issuer: ISSUER.to_owned(),
        nonce: "13202930541250959283".to_owned(),
        host_data: "11".repeat(32),
        report_data: "22".repeat(64),
        measurement: "ab".repeat(48),
    }
}

fn header() -> Value {
    json!({"alg": "RS256", "kid": KID, "typ": "JWT", "jku": format!("{ISSUER}/certs")})
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "iat": NOW, "nbf": NOW, "exp": NOW + 28_800,
        "nonce": "13202930541250959283",
        "x-ms-attestation-type": "sevsnpvm",
        "x-ms-compliance-status": "azure-compliant-uvm",
        "x-ms-sevsnpvm-hostdata": "11".repeat(32),
        "x-ms-sevsnpvm-reportdata": "22".repeat(64),
        "x-ms-sevsnpvm-launchmeasurement": "ab".repeat(48),
    })
}

/// Signs any texts, so that what is refused is never refused for its signature.
fn sign_text(header: &str, claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = key().sign_pkcs1_sha256(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn sign(header: &Value, claims: &Value) -> String {
    sign_text(&header.to_string(), &claims.to_string())
}

fn verify(jwt: &str) -> Result<Verified<MaaToken>, AttestError> {
    verify_token(jwt, &signing_keys(), &expected(), NOW + 10)
}

fn refused(jwt: &str) -> AttestError {
    verify(jwt).unwrap_err()
}

fn with_header(name: &str, value: Value) -> String {
    let mut changed = header();
    changed[name] = value;
    sign(&changed, &claims())
}

fn with_claim(name: &str, value: Value) -> String {
    let mut changed = claims();
    changed[name] = value;
    sign(&header(), &changed)
}

/// A signature over the same text in another encoding of the same bytes.
fn respelled(jwt: &str, change: impl Fn(&str) -> String) -> String {
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    format!("{signed}.{}", change(signature))
}

#[test]
fn a_token_about_the_evidence_is_accepted() {
    let token = verify(&sign(&header(), &claims())).unwrap();
    assert_eq!(token.compliance(), Some("azure-compliant-uvm"));
    assert_eq!(token.claims().len(), 10);
    assert_eq!(format!("{:?}", *token), "MaaToken { .. }");
    let mut bare = header();
    bare.as_object_mut().unwrap().remove("jku");
    assert!(verify(&sign(&bare, &claims())).is_ok());
    let slash = with_claim("iss", json!(format!("{ISSUER}/")));
    assert!(verify(&slash).is_ok());
    let mut undated = claims();
    undated.as_object_mut().unwrap().remove("nbf");
    assert!(verify(&sign(&header(), &undated)).is_ok());
}

#[test]
fn one_claim_that_is_not_the_evidences_is_refused_and_named() {
    for (claim, value) in [
        ("iss", json!("https://fabrikam.example")),
        ("iss", json!("https://maa.example")),
        ("iss", json!(["https://maa.example:8443"])),
        ("nonce", json!("13202930541250959284")),
        ("nonce", json!(13_202_930_541_250_959_283_u64)),
        ("nonce", Value::Null),
        ("x-ms-sevsnpvm-hostdata", json!("12".repeat(32))),
        ("x-ms-sevsnpvm-hostdata", json!("11".repeat(33))),
        ("x-ms-sevsnpvm-reportdata", json!("23".repeat(64))),
        ("x-ms-sevsnpvm-reportdata", json!("22".repeat(32))),
        ("x-ms-sevsnpvm-launchmeasurement", json!("ac".repeat(48))),
        ("x-ms-sevsnpvm-launchmeasurement", json!("AB".repeat(48))),
        ("x-ms-attestation-type", json!("azurevm")),
        ("iat", json!("yesterday")),
        ("exp", json!("never")),
        ("exp", json!(1.5)),
        ("nbf", json!(null)),
    ] {
        match refused(&with_claim(claim, value.clone())) {
            AttestError::Claim {
                claim: named,
                expected,
                actual,
            } => {
                assert_eq!(named, claim);
                assert_eq!(actual, value.to_string());
                assert_ne!(expected, actual);
            }
            other => panic!("{claim} {value}: {other}"),
        }
    }
    for claim in ["iss", "nonce", "iat", "exp", "x-ms-sevsnpvm-hostdata"] {
        let mut without = claims();
        without.as_object_mut().unwrap().remove(claim);
        let error = refused(&sign(&header(), &without));
        assert!(
            matches!(&error, AttestError::Claim { claim: named, actual, .. } if *named == claim && actual == "nothing"),
            "{error}"
        );
    }
}

#[test]
fn a_token_out_of_its_time_or_of_another_clock_is_refused() {
    let now = NOW + 10;
    for (claim, at, taken) in [
        ("exp", now - 299, true),
        ("exp", now - 300, false),
        ("nbf", now + 300, true),
        ("nbf", now + 301, false),
    ] {
        match verify(&with_claim(claim, json!(at))) {
            Ok(_) => assert!(taken, "{claim} {at}"),
            Err(AttestError::Lifetime {
                claim: named,
                at: told,
                ..
            }) => assert_eq!((named, told, false), (claim, at, taken)),
            Err(other) => panic!("{claim} {at}: {other}"),
        }
    }
    for (iat, taken) in [
        (now - 300, true),
        (now - 301, false),
        (now + 300, true),
        (now + 301, false),
        (i64::MIN, false),
    ] {
        // A token whose other times are good, so that only the clock speaks against it.
        let outcome = verify(&with_claim("iat", json!(iat)));
        match outcome {
            Ok(_) => assert!(taken, "{iat}"),
            Err(AttestError::Clock { iat: told, .. }) => assert_eq!((told, false), (iat, taken)),
            Err(other) => panic!("{iat}: {other}"),
        }
    }
}

#[test]
fn no_algorithm_but_one_and_a_draft_policys_unsigned_token_least_of_all() {
    for alg in [
        "none", "None", "HS256", "ES256", "PS256", "RS384", "rs256", "",
    ] {
        let error = refused(&with_header("alg", json!(alg)));
        assert!(
            matches!(&error, AttestError::Algorithm { actual } if actual == alg),
            "{error}"
        );
    }
    // A token evaluated under a draft policy cannot be validated: it comes without a signature.
    let unsigned = sign(&json!({"alg": "none", "kid": KID}), &claims());
    let unsigned = respelled(&unsigned, |_| String::new());
    assert!(matches!(refused(&unsigned), AttestError::Algorithm { .. }));
    // The published RSA key as the secret of a MAC.
    let signed = with_header("alg", json!("HS256"));
    let (text, _) = signed.rsplit_once('.').unwrap();
    let secret = key().public_key().to_spki_pem();
    let mac = cleanroom_crypto::mac::hmac_sha256(secret.as_bytes(), text.as_bytes());
    let confused = format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac));
    assert!(matches!(refused(&confused), AttestError::Algorithm { .. }));
}

#[test]
fn keys_come_from_the_configured_endpoint_only() {
    assert!(verify(&with_header("jku", json!("https://MAA.example:8443/certs"))).is_ok());
    for jku in [
        json!("https://fabrikam.example/certs"),
        json!("https://maa.example/certs"),
        json!("http://maa.example:8443/certs"),
        json!("https://maa.example:8443/certs/"),
        json!("https://maa.example:8443/certs?x"),
        json!("https://maa.example:8443@fabrikam.example/certs"),
        json!("https://litware@maa.example:8443/certs"),
        json!("/certs"),
        json!(7),
        json!([format!("{ISSUER}/certs")]),
    ] {
        let error = refused(&with_header("jku", jku));
        assert!(matches!(error, AttestError::ForeignKeys { .. }), "{error}");
    }
    let other = "pgxk85nQ94K8e8EzyljIZk9yy9DbzJzmHL6Uo1jnbnl=";
    let error = refused(&with_header("kid", json!(other)));
    assert!(
        matches!(&error, AttestError::UnknownKey { kid } if kid == other),
        "{error}"
    );
    let error = refused(&with_header("crit", json!(["exp"])));
    assert!(
        matches!(error, AttestError::BadToken(TokenFlaw::Critical)),
        "{error}"
    );
}

#[test]
fn a_signature_of_another_text_or_key_is_refused() {
    let jwt = sign(&header(), &claims());
    let signature = |jwt: &str| matches!(refused(jwt), AttestError::TokenSignature);
    let flipped = respelled(&jwt, |signature| {
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[0] ^= 1;
        URL_SAFE_NO_PAD.encode(bytes)
    });
    assert!(signature(&flipped));
    assert!(signature(&respelled(&jwt, |_| String::new())));
    assert!(signature(&respelled(&jwt, |text| text[..4].to_owned())));
    let other = with_claim("x-ms-sevsnpvm-vmpl", json!(0));
    let [head, _, tail] = parts(&jwt);
    let [_, claims, _] = parts(&other);
    assert!(signature(&format!("{head}.{claims}.{tail}")));
    let stranger = PrivateKey::generate(2048).unwrap();
    let (text, _) = jwt.rsplit_once('.').unwrap();
    let forged = stranger.sign_pkcs1_sha256(text.as_bytes()).unwrap();
    assert!(signature(
        &respelled(&jwt, |_| URL_SAFE_NO_PAD.encode(&forged))
    ));
    let padding = key().sign_pss_sha256(text.as_bytes()).unwrap();
    assert!(signature(
        &respelled(&jwt, |_| URL_SAFE_NO_PAD.encode(&padding))
    ));
}

fn parts(jwt: &str) -> [&str; 3] {
    let parts: Vec<_> = jwt.split('.').collect();
    parts.try_into().unwrap()
}

#[test]
fn what_is_no_token_is_refused_for_what_it_lacks() {
    let jwt = sign(&header(), &claims());
    let [head, body, tail] = parts(&jwt);
    let flaw = |jwt: &str| match refused(jwt) {
        AttestError::BadToken(flaw) => flaw,
        other => panic!("{other}"),
    };
    for text in [
        "",
        "a",
        head,
        &format!("{head}.{body}"),
        &format!("{jwt}.x"),
        &format!("{jwt}."),
    ] {
        assert_eq!(flaw(text), TokenFlaw::Parts, "{text}");
    }
    assert_eq!(
        flaw(&format!("{jwt}{}", "A".repeat(256 << 10))),
        TokenFlaw::TooLong { cap: 256 << 10 }
    );
    let base64 = |part| TokenFlaw::Base64 { part };
    assert_eq!(flaw(&format!("{head}!.{body}.{tail}")), base64("header"));
    assert_eq!(flaw(&format!("{jwt}==")), base64("signature"));
    assert_eq!(flaw(&format!("{jwt}\n")), base64("signature"));
    // 256 bytes leave four bits behind the last one; another value of them decodes to the same bytes elsewhere.
    let trailing = respelled(&jwt, |text| {
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
        let last = URL_SAFE.encode(bytes).trim_end_matches('=').len() - 1;
        let twin = char::from(text.as_bytes()[last] + 1);
        format!("{}{twin}", &text[..last])
    });
    assert_eq!(flaw(&trailing), base64("signature"));
    let json_flaw = |jwt: &str, part: &str| matches!(flaw(jwt), TokenFlaw::Json { part: named, .. } if named == part);
    let head = header().to_string();
    assert!(json_flaw(&sign_text("[]", &claims().to_string()), "header"));
    assert!(json_flaw(&sign_text("{}", &claims().to_string()), "header"));
    assert!(json_flaw(&sign_text(&head, "[]"), "claims"));
    assert!(json_flaw(&sign_text(&head, "{} {}"), "claims"));
    assert!(json_flaw(&sign_text(&head, "\u{feff}{}"), "claims"));
}

#[test]
fn a_member_named_twice_is_refused_wherever_it_stands() {
    let claims = claims().to_string();
    let head = header().to_string();
    for (header, claims) in [
        (head.replacen('{', r#"{"alg":"none","#, 1), claims.clone()),
        (
            head.clone(),
            claims.replacen('{', r#"{"x-ms-sevsnpvm-hostdata":"00","#, 1),
        ),
        (
            head.clone(),
            claims.replacen('{', r#"{"x-ms-runtime":{"keys":[],"keys":[]},"#, 1),
        ),
    ] {
        let error = refused(&sign_text(&header, &claims));
        assert!(
            matches!(&error, AttestError::BadToken(TokenFlaw::Json { reason, .. }) if reason.contains("twice")),
            "{error}"
        );
    }
    assert!(verify(&sign_text(&head, &claims)).is_ok());
}

#[test]
fn logs_get_tokens_of_microsofts_providers_without_signature_and_no_others() {
    let of = |issuer: &str| with_claim("iss", json!(issuer));
    let shared = of("https://sharedneu.neu.attest.azure.net");
    let [head, body, _] = parts(&shared);
    assert_eq!(redacted(&shared), format!("{head}.{body}.***"));
    for jwt in [
        of("https://attest.azure.net.fabrikam.example"),
        of("https://sharedneu.neu.attest.azure.net:8443"),
        of("https://notattest.azure.net"),
        "attest.azure.net".to_owned(),
        format!("{shared}.x"),
    ] {
        assert_eq!(redacted(&jwt), "***", "{jwt}");
    }
}

#[test]
fn every_refusal_has_its_own_code() {
    let codes = [
        (refused(""), "CR-SKR-0014"),
        (refused(&with_header("kid", json!("x"))), "CR-SKR-0015"),
        (
            refused(&respelled(&sign(&header(), &claims()), |_| String::new())),
            "CR-SKR-0016",
        ),
        (refused(&with_claim("nonce", json!("1"))), "CR-SKR-0017"),
        (refused(&with_claim("exp", json!(1))), "CR-SKR-0018"),
        (refused(&with_claim("iat", json!(1))), "CR-SKR-0019"),
        (refused(&with_header("jku", json!("x"))), "CR-SKR-0070"),
        (refused(&with_header("alg", json!("none"))), "CR-SKR-0072"),
    ];
    for (error, code) in codes {
        assert_eq!(error.code(), code, "{error}");
    }
}
