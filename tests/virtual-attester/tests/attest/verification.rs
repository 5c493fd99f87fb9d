//! What the agent gives out is judged first, and what does not verify goes to nobody: not to a caller, not to MAA, not to a
//! vault.

use std::path::Path;
use std::sync::Arc;

use attestation::{AttestError, Attester, Report, Verifier};
use axum::Router;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cleanroom_crypto::digest::sha256;
use emulators::amd::{Platform, Product, chain_pem, issue_report_on, mint_authorities, mint_vcek};
use emulators::world::World;
use serde_json::{Value, json};
use sidecar_http::{Coded, Peer};
use skr_agent::{Agent, Config, routes};
use tempfile::TempDir;
use test_support::KekOwner;
use tokio_util::sync::CancellationToken;
use virtual_attester::{VirtualAttester, verifier};

use crate::common::{POLICY, endpoint, launched, world};
use crate::routes::ask;

/// Reports of another platform under the policy of [`POLICY`].
struct On(Platform);

impl Attester for On {
    async fn report(&self, report_data: [u8; 64]) -> Result<Report, AttestError> {
        let report = issue_report_on(&self.0, &sha256(POLICY), &report_data).unwrap();
        Ok(Report::parse(&report)?)
    }
}

/// A report that is changed after it was signed.
struct Changed {
    offset: usize,
    value: u8,
}

impl Attester for Changed {
    async fn report(&self, report_data: [u8; 64]) -> Result<Report, AttestError> {
        let platform = Platform::default();
        let mut report = issue_report_on(&platform, &sha256(POLICY), &report_data).unwrap();
        report[self.offset] = self.value;
        Ok(Report::parse(&report)?)
    }
}

fn agent<A: Attester>(
    world: &World,
    group: &TempDir,
    attester: A,
    verifier: Verifier,
) -> Arc<Agent<A>> {
    Arc::new(Agent::new(
        attester,
        verifier,
        test_support::https(world).unwrap(),
        test_support::trust(world).unwrap(),
        Config::for_directory(group.path()),
        CancellationToken::new(),
    ))
}

fn alone<A: Attester>(agent: &Arc<Agent<A>>) -> Router {
    routes(Arc::clone(agent)).router_as(Peer::Tcp("127.0.0.1:1".parse().unwrap()))
}

fn put(directory: &Path, file: &str, content: &[u8]) {
    std::fs::write(directory.join(file), STANDARD.encode(content)).unwrap();
}

/// The host's certificates: a leaf and the test root's authorities.
fn put_leaf(directory: &Path, leaf: &str, tcb: u64) {
    let authorities = mint_authorities(Product::Milan).unwrap();
    let host = json!({
        "vcekCert": leaf, "tcbm": format!("{tcb:016X}"), "certificateChain": authorities, "cacheControl": "1",
    });
    put(
        directory,
        "host-amd-cert-base64",
        host.to_string().as_bytes(),
    );
}

fn pem(der: &[u8]) -> String {
    let lines = STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
}

/// Names of the failed checks in an answer, each with what was expected and what was there.
fn failed(answer: &Value) -> Vec<&str> {
    let checks = answer["checks"].as_array().unwrap();
    for check in checks {
        assert_eq!(check["verdict"], "failed");
        for member in ["code", "what", "expected", "actual"] {
            assert!(!check[member].as_str().unwrap().is_empty(), "{check}");
        }
        let text = answer["error"].as_str().unwrap();
        assert!(text.contains(check["code"].as_str().unwrap()), "{text}");
    }
    let names = checks.iter().map(|check| check["name"].as_str().unwrap());
    names.collect()
}

