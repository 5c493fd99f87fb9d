use emulators::amd;
use emulators::maa::{Maa, Mischief};
use emulators::upset::{Kind, Upset};
use emulators::world::{World, WorldConfig};
use serde_json::{Value, json};
use sidecar_http::Coded;

use super::*;
use crate::{Report, TokenFlaw};

const HOST_DATA: [u8; 32] = [7; 32];
const RUNTIME: &[u8] = br#"{"keys":[]}"#;

struct Scene {
    world: World,
    endpoint: Url,
    client: MaaClient,
}

async fn scene() -> Scene {
    let world = World::start(WorldConfig::two_parties()).await.unwrap();
    let endpoint = Url::parse(world.services().maa.issuer()).unwrap();
    let client = MaaClient::new(test_support::https(&world).unwrap());
    Scene {
        world,
        endpoint,
        client,
    }
}

fn evidence() -> Evidence {
    let report_data = RuntimeData::new(RUNTIME).report_data();
    let report = amd::issue_report(&HOST_DATA, &report_data).unwrap();
    Evidence {
        report: Report::parse(&report).unwrap(),
        endorsements_pem: amd::chain_pem(),
        uvm_endorsements: amd::uvm_endorsement(),
        endorsed_tcb: String::new(),
    }
}

impl Scene {
    fn maa(&self) -> &Maa {
        &self.world.services().maa
    }

    async fn attest(&self) -> Result<Verified<MaaToken>, AttestError> {
        let runtime = RuntimeData::new(RUNTIME);
        self.client
            .attest(&self.endpoint, &evidence(), &runtime)
            .await
    }

    async fn changed(
        &self,
        change: impl Fn(&mut Value, &mut Value) + Send + Sync + 'static,
    ) -> AttestError {
        let mischief: Mischief = std::sync::Arc::new(change);
        self.maa().misbehave(Some(mischief));
        let refused = self.attest().await.unwrap_err();
        self.maa().misbehave(None);
        refused
    }

