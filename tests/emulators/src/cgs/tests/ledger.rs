use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::{Value, json};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::support::{Service, service, service_with};

async fn write(service: &Service, secret: &str) -> String {
    let path = format!("/app/contracts/c1/secrets/{secret}");
    let got = service
        .call("PUT", &path, Some(&service.litware), json!({"value": "v"}))
        .await;
    assert_eq!(got.status, 200);
    got.transaction()
}

async fn status(service: &Service, transaction: &str) -> Value {
    let got = service
        .call(
            "GET",
            &format!("/app/tx?transaction_id={transaction}"),
            None,
            Value::Null,
        )
        .await
        .ok();
    assert_eq!(got["transaction_id"], transaction);
    let gov = service
        .gov(&format!("service/transactions/{transaction}"))
        .await
        .ok();
    assert_eq!(gov["status"], got["status"]);
    got["status"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_write_is_pending_until_its_delay_is_over() {
    let service = service_with(|config| config.commit_delay = Some(Duration::from_secs(1)));
    tokio::time::advance(Duration::from_secs(5)).await;
    let transaction = write(&service, "a").await;
    assert_eq!(status(&service, &transaction).await, "Pending");
    tokio::time::advance(Duration::from_millis(999)).await;
    assert_eq!(status(&service, &transaction).await, "Pending");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(status(&service, &transaction).await, "Committed");
    let commit = service
        .call("GET", "/app/commit", None, Value::Null)
        .await
        .ok();
    assert_eq!(commit, json!({"transaction_id": transaction}));
}

#[tokio::test(start_paused = true)]
async fn held_writes_stay_pending_and_are_committed_when_let_go() {
    let service = service();
    let before = write(&service, "a").await;
    service.cgs.hold_commits(true);
    let held = write(&service, "b").await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(
        (
            status(&service, &before).await,
            status(&service, &held).await
        ),
        (json!("Committed"), json!("Pending"))
    );
    service.cgs.hold_commits(false);
    assert_eq!(status(&service, &held).await, "Committed");
    service.cgs.set_commit_delay(None);
    let never = write(&service, "c").await;
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(status(&service, &never).await, "Pending");
}

#[tokio::test]
async fn transaction_ids_of_other_views_and_of_nothing_are_told_apart() {
    let service = service();
    assert_eq!(status(&service, "2.99999").await, "Unknown");
    assert_eq!(status(&service, "3.1").await, "Unknown");
    assert_eq!(status(&service, "1.1").await, "Invalid");
    for id in ["", "2", "2.x", "2.1.1", "-2.1"] {
        let got = service
            .call(
                "GET",
                &format!("/app/tx?transaction_id={id}"),
                None,
                Value::Null,
            )
            .await;
        assert_eq!(got.error(), "400 InvalidQueryParameterValue", "{id}");
    }
}

#[tokio::test]
async fn a_write_names_its_own_position_and_a_read_the_last_one() {
    let service = service();
    let (first, second) = (write(&service, "a").await, write(&service, "b").await);
    assert_ne!(first, second);
    assert_eq!(service.get("/app/contracts").await.transaction(), second);
    assert_eq!(
        service.get("/app/contracts/none").await.transaction(),
        second
    );
    let refused = service
        .call(
            "PUT",
            "/app/contracts/c1",
            Some(&service.litware),
            json!({}),
        )
        .await;
    assert_eq!((refused.status, refused.transaction()), (400, second));
}

#[tokio::test]
async fn the_node_certificate_chains_to_the_service_identity_for_its_names() {
    let service = service();
    let network = service
        .call("GET", "/node/network", None, Value::Null)
        .await
        .ok();
    let pem = service.cgs.service_cert_pem();
    assert_eq!(network["service_certificate"], pem.as_str());
    let info = service.gov("service/info").await.ok();
    assert_eq!(
        (&info["status"], &info["certificate"]),
        (&json!("Open"), &json!(pem))
    );
    let root = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let anchors = [anchor_from_trusted_cert(&root).unwrap()];
    let (chain, _) = service.cgs.node_tls();
    let node = EndEntityCert::try_from(&chain[0]).unwrap();
    let now = UnixTime::since_unix_epoch(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
    node.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &anchors,
        &[],
        now,
        KeyUsage::server_auth(),
        None,
        None,
    )
    .unwrap();
    for name in ["localhost", "127.0.0.1", "cgs.operator.example"] {
        node.verify_is_valid_for_subject_name(&ServerName::try_from(name).unwrap())
            .unwrap();
    }
    let other = ServerName::try_from("cgs.contoso.example").unwrap();
    assert!(node.verify_is_valid_for_subject_name(&other).is_err());
}
