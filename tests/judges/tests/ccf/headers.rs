//! Headers that are wrong: judge and emulated service agree on them.

use std::path::PathBuf;

use emulators::world::{World, WorldConfig};
use judges::{folder, python, run};
use serde_json::json;

use crate::member::{Pair, text};
use crate::program::{Program, error, read, verdicts};

#[tokio::test(flavor = "multi_thread")]
async fn the_judge_and_the_emulated_service_refuse_the_same_headers() {
    sidecar_http::install_crypto_provider();
    let dir = tempfile::tempdir().unwrap();
    let litware = Pair::by_ccf(dir.path(), "litware");
    let world = World::start(WorldConfig::two_parties()).await.unwrap();
    let cert = std::fs::read_to_string(&litware.cert).unwrap();
    let cgs = &world.services().cgs;
    cgs.add_member(&cert, json!({"identifier": "litware"}))
        .unwrap();
    let content = dir.path().join("content");
    let actions = json!({"actions": [{"name": "enable_oidc_issuer", "args": {"kid": "k0"}}]});
    std::fs::write(&content, actions.to_string()).unwrap();
    run(std::process::Command::new(python("ccf"))
        .arg(folder("ccf").join("twisted.py"))
        .args([&litware.cert, &litware.key, &content])
        .arg(dir.path()));
    let pin = dir.path().join("service.pem");
    std::fs::write(&pin, world.service_cert_pem()).unwrap();
    let endpoint = format!("https://{}", world.cgs_addr());
    let mut member = Program::start("member.py", &[&endpoint, text(&pin)]);

    // What is wrong, what the judge says of it, and how the service's reason starts.
    let cases = [
        (
            "kid_binary",
            "kid is not that of the certificate",
            "kid is not text",
        ),
        (
            "kid_upper_case",
            "kid is not that of the certificate",
            "Signer is not a known member",
        ),
        (
            "type_missing",
            "ccf.gov.msg.type is None",
            "Missing ccf.gov.msg.type",
        ),
        (
            "type_unknown",
            "ccf.gov.msg.type is 'propose'",
            "Found ccf.gov.msg.type set to propose",
        ),
        (
            "created_at_missing",
            "headers ['1', '4', 'ccf.gov.msg.type']",
            "Missing ccf.gov.msg.created_at",
        ),
        (
            "created_at_text",
            "ccf.gov.msg.created_at is no unsigned integer",
            "ccf.gov.msg.created_at is no integer",
        ),
        (
            "created_at_negative",
            "ccf.gov.msg.created_at is no unsigned integer",
            "ccf.gov.msg.created_at is negative",
        ),
    ];
    let file = |name: &str| dir.path().join(format!("{name}.cose"));
    let names = cases.iter().map(|(name, _, _)| *name);
    let files: Vec<PathBuf> = names.chain(["nothing"]).map(file).collect();
    let verdicts = verdicts(&litware.cert, &files);
    for ((name, reason, start), verdict) in cases.into_iter().zip(&verdicts) {
        assert_eq!(*verdict, json!({"refused": reason}), "{name}");
        let said = member
            .asked(&json!({"path": "/gov/members/proposals:create", "file": file(name)}))
            .await;
        assert_eq!(error(&said), "401 \"InvalidAuthenticationInfo\"", "{name}");
        let message = said["body"]["error"]["details"][0]["message"].as_str();
        assert!(
            message.is_some_and(|message| message.starts_with(start)),
            "{name}: {message:?}"
        );
    }
    let listed = read(&mut member, "/gov/members/proposals").await;
    assert_eq!(listed, json!({"value": []}));
    assert_eq!(verdicts[cases.len()]["tool_makes_the_same_bytes"], true);
    let said = member
        .asked(&json!({"path": "/gov/members/proposals:create", "file": file("nothing")}))
        .await;
    assert_eq!(
        (&said["status"], &said["body"]["proposalState"]),
        (&json!(200), &json!("Open"))
    );
    world.stop().await;
}