    fn asked(&self, path: &str) -> usize {
        let requests = self.world.requests("maa");
        requests.iter().filter(|r| r.path.starts_with(path)).count()
    }
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_only_for_a_new_one() {
    let mut scene = scene().await;
    scene.attest().await.unwrap();
    scene.attest().await.unwrap();
    assert_eq!(
        (scene.asked("/attest/SevSnpVm"), scene.asked("/certs")),
        (2, 1)
    );

    // The provider signs with a key that came after: not asked again so soon ...
    scene.maa().rotate().unwrap();
    let refused = scene.attest().await.unwrap_err();
    assert!(
        matches!(refused, AttestError::UnknownKey { .. }),
        "{refused}"
    );
    assert_eq!(scene.asked("/certs"), 1);

    // ... but once the pause is over, and once for everybody.
    scene.client.keys = KeyCache::new(KEEP_KEYS, Duration::ZERO);
    scene.attest().await.unwrap();
    assert_eq!(scene.asked("/certs"), 2);
    scene.maa().rotate().unwrap();
    let (a, b, c) = tokio::join!(scene.attest(), scene.attest(), scene.attest());
    for outcome in [a, b, c] {
        outcome.unwrap();
    }
    assert_eq!(scene.asked("/certs"), 3);
    // A key that is never published costs one more look each time, and is refused.
    let unknown = scene.changed(|header, _| header["kid"] = json!("x")).await;
    assert!(matches!(unknown, AttestError::UnknownKey { .. }));
    assert_eq!(scene.asked("/certs"), 4);
}

#[tokio::test]
async fn keys_out_of_their_time_are_fetched_again() {
    let mut scene = scene().await;
    scene.client.keys = KeyCache::new(Duration::ZERO, KEYS_PAUSE);
    scene.attest().await.unwrap();
    scene.attest().await.unwrap();
    assert_eq!(scene.asked("/certs"), 2);
}

#[tokio::test]
async fn a_failed_fetch_of_keys_is_an_error_and_not_remembered() {
    let scene = scene().await;
    scene
        .world
        .upset(Upset::next("maa", Kind::Status(404)).at("/certs"));
    let refused = scene.attest().await.unwrap_err();
    assert!(
        matches!(refused.cause(), AttestError::MaaRefused { status, .. } if status.as_u16() == 404),
        "{refused}"
    );
    scene.attest().await.unwrap();
}

#[tokio::test]
async fn a_provider_that_answers_another_question_is_not_believed() {
    let scene = scene().await;
    scene.attest().await.unwrap();
    let nonce = scene
        .changed(|_, claims| claims["nonce"] = json!("1"))
        .await;
    assert!(matches!(nonce, AttestError::Claim { claim: "nonce", .. }));
    let number = scene.changed(|_, claims| {
        claims["nonce"] = json!(claims["nonce"].as_str().unwrap().parse::<u64>().unwrap());
    });
    assert!(matches!(
        number.await,
        AttestError::Claim { claim: "nonce", .. }
    ));
    let without = scene.changed(|_, claims| {
        claims.as_object_mut().unwrap().remove("nonce");
    });
    assert!(matches!(
        without.await,
        AttestError::Claim { claim: "nonce", .. }
    ));
    let group = scene.changed(|_, claims| {
        claims["x-ms-sevsnpvm-hostdata"] = json!("00".repeat(32));
    });
    assert!(matches!(
        group.await,
        AttestError::Claim {
            claim: "x-ms-sevsnpvm-hostdata",
            ..
        }
    ));
    let elsewhere =
        scene.changed(|header, _| header["jku"] = json!("https://fabrikam.example/certs"));
    assert!(matches!(elsewhere.await, AttestError::ForeignKeys { .. }));
    let unsigned = scene.changed(|header, _| header["alg"] = json!("none"));
    assert!(matches!(unsigned.await, AttestError::Algorithm { .. }));
    let large = scene.changed(|_, claims| claims["x"] = json!("x".repeat(300_000)));
    assert!(matches!(
        large.await,
        AttestError::BadToken(TokenFlaw::TooLong { .. })
    ));
}

#[tokio::test]
async fn a_throttled_question_waits_as_asked_or_tells_how_long() {
    let scene = scene().await;
    for kind in [Kind::Throttle(1), Kind::ThrottleUntil(1)] {
        let start = tokio::time::Instant::now();
        scene.world.upset(Upset::next("maa", kind).at("/attest"));
        scene.attest().await.unwrap();
        // A date has whole seconds, so a part of the last one may be over already.
        assert!(matches!(kind, Kind::ThrottleUntil(_)) || start.elapsed().as_secs() >= 1);
    }
    // More patience than the budget has: no second question, and the caller learns it.
    let before = scene.asked("/attest");
    scene
        .world
        .upset(Upset::next("maa", Kind::Throttle(86_400)).at("/attest"));
    let refused = scene.attest().await.unwrap_err();
    assert!(
        matches!(&refused, AttestError::MaaRefused { status, retry_after: Some(wait), .. }
            if status.as_u16() == 429 && wait.as_secs() == 86_400),
        "{refused}"
    );
    assert_eq!(refused.code(), "CR-SKR-0013");
    assert_eq!(scene.asked("/attest"), before + 1);
}

#[tokio::test]
async fn the_version_asked_under_is_configuration() {
    let mut scene = scene().await;
    scene.client = scene.client.with_api_version("2025-06-01".parse().unwrap());
    scene.attest().await.unwrap();
    assert_eq!(scene.asked("/attest/SevSnpVm?api-version=2025-06-01"), 1);
    scene.client = scene.client.with_api_version("1999-01-01".parse().unwrap());
    let refused = scene.attest().await.unwrap_err();
    assert!(
        matches!(&refused, AttestError::MaaRefused { code, .. } if code == "UnsupportedApiVersion"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_user_agent_that_http_does_not_allow_fails_the_request() {
    let mut scene = scene().await;
    scene.client = scene.client.with_user_agent("cleanroom");
    scene.attest().await.unwrap();
    scene.client = scene.client.with_user_agent("clean\nroom");
    assert_eq!(scene.attest().await.unwrap_err().code(), "CR-HTTP-0022");
}

mod questions {
    use super::*;

    fn unpacked(text: &Value) -> Vec<u8> {
        URL_SAFE.decode(text.as_str().unwrap()).unwrap()
    }

    fn unpacked_json(text: &Value) -> Value {
        serde_json::from_slice(&unpacked(text)).unwrap()
    }

    /// What the service's own sidecar sends and what we send over the same evidence are the same bytes.
    #[test]
    fn the_question_is_the_one_of_the_services_own_sidecar() {
        for (request, jwks) in [
            (
                &include_bytes!("../../../../tests/vectors/maa/request-8.json")[..],
                &include_bytes!("../../../../tests/vectors/maa/request-8.jwks")[..],
            ),
            (
                include_bytes!("../../../../tests/vectors/maa/request-4.json"),
                include_bytes!("../../../../tests/vectors/maa/request-4.jwks"),
            ),
        ] {
            let theirs: Value = serde_json::from_slice(request).unwrap();
            let inner = unpacked_json(&theirs["report"]);
            let uvm = unpacked_json(&inner["Endorsements"]);
            let evidence = Evidence {
                report: Report::parse(&unpacked(&inner["SnpReport"])).unwrap(),
                endorsements_pem: String::from_utf8(unpacked(&inner["VcekCertChain"])).unwrap(),
                uvm_endorsements: unpacked(&uvm["Uvm"][0]),
                endorsed_tcb: String::new(),
            };
            let runtime = RuntimeData::new(unpacked(&theirs["runtimeData"]["data"]));
            assert_eq!(runtime.as_bytes(), jwks);
            assert_eq!(&runtime.report_data(), evidence.report.report_data());

            let nonce = theirs["nonce"].as_u64().unwrap();
            let ours = question(&evidence, &runtime, nonce.to_string()).unwrap();
            let mut ours = serde_json::to_value(ours).unwrap();
            // Text is what the interface promises; a number beyond 2^53 is not safe with every reader.
            assert_eq!(ours["nonce"], nonce.to_string());
            ours["nonce"] = json!(nonce);
            assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn a_draft_policy_is_never_part_of_a_question() {
        let question = question(&evidence(), &RuntimeData::new(RUNTIME), "1".to_owned()).unwrap();
        let question = serde_json::to_value(question).unwrap();
        let members: Vec<_> = question.as_object().unwrap().keys().cloned().collect();
        assert_eq!(members, ["initTimeData", "nonce", "report", "runtimeData"]);
    }
}
