//! The sidecar against the emulated CGS, which checks evidence, policy, binding and signature on its own.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use emulators::amd::{chain_pem, issue_report, uvm_endorsement};
use emulators::world::{World, WorldConfig};
use governance::{Args, Attestation, Cgs, Config, Governance, Room, RoomKey};
use governance_client::{ConsentStatus, Scope};
use serde_json::{Value, json};
use sidecar_http::Coded;

const HOST_DATA: [u8; 32] = [0x5a; 32];
const TENANT: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaa00";

async fn world() -> World {
    sidecar_http::install_crypto_provider();
    let world = World::start(WorldConfig::two_parties()).await.unwrap();
    let cgs = &world.services().cgs;
    cgs.accept_contract("c1", json!("name: x"));
    cgs.set_policy("c1", &hex::encode(HOST_DATA));
    cgs.enable_issuer(TENANT, "https://litwarestore.z1.web.core.windows.net/c1")
        .unwrap();
    world
}

/// A sidecar of `contract` whose report shows `host_data` and binds `bound`, which is its own key unless given.
fn sidecar(
    world: &World,
    contract: &str,
    host_data: [u8; 32],
    bound: Option<&RoomKey>,
) -> Arc<Governance> {
    let config = Config::of(&Args {
        // The pin, not the name, says who the node is.
        cgs_endpoint: format!("https://{}", world.cgs_addr()),
        cgs_path_prefix: format!("app/contracts/{contract}"),
        service_cert: BASE64_STANDARD.encode(world.service_cert_pem()),
        commit_deadline: 1,
    });
    let governance = Governance::new(Cgs::new(&config.unwrap()).unwrap()).unwrap();
    let key = RoomKey::generate().unwrap();
    let mut report_data = [0; 64];
    report_data[..32].copy_from_slice(&bound.unwrap_or(&key).binding());
    let attestation = Attestation {
        evidence: BASE64_STANDARD.encode(issue_report(&host_data, &report_data).unwrap()),
        endorsements: BASE64_STANDARD.encode(chain_pem()),
        uvm_endorsements: BASE64_STANDARD.encode(uvm_endorsement()),
    };
    governance.admit(Room::new(key, attestation));
    Arc::new(governance)
}

async fn status(sidecar: &Governance, scope: Scope) -> ConsentStatus {
    sidecar.consent(scope).await.unwrap().json().unwrap()
}

#[tokio::test]
async fn consent_follows_what_the_parties_say() {
    let world = world().await;
    let sidecar = sidecar(&world, "c1", HOST_DATA, None);
    assert_eq!(status(&sidecar, Scope::Execution).await.status, "enabled");
    assert_eq!(status(&sidecar, Scope::Logging).await.status, "disabled");
    world.services().cgs.set_logging("c1", true);
    assert_eq!(status(&sidecar, Scope::Logging).await.status, "enabled");
    world.services().cgs.set_execution("c1", "litware", false);
    let refused = status(&sidecar, Scope::Execution).await;
    assert_eq!(refused.status, "disabled");
    assert_eq!(refused.reason.unwrap().code, "ContractDisabled");
}

#[tokio::test]
async fn events_arrive_in_order_and_consent_after_them_is_fresh() {
    let world = world().await;
    let sidecar = sidecar(&world, "c1", HOST_DATA, None);
    for message in [
        "starting execution of app container",
        "app container terminated with exit code 0",
    ] {
        let data = json!({"source": "code-launcher", "message": message});
        sidecar.put_event(None, "", data).await.unwrap();
    }
    assert_eq!(status(&sidecar, Scope::Execution).await.status, "enabled");
    let events = world.services().cgs.events("c1", "");
    let seqs: Vec<&Value> = events
        .iter()
        .map(|event| &event["data"]["chain"]["seq"])
        .collect();
    assert_eq!(seqs, [&json!(1), &json!(2)]);
    assert_eq!(
        events[1]["data"]["message"],
        "app container terminated with exit code 0"
    );
}

#[tokio::test]
async fn an_event_that_stays_pending_is_an_error_until_it_is_committed() {
    let world = world().await;
    let sidecar = sidecar(&world, "c1", HOST_DATA, None);
    let cgs = &world.services().cgs;
    cgs.hold_commits(true);
    let data = json!({"message": "start"});
    let error = sidecar.put_event(None, "", data.clone()).await.unwrap_err();
    assert_eq!(error.code(), "CR-GOV-0009");
    cgs.hold_commits(false);
    cgs.set_commit_delay(Some(Duration::ZERO));
    sidecar.put_event(None, "", data).await.unwrap();
    assert_eq!(cgs.events("c1", "").len(), 1);
}

#[tokio::test]
async fn a_token_of_the_contract_is_unwrapped() {
    let world = world().await;
    let sidecar = sidecar(&world, "c1", HOST_DATA, None);
    let (token, _) = sidecar
        .token("c1", TENANT, "api://AzureADTokenExchange")
        .await
        .unwrap();
    let payload = token.split('.').nth(1).unwrap();
    let payload = base64::prelude::BASE64_URL_SAFE_NO_PAD
        .decode(payload)
        .unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(claims["sub"], "c1");
    assert_eq!(claims["aud"], "api://AzureADTokenExchange");
    let unknown = sidecar.token("c1", "bbbb", "x").await.unwrap_err();
    assert_eq!(unknown.code(), "IssuerUrlNotSet");
}

#[tokio::test]
async fn another_policy_another_key_and_another_contract_are_refused_with_the_service_s_code() {
    let world = world().await;
    let data = || json!({"message": "start"});
    let other_group = sidecar(&world, "c1", [1; 32], None);
    let error = other_group.consent(Scope::Execution).await.unwrap_err();
    assert_eq!(error.code(), "VerifySnpAttestationFailed");
    let other_key = sidecar(&world, "c1", HOST_DATA, Some(&RoomKey::generate().unwrap()));
    let error = other_key.put_event(None, "", data()).await.unwrap_err();
    assert_eq!(error.code(), "ReportDataMismatch");
    let other_contract = sidecar(&world, "c2", HOST_DATA, None);
    assert!(other_contract.put_event(None, "", data()).await.is_err());
    assert!(world.services().cgs.events("c1", "").is_empty());
}
