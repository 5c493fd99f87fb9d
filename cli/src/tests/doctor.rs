//! The way of a key, examined.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use attestation::Verifier;
use clap::Parser;
use cleanroom_crypto::digest::sha256;
use emulators::upset::{Kind, Upset};
use sidecar_http::{HttpsClient, Limits, serve_tcp};
use skr_agent::{Agent, Config, routes};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use virtual_attester::VirtualAttester;

use super::Desk;
use super::keys::{bind, prepared};
use crate::doctor::{DoctorArgs, Walk, examine};

const CCE_POLICY: &[u8] = b"package policy\n";
const MOCK: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/vectors/attestation-mock"
);

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: DoctorArgs,
}

/// An agent without hardware on a loopback port, for the context in the desk's folder.
async fn agent(desk: &Desk) -> (SocketAddr, DropGuard) {
    agent_that_believes(desk, virtual_attester::verifier().unwrap())
}

fn agent_that_believes(desk: &Desk, verifier: Verifier) -> (SocketAddr, DropGuard) {
    let directory = desk.path("context");
    std::fs::create_dir_all(&directory).unwrap();
    emulators::amd::write_context(&directory, CCE_POLICY).unwrap();
    let trust = test_support::trust(desk.world()).unwrap();
    let stop = CancellationToken::new();
    let agent = Agent::new(
        VirtualAttester::new(Some(directory.clone())),
        verifier,
        HttpsClient::new(&trust).unwrap(),
        trust,
        Config::for_directory(directory),
        stop.clone(),
    );
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let serving = serve_tcp(
        listener,
        routes(Arc::new(agent)),
        Limits::default(),
        stop.clone(),
    );
    tokio::spawn(serving);
    (address, stop.drop_guard())
}

/// Trust in the test root, which the world's agents are judged by.
fn test_root() -> String {
    let issuer = std::fs::read_to_string(format!("{MOCK}/uvm-did.txt")).unwrap();
    let issuer = issuer.trim();
    format!(
        " --insecure-virtual --amd-root {MOCK}/ark-milan.pem --uvm-issuer {issuer} --minimum-svn 100"
    )
}

/// What to examine at litware: everything that exists.
fn whole(desk: &Desk, agent: SocketAddr) -> String {
    let vault = desk.world().url("litwarekv.vault.azure.net");
    let maa = desk.world().url("sharedneu.neu.attest.azure.net");
    format!(
        "--agent {agent} --context-dir @context --maa {maa} --vault {vault} \
         --key litware-kek --secret {}{}",
        secret(desk),
        test_root()
    )
}

/// The same, as the room's identity, which alone may have keys released.
fn as_the_room(desk: &Desk, agent: SocketAddr) -> String {
    let party = &desk.world().config().parties[0];
    let identity = party.managed_identity.as_ref().unwrap();
    let audience = keyvault::VaultKind::KeyVault.audience();
    let entra = &desk.world().services().entra;
    let token = entra
        .issue(&party.tenant_id, &identity.client_id, audience, 3600)
        .unwrap();
    desk.write("token", token);
    format!("{} --access-token-file @token", whole(desk, agent))
}

/// Name of the secret with the input's wrapped key.
fn secret(desk: &Desk) -> String {
    let spec = crate::config::read_specification(&desk.path("litware.yaml")).unwrap();
    let secrets = spec.datasources[0]
        .protection
        .encryption_secrets
        .as_ref()
        .unwrap();
    secrets.dek.secret.backing_resource.name.clone()
}

async fn examined(desk: &Desk, line: &str) -> Walk {
    let words = line
        .split_whitespace()
        .map(|word| match word.strip_prefix('@') {
            Some(name) => desk.path(name).display().to_string(),
            None => word.to_owned(),
        });
    let line = Line::try_parse_from(["doctor".to_owned()].into_iter().chain(words)).unwrap();
    examine(&line.args, &desk.access).await.unwrap()
}

fn verdicts(walk: &Walk) -> Vec<String> {
    let line = |step: &crate::doctor::Step| format!("{} {:?}", step.name, step.verdict);
    walk.steps.iter().map(line).collect()
}

#[tokio::test]
async fn a_sound_way_passes_every_step_and_shows_no_secret() {
    let desk = prepared().await;
    let (agent, _running) = agent(&desk).await;
    bind(&desk, &sha256(CCE_POLICY)).await;
    let walk = examined(&desk, &as_the_room(&desk, agent)).await;
    assert_eq!(
        verdicts(&walk),
        [
            "device Passed",
            "context files Passed",
            "policy hash Passed",
            "endorsements Passed",
            "verification Passed",
            "MAA Passed",
            "token Passed",
            "vault Passed",
            "wrap Passed",
        ],
        "{walk}"
    );
    assert!(walk.healthy());
    let shown = format!("{walk}{}", serde_json::to_string(&walk).unwrap());
    assert!(!shown.contains("eyJ"), "a token is shown");
    let dek = std::fs::read_dir(desk.path("keys"))
        .unwrap()
        .next()
        .unwrap();
    let dek = std::fs::read(dek.unwrap().path()).unwrap();
    assert!(!shown.contains(&hex::encode(&dek)), "a key is shown");
}

