use axum::body::{Body, to_bytes};
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use tower::ServiceExt;

use super::*;
use crate::amd;

const ISSUER: &str = "https://sharedneu.neu.attest.azure.net:8443";

fn report_data(runtime: &[u8]) -> [u8; 64] {
    let mut data = [0; 64];
    data[..32].copy_from_slice(&Sha256::digest(runtime));
    data
}

fn question(report: &[u8], runtime: &[u8], uvm: Option<&[u8]>) -> Value {
    let mut inner = json!({
        "SnpReport": URL_SAFE_NO_PAD.encode(report),
        "VcekCertChain": URL_SAFE.encode(amd::chain_pem()),
    });
    if let Some(uvm) = uvm {
        let uvm = json!({"Uvm": [URL_SAFE.encode(uvm)]}).to_string();
        inner["Endorsements"] = json!(URL_SAFE.encode(uvm));
    }
    json!({
        "report": URL_SAFE.encode(inner.to_string()),
        "runtimeData": {"data": URL_SAFE.encode(runtime), "dataType": "JSON"},
        "initTimeData": {"data": "", "dataType": ""},
        "nonce": 13_202_930_541_250_959_283_u64,
    })
}

async fn post(maa: &Maa, path: &str, body: &Value) -> (StatusCode, Value) {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = maa.router().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

fn claims(body: &Value) -> Value {
    let token = body["token"].as_str().unwrap();
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

const PATH: &str = "/attest/SevSnpVm?api-version=2022-08-01";
const RUNTIME: &[u8] = br#"{"keys":[]}"#;

#[tokio::test]
async fn good_evidence_gets_every_claim() {
    let maa = Maa::new(ISSUER.to_owned()).unwrap();
    let report = amd::issue_report(&[7; 32], &report_data(RUNTIME)).unwrap();
    let body = question(&report, RUNTIME, Some(&amd::uvm_endorsement()));
    for path in [PATH, "/attest/SevSnpVM?api-version=2020-10-01"] {
        let (status, body) = post(&maa, path, &body).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let claims = claims(&body);
        assert_eq!(claims["iss"], ISSUER);
        assert_eq!(claims["nonce"], "13202930541250959283");
        assert_eq!(claims["x-ms-compliance-status"], "azure-compliant-uvm");
        assert_eq!(claims["x-ms-sevsnpvm-hostdata"], "07".repeat(32));
        assert_eq!(claims["x-ms-sevsnpvm-is-debuggable"], false);
        assert_eq!(claims["x-ms-sevsnpvm-microcode-svn"], 0xdb);
        assert_eq!(claims["x-ms-sevsnpvm-snpfw-svn"], 0x18);
        assert_eq!(claims["x-ms-runtime"], json!({"keys": []}));
        assert_eq!(
            claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
            28_800
        );
    }
}

#[tokio::test]
async fn without_an_endorsement_there_is_no_compliance() {
    let maa = Maa::new(ISSUER.to_owned()).unwrap();
    let report = amd::issue_report(&[7; 32], &report_data(RUNTIME)).unwrap();
    let (status, body) = post(&maa, PATH, &question(&report, RUNTIME, None)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(claims(&body)["x-ms-compliance-status"], Value::Null);
}

#[tokio::test]
async fn changed_evidence_gets_no_token() {
    let maa = Maa::new(ISSUER.to_owned()).unwrap();
    let good = amd::issue_report(&[7; 32], &report_data(RUNTIME)).unwrap();
    let uvm = amd::uvm_endorsement();
    let mut flipped = good.clone();
    flipped[0xc0] ^= 1;
    let mut bad_uvm = uvm.clone();
    *bad_uvm.last_mut().unwrap() ^= 1;
    for (body, reason) in [
        (question(&flipped, RUNTIME, Some(&uvm)), "signature"),
        (
            question(&good, br#"{"keys":[ ]}"#, Some(&uvm)),
            "runtimeData",
        ),
        (question(&good, RUNTIME, Some(&bad_uvm)), "signature"),
        (question(&good[1..], RUNTIME, Some(&uvm)), "1183 bytes"),
        (json!({"report": "%"}), "base64url"),
        (json!({}), "report"),
    ] {
        let (status, body) = post(&maa, PATH, &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(reason), "{message}");
    }
    let (status, body) = post(&maa, "/attest/SevSnpVm", &question(&good, RUNTIME, None)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(body["error"]["code"], "UnsupportedApiVersion");
}

#[tokio::test]
async fn a_draft_policy_and_init_time_data_are_refused() {
    let maa = Maa::new(ISSUER.to_owned()).unwrap();
    let report = amd::issue_report(&[7; 32], &report_data(RUNTIME)).unwrap();
    let good = question(&report, RUNTIME, None);
    assert_eq!(post(&maa, PATH, &good).await.0, StatusCode::OK);
    for (member, value, reason) in [
        ("draftPolicyForAttestation", json!("version=1.0;"), "draft"),
        (
            "initTimeData",
            json!({"data": "e30=", "dataType": "JSON"}),
            "initTimeData",
        ),
    ] {
        let mut changed = good.clone();
        changed[member] = value;
        let (status, body) = post(&maa, PATH, &changed).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(body.to_string().contains(reason), "{body}");
    }
}

#[tokio::test]
async fn a_rotated_key_signs_and_both_are_published() {
    let maa = Maa::new(ISSUER.to_owned()).unwrap();
    let kid = |token: &str| {
        let head = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap());
        let head: Value = serde_json::from_slice(&head.unwrap()).unwrap();
        head["kid"].as_str().unwrap().to_owned()
    };
    let first = kid(&maa.sign(&json!({})).unwrap());
    maa.rotate().unwrap();
    let second = kid(&maa.sign(&json!({})).unwrap());
    assert_ne!(first, second);
    let published = maa.jwks();
    let kids: Vec<_> = published["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["kid"].clone())
        .collect();
    assert_eq!(kids, [first, second]);
}