/// Every way that evidence could leave by, and that none of them does: the failed checks, which are the same on each.
async fn refused<A: Attester>(
    world: &World,
    group: &TempDir,
    attester: A,
    verifier: Verifier,
) -> Vec<String> {
    let owner = KekOwner::of(world, &sha256(POLICY)).await;
    let agent = agent(world, group, attester, verifier);
    let router = alone(&agent);
    let before = (KekOwner::attestations(world), KekOwner::releases(world));
    let runtime = json!({
        "runtime_data": STANDARD.encode("{}"), "maa_endpoint": endpoint(world).as_str(),
    });
    let mut found: Option<Vec<String>> = None;
    for (path, body) in [
        ("/attest/raw", &runtime),
        ("/attest/combined", &runtime),
        ("/attest/maa", &runtime),
        ("/key/release", &owner.request(world)),
    ] {
        let (status, answer) = ask(&router, path, body).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{path} {answer}");
        assert_eq!(answer["code"], "CR-SKR-0045", "{path} {answer}");
        assert_eq!(answer["retryable"], false);
        let failed: Vec<String> = failed(&answer).into_iter().map(ToOwned::to_owned).collect();
        assert_eq!(
            found.get_or_insert_with(|| failed.clone()),
            &failed,
            "{path}"
        );
    }
    let check = agent.self_check().await;
    check.device.unwrap();
    check.context.unwrap();
    check.endorsements.unwrap().unwrap();
    let error = check.verification.unwrap().unwrap_err();
    assert_eq!(error.code(), "CR-SKR-0045", "{error}");
    let after = (KekOwner::attestations(world), KekOwner::releases(world));
    assert_eq!(after, before, "evidence that does not verify was sent");
    found.unwrap()
}

#[tokio::test]
async fn an_agent_that_believes_amd_gives_out_nothing_under_the_test_root() {
    let world = world().await;
    let group = launched(POLICY);
    let attester = VirtualAttester::new(Some(group.path().to_owned()));
    let production = Verifier::production().unwrap();
    let failed = refused(&world, &group, attester, production).await;
    for check in ["root-pinned", "uvm-chain", "uvm-issuer"] {
        assert!(failed.iter().any(|name| name == check), "{failed:?}");
    }
}

#[tokio::test]
async fn the_utility_vm_must_be_the_endorsed_one() {
    let world = world().await;
    for (endorsement, expected) in [
        (
            &include_bytes!("../../../vectors/attestation-mock/uvm-endorsement-bad-sig.cose")[..],
            "uvm-signature",
        ),
        (
            include_bytes!("../../../vectors/attestation-mock/uvm-endorsement-bad-feed.cose"),
            "uvm-feed",
        ),
        (
            include_bytes!("../../../vectors/attestation-mock/uvm-endorsement-low-svn.cose"),
            "uvm-svn",
        ),
        (
            include_bytes!(
                "../../../vectors/attestation-mock/uvm-endorsement-wrong-measurement.cose"
            ),
            "measurement",
        ),
        (b"no COSE at all", "uvm-format"),
    ] {
        let group = launched(POLICY);
        put(group.path(), "reference-info-base64", endorsement);
        let attester = VirtualAttester::new(Some(group.path().to_owned()));
        let failed = refused(&world, &group, attester, verifier().unwrap()).await;
        assert_eq!(failed, [expected]);
    }
}

#[tokio::test]
async fn a_report_must_be_signed_as_it_is_and_of_a_guest_as_it_should_be() {
    let world = world().await;
    // Offsets are those of AMD's layout: VMPL, the guest policy's bits, the platform's configuration.
    for (offset, value, also) in [
        (0x30, 1, Some("vmpl")),
        (0x0a, 0x07, Some("migration-agent")),
        (0x40, 0, Some("platform-info")),
        (0x48, 1, Some("author-key")),
        (0x10, 9, None),
    ] {
        let group = launched(POLICY);
        let attester = Changed { offset, value };
        let failed = refused(&world, &group, attester, verifier().unwrap()).await;
        let expected: Vec<&str> = ["report-signature"].into_iter().chain(also).collect();
        assert_eq!(failed, expected);
    }
}

#[tokio::test]
async fn the_firmware_must_not_be_older_than_the_shipped_minimum() {
    let world = world().await;
    for (tcb, expected) in [
        (0xdb18_0000_0000_0004, None),
        (0xdb17_0000_0000_0004, Some(["minimum-tcb", "launch-tcb"])),
        (0x7318_0000_0000_0004, Some(["minimum-tcb", "launch-tcb"])),
    ] {
        let group = launched(POLICY);
        let platform = Platform::of(Product::Milan, "another chip", tcb);
        let leaf = mint_vcek(&platform).unwrap();
        put_leaf(group.path(), &pem(&leaf), tcb);
        match expected {
            Some(expected) => {
                let failed = refused(&world, &group, On(platform), verifier().unwrap()).await;
                assert_eq!(failed, expected, "{tcb:x}");
            }
            None => {
                let check = agent(&world, &group, On(platform), verifier().unwrap());
                check.self_check().await.verification.unwrap().unwrap();
            }
        }
    }
}