#[tokio::test]
async fn a_key_for_another_deployment_is_refused_by_name_of_the_claim_before_the_vault_is_asked() {
    let desk = prepared().await;
    let (agent, _running) = agent(&desk).await;
    bind(&desk, &[0x5a; 32]).await;
    let walk = examined(&desk, &whole(&desk, agent)).await;
    assert!(!walk.healthy());
    let vault = walk.steps.iter().find(|step| step.name == "vault").unwrap();
    for part in [
        "x-ms-sevsnpvm-hostdata",
        &"5a".repeat(32),
        &hex::encode(sha256(CCE_POLICY)),
    ] {
        assert!(vault.found.contains(part), "{}", vault.found);
    }
    assert!(vault.todo.unwrap().contains("wrap-deks"));
    let requests = desk.world().requests("vault");
    assert!(!requests.iter().any(|one| one.path.ends_with("/release")));
    assert_eq!(verdicts(&walk)[8], "wrap NotChecked");
}

#[tokio::test]
async fn each_failure_is_told_at_its_own_step_with_one_thing_to_do() {
    let desk = prepared().await;
    let (agent, _running) = agent(&desk).await;
    bind(&desk, &sha256(CCE_POLICY)).await;
    let line = as_the_room(&desk, agent);

    // No device here, and no agent named.
    let alone = examined(&desk, "--context-dir @context").await;
    assert_eq!(verdicts(&alone)[0], "device Failed");
    assert_eq!(alone.steps[0].code.as_deref(), Some("CR-SKR-0002"));
    assert!(alone.steps[0].todo.unwrap().contains("--agent"));
    assert_eq!(verdicts(&alone)[1], "context files Passed");
    assert!(
        alone.steps[2..]
            .iter()
            .all(|step| step.verdict == crate::doctor::Verdict::NotChecked)
    );

    // Another group's policy lies here.
    desk.write("other/security-policy-base64", "b3RoZXI=");
    for file in ["reference-info-base64", "host-amd-cert-base64"] {
        desk.write(
            &format!("other/{file}"),
            desk.read(&format!("context/{file}")),
        );
    }
    let foreign = examined(&desk, &line.replace("@context", "@other")).await;
    assert_eq!(verdicts(&foreign)[2], "policy hash Failed");
    assert!(
        foreign.steps[2]
            .found
            .contains(&hex::encode(sha256(CCE_POLICY)))
    );

    // A secret that was never written.
    let missing = examined(&desk, &line.replace(&secret(&desk), "nothing-here")).await;
    assert_eq!(verdicts(&missing)[7], "vault Passed");
    assert_eq!(verdicts(&missing)[8], "wrap Failed");
    assert_eq!(missing.steps[8].code.as_deref(), Some("CR-KV-0012"));

    // MAA refuses.
    desk.world()
        .upset(Upset::next("maa", Kind::Status(400)).at("/attest/"));
    let refused = examined(&desk, &line).await;
    assert_eq!(verdicts(&refused)[5..7], ["MAA Passed", "token Failed"]);
    assert_eq!(verdicts(&refused)[7], "vault NotChecked");
}

#[tokio::test]
async fn evidence_that_does_not_verify_is_shown_check_by_check_and_goes_to_nobody() {
    let desk = prepared().await;
    let (agent, _running) = agent(&desk).await;
    bind(&desk, &sha256(CCE_POLICY)).await;
    // Nobody said that the test root is to be believed.
    let line = as_the_room(&desk, agent).replace(&test_root(), "");
    let walk = examined(&desk, &line).await;
    assert_eq!(
        verdicts(&walk)[3..],
        [
            "endorsements Passed",
            "verification Failed",
            "MAA NotChecked",
            "token NotChecked",
            "vault NotChecked",
            "wrap NotChecked",
        ]
    );
    assert!(desk.world().requests("maa").is_empty());
    let text = walk.to_string();
    let json = serde_json::to_value(&walk).unwrap();
    let checks = json["steps"][4]["checks"].as_array().unwrap();
    assert_eq!(checks.len(), snp::CheckId::ALL.len());
    let failed = checks.iter().filter(|check| check["verdict"] == "failed");
    let failed: Vec<_> = failed.collect();
    assert!(failed.iter().any(|check| check["name"] == "root-pinned"));
    for check in failed {
        for member in ["code", "name", "what", "expected", "actual"] {
            assert!(text.contains(check[member].as_str().unwrap()), "{text}");
        }
    }
    // What holds is not in the text.
    assert!(!text.contains("report-signature"), "{text}");
}

#[tokio::test]
async fn an_agent_that_refuses_its_own_evidence_says_which_checks_fail() {
    let desk = prepared().await;
    let (agent, _running) = agent_that_believes(&desk, Verifier::production().unwrap());
    let walk = examined(&desk, &whole(&desk, agent)).await;
    assert_eq!(verdicts(&walk)[0], "device Failed");
    let found = &walk.steps[0].found;
    for part in ["CR-SKR-0045", "CR-SNP-0011 root-pinned", "actual"] {
        assert!(found.contains(part), "{found}");
    }
}

#[tokio::test]
async fn an_agent_on_another_machine_is_refused() {
    let desk = Desk::online().await;
    assert_eq!(
        desk.code("doctor --agent 192.0.2.1:8284").await,
        "CR-CLI-0003"
    );
}
