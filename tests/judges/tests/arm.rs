//! The stock SDK's models of a container group as judges of our deployment template.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::collections::BTreeMap;
use std::process::{Command, Output};

use cleanroom_spec::Specification;
use judges::{folder, python};
use policy::emit::cce::{CceOptions, cce};
use policy::emit::{Resources, TemplateOptions, arm};
use policy::{Deployment, ImageManifest, build};
use serde_json::{Value, json};

const HELLO: &str = include_str!("../../vectors/spec/hello-job.yaml");
const IMAGES: [&str; 8] = [
    "init",
    "skr-agent",
    "secrets",
    "identity",
    "governance",
    "otel-collector",
    "blobfuse-shim",
    "code-launcher",
];

fn template() -> Value {
    let digest = |index: usize| format!("sha256:{index:064x}");
    let entries = IMAGES.iter().enumerate().map(|(index, name)| {
        serde_json::from_value(json!({"name": name, "digest": digest(index)})).unwrap()
    });
    let deployment = Deployment {
        contract_id: "collab1".to_owned(),
        ccf_endpoint: "https://cgs.operator.example".to_owned(),
        service_cert_pem: "certificate".to_owned(),
        extra_roots_pem: None,
        insecure_virtual: false,
    };
    let spec = Specification::from_yaml(HELLO).unwrap();
    let group = build(&spec, &deployment, &ImageManifest::new(entries.collect())).unwrap();
    let layers: BTreeMap<_, _> = (0..IMAGES.len())
        .map(|index| (digest(index), vec![format!("{index:064x}")]))
        .collect();
    let policy = cce(&group, &layers, &CceOptions::default()).unwrap();
    let options = TemplateOptions {
        registry: "litware.azurecr.io/cleanroom".to_owned(),
        version: "0.1.0".to_owned(),
        application: Resources {
            cpu: 0.5,
            memory_gb: 4.0,
        },
    };
    arm(&group, &policy, &options).unwrap()
}

fn judge(template: &Value) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    serde_json::to_writer(&file, template).unwrap();
    let script = folder("arm").join("template.py");
    Command::new(python("arm"))
        .arg(script)
        .arg(file.path())
        .output()
        .unwrap()
}

#[test]
fn the_sdk_knows_every_member_of_the_template_and_changes_none() {
    let mut template = template();
    let read = judge(&template);
    assert!(read.status.success(), "{read:?}");

    // The judge does find what it is there for.
    let group = &mut template["resources"][0]["properties"];
    group["containers"][1]["properties"]["readynessProbe"] = json!({});
    group["sku"] = json!(7);
    let read = judge(&template);
    let told = String::from_utf8_lossy(&read.stdout).into_owned();
    assert_eq!(read.status.code(), Some(1), "{read:?}");
    assert!(
        told.contains("/properties/containers/1/properties/readynessProbe"),
        "{told}"
    );
    assert!(told.contains("/properties/sku"), "{told}");
}