#[tokio::test]
async fn certificates_must_be_in_force_and_issued_by_each_other() {
    let world = world().await;
    let attester = |group: &TempDir| VirtualAttester::new(Some(group.path().to_owned()));
    let tcb = Platform::default().tcb;

    let group = launched(POLICY);
    let expired = include_str!("../../../vectors/attestation-mock/vcek-milan-expired.pem");
    put_leaf(group.path(), expired, tcb);
    let failed = refused(&world, &group, attester(&group), verifier().unwrap()).await;
    assert_eq!(failed, ["leaf-validity"]);

    // The right names and numbers, signed by nobody.
    let group = launched(POLICY);
    let mut leaf = mint_vcek(&Platform::default()).unwrap();
    *leaf.last_mut().unwrap() ^= 1;
    put_leaf(group.path(), &pem(&leaf), tcb);
    let failed = refused(&world, &group, attester(&group), verifier().unwrap()).await;
    assert_eq!(failed, ["leaf-signature"]);
}

#[tokio::test]
async fn a_report_alone_needs_nobody_to_vouch_for_it_but_is_held_to_what_is_there() {
    let world = world().await;
    let runtime = json!({"runtime_data": STANDARD.encode("{}")});
    let raw = async |group: &TempDir, attester: VirtualAttester| {
        let agent = agent(&world, group, attester, verifier().unwrap());
        ask(&alone(&agent), "/attest/raw", &runtime).await
    };
    let own = |group: &TempDir| VirtualAttester::new(Some(group.path().to_owned()));
    for missing in ["host-amd-cert-base64", "reference-info-base64"] {
        let group = launched(POLICY);
        std::fs::remove_file(group.path().join(missing)).unwrap();
        let (status, answer) = raw(&group, own(&group)).await;
        assert_eq!(status, StatusCode::OK, "{missing} {answer}");
    }
    // Without the endorsement of the utility VM the certificates are still judged.
    let group = launched(POLICY);
    std::fs::remove_file(group.path().join("reference-info-base64")).unwrap();
    let expired = include_str!("../../../vectors/attestation-mock/vcek-milan-expired.pem");
    put_leaf(group.path(), expired, Platform::default().tcb);
    let (_, answer) = raw(&group, own(&group)).await;
    assert_eq!(failed(&answer), ["leaf-validity"]);
    // And without certificates, whose policy it is.
    let (group, other) = (launched(POLICY), launched(b"another policy"));
    std::fs::remove_file(group.path().join("host-amd-cert-base64")).unwrap();
    let (_, answer) = raw(&group, own(&other)).await;
    assert_eq!(answer["code"], "CR-SKR-0007", "{answer}");
}

#[tokio::test]
async fn the_chain_of_the_test_root_is_judged_whole_by_the_virtual_agents_verifier() {
    let group = launched(POLICY);
    let attester = VirtualAttester::new(Some(group.path().to_owned()));
    let report = attester.report([7; 64]).await.unwrap();
    let endorsement = emulators::amd::uvm_endorsement();
    let material = snp::Material {
        report: report.as_bytes(),
        chain_pem: &chain_pem(),
        uvm_endorsement: Some(&endorsement),
    };
    let judge = |host_data, report_data| {
        let verifier = verifier().unwrap();
        let verification = verifier.verify(material, host_data, report_data);
        verification.failure().map(|check| check.id)
    };
    assert_eq!(judge(sha256(POLICY), [7; 64]), None);
    assert_eq!(judge(sha256(b""), [7; 64]), Some(snp::CheckId::HostData));
    assert_eq!(
        judge(sha256(POLICY), [8; 64]),
        Some(snp::CheckId::ReportData)
    );
}
