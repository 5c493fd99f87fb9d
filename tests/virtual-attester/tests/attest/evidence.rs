//! From a policy to a checked MAA token, over TLS.

use crate::common::{POLICY, endpoint, evidence, launched, maa, world};
use attestation::{
    AttestError, Attester, EndorsementStore, Evidence, Report, RuntimeData, SecurityContext,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cleanroom_crypto::digest::sha256;
use cleanroom_crypto::rsa::PrivateKey;
use emulators::upset::{Kind, Upset};
use sidecar_http::{Coded, Fault};
use virtual_attester::VirtualAttester;

fn runtime() -> RuntimeData {
    RuntimeData::new(*br#"{"keys":[]}"#)
}

#[tokio::test]
async fn the_token_names_the_policy_that_the_group_was_launched_under() {
    let world = world().await;
    for policy in [POLICY, b"another policy"] {
        let group = launched(policy);
        let evidence = evidence(group.path(), &runtime()).await;
        let token = maa(&world)
            .attest(&endpoint(&world), &evidence, &runtime())
            .await
            .unwrap();
        assert_eq!(
            token
                .claim("x-ms-sevsnpvm-hostdata")
                .unwrap()
                .as_str()
                .unwrap(),
            hex::encode(sha256(policy))
        );
        assert_eq!(token.compliance(), Some("azure-compliant-uvm"));
        assert_eq!(
            token.claim("x-ms-runtime").unwrap().to_string(),
            r#"{"keys":[]}"#
        );
    }
}

#[tokio::test]
async fn the_token_carries_the_transfer_key_that_the_vault_wraps_for() {
    let world = world().await;
    let group = launched(POLICY);
    let key = PrivateKey::generate(2048).unwrap();
    let runtime = RuntimeData::of_transfer_key(&key.public_key());
    let evidence = evidence(group.path(), &runtime).await;
    let token = maa(&world)
        .attest(&endpoint(&world), &evidence, &runtime)
        .await
        .unwrap();
    let jwk = &token.claim("x-ms-runtime").unwrap()["keys"][0];
    assert_eq!(jwk["key_ops"][0], "encrypt");
    let number = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    assert_eq!(number("n"), key.public_key().n_be());
    assert_eq!(number("e"), key.public_key().e_be());
}

#[tokio::test]
async fn changed_evidence_is_refused_by_the_service_with_its_reason() {
    let world = world().await;
    let group = launched(POLICY);
    let good = evidence(group.path(), &runtime()).await;
    let mut tampered = good.clone();
    let mut bytes = good.report.as_bytes().to_vec();
    bytes[0xc0] ^= 1;
    tampered.report = Report::parse(&bytes).unwrap();
    let other = RuntimeData::new(*br#"{"keys":[1]}"#);
    let mut foreign = good.clone();
    foreign.uvm_endorsements.truncate(1000);
    for (evidence, runtime, reason) in [
        (&tampered, runtime(), "signature"),
        (&good, other, "runtimeData"),
        (&foreign, runtime(), "endorsement"),
    ] {
        let error = maa(&world)
            .attest(&endpoint(&world), evidence, &runtime)
            .await
            .unwrap_err();
        assert_eq!(error.code(), "CR-SKR-0013", "{error}");
        assert_eq!(error.fault(), Fault::Denied);
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_busy_service_is_asked_again_and_a_dead_one_is_reported_as_such() {
    let world = world().await;
    let group = launched(POLICY);
    let evidence = evidence(group.path(), &runtime()).await;
    let upset = |times| {
        Upset::next("maa", Kind::Status(503))
            .at("/attest/")
            .times(times)
    };
    world.upset(upset(2));
    maa(&world)
        .attest(&endpoint(&world), &evidence, &runtime())
        .await
        .unwrap();
    world.upset(upset(4));
    let error = maa(&world)
        .attest(&endpoint(&world), &evidence, &runtime())
        .await
        .unwrap_err();
    assert_eq!(error.fault(), Fault::Upstream { retry: true });
    assert!(error.to_string().contains("503"), "{error}");
}

#[tokio::test]
async fn a_policy_file_that_was_not_measured_is_noticed() {
    let (measured, swapped) = (launched(POLICY), launched(b"another policy"));
    let attester = VirtualAttester::new(Some(measured.path().to_owned()));
    let context = SecurityContext::read(swapped.path()).await;
    let error = Evidence::collect(
        &attester,
        &context,
        &EndorsementStore::context_only(),
        &virtual_attester::verifier().unwrap(),
        &runtime(),
    )
    .await
    .unwrap_err();
    assert_eq!(error.code(), "CR-SKR-0007");
    let text = error.to_string();
    assert!(text.contains(&hex::encode(sha256(POLICY))), "{text}");
    assert!(
        text.contains(&hex::encode(sha256(b"another policy"))),
        "{text}"
    );
}

#[tokio::test]
async fn no_report_is_made_for_a_policy_that_allows_everything() {
    let policy = include_bytes!("../../../vectors/attestation-mock/allow-all-policy.base64");
    let group = launched(POLICY);
    std::fs::write(group.path().join("security-policy-base64"), policy).unwrap();
    let attester = VirtualAttester::new(Some(group.path().to_owned()));
    let error = attester.report([0; 64]).await.unwrap_err();
    assert!(matches!(error, AttestError::Artefact { .. }));
    assert!(error.to_string().contains("allows everything"), "{error}");
}
