//! Messages of the image key provider, through the service that `skr-agent` runs: each input to `WrapKey` and to `UnWrapKey`.
#![no_main]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use attestation::{DeviceKind, SnpDevice, Verifier};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cleanroom_crypto::rsa::{OaepHash, PrivateKey};
use fuzz::{bounded, sign, whole};
use http_body_util::BodyExt as _;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sidecar_http::{HttpsClient, Peer, Trust, install_crypto_provider};
use skr_agent::{Agent, Config, KeyDirectory, routes};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// One key, `app`; what lies beside the directory must never be used.
const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/keys/inside");

struct Service {
    router: Router,
    runtime: Runtime,
    key: &'static PrivateKey,
}

static SERVICE: LazyLock<Service> = LazyLock::new(|| {
    install_crypto_provider();
    let runtime = Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let config = Config {
        key_directory: Some(KeyDirectory::new(KEYS.into())),
        ..Config::for_directory("/nowhere")
    };
    let agent = Agent::new(
        SnpDevice::at(vec![(
            Path::new("/nowhere/sev-guest").into(),
            DeviceKind::SevGuest,
        )]),
        Verifier::production().unwrap(),
        HttpsClient::new(&Trust::web()).unwrap(),
        Trust::web(),
        config,
        CancellationToken::new(),
    );
    let peer = Peer::Tcp(([127, 0, 0, 1], 1).into());
    let router = routes(Arc::new(agent)).router_as(peer);
    Service {
        router,
        runtime,
        key: &sign::RSA,
    }
});

/// One call: the answer's message, if there is one.
fn call(service: &Service, method: &str, input: &[u8]) -> Option<Vec<u8>> {
    let message = [&[0x0a][..], &varint(input.len()), input].concat();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let frame = [&[0][..], &length, &message].concat();
    let request = Request::post(format!("/keyprovider.KeyProviderService/{method}"))
        .header("content-type", "application/grpc")
        .body(Body::from(frame))
        .unwrap();
    let (status, headers, body, trailers) = service.runtime.block_on(async {
        let answer = service.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        (parts.status, parts.headers, body.to_bytes(), trailers)
    });
    assert_eq!(status, StatusCode::OK);
    let outcome = headers
        .get("grpc-status")
        .or(trailers.get("grpc-status"))
        .unwrap();
    let code = headers.get("code").or(trailers.get("code"));
    if outcome != "0" {
        assert!(
            outcome == "13" || code.is_some(),
            "a refusal without a code"
        );
        return None;
    }
    let [0, _, _, _, _, 0x0a, rest @ ..] = body.as_ref() else {
        panic!("an answer without a message");
    };
    let start = rest.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    Some(rest[start..].to_vec())
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

fuzz_target!(|input: &[u8]| {
    let service = &*SERVICE;
    // There is no device, so nothing is unwrapped.
    assert_eq!(
        bounded(input, 64, || call(service, "UnWrapKey", input)),
        None
    );
    let Some(output) = bounded(input, 64, || call(service, "WrapKey", input)) else {
        return;
    };
    let output: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(output["keyunwrapresults"]["optsdata"], Value::Null);
    let annotation = output["keywrapresults"]["annotation"].as_str().unwrap();
    let annotation: Value = serde_json::from_slice(&STANDARD.decode(annotation).unwrap()).unwrap();
    assert_eq!(
        (&annotation["kid"], &annotation["wrap_type"]),
        (&"app".into(), &"rsa_2048".into())
    );
    let wrapped = STANDARD
        .decode(annotation["wrapped_data"].as_str().unwrap())
        .unwrap();
    let clear = service
        .key
        .decrypt_oaep(OaepHash::Sha256, &wrapped)
        .unwrap();
    let Some(input) = whole(input) else {
        return;
    };
    assert!(!clear.is_empty(), "an empty key was wrapped");
    assert!(
        names(&input, &STANDARD.encode(&*clear)),
        "another key than the one sent"
    );
});

/// Whether a text stands anywhere in it.
fn names(value: &Value, text: &str) -> bool {
    match value {
        Value::String(one) => one == text,
        Value::Array(list) => list.iter().any(|one| names(one, text)),
        Value::Object(members) => members.values().any(|one| names(one, text)),
        _ => false,
    }
}
