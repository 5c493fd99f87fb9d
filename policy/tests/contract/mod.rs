//! The hello-job contract and what a deployment adds to it.
#![allow(dead_code)] // each test program uses its part

use std::collections::BTreeMap;

use cleanroom_spec::Specification;
use policy::emit::cce::{CceOptions, cce};
use policy::{ContainerGroup, Deployment, ImageEntry, ImageManifest};

const HELLO: &str = include_str!("../../../tests/vectors/spec/hello-job.yaml");

pub(crate) fn spec() -> Specification {
    Specification::from_yaml(HELLO).unwrap()
}

pub(crate) fn deployment() -> Deployment {
    Deployment {
        contract_id: "collab1".to_owned(),
        ccf_endpoint: "https://cgs.operator.example".to_owned(),
        service_cert_pem: "-----BEGIN CERTIFICATE-----\n".to_owned(),
        extra_roots_pem: None,
        insecure_virtual: false,
    }
}

pub(crate) fn images() -> ImageManifest {
    let names = [
        "init",
        "skr-agent",
        "skr-agent-virtual",
        "secrets",
        "identity",
        "governance",
        "otel-collector",
        "blobfuse-shim",
        "code-launcher",
        "pause",
    ];
    let entries = names.iter().enumerate().map(|(index, name)| ImageEntry {
        name: (*name).to_owned(),
        digest: format!("sha256:{index:064x}"),
        executable: None,
        config: Some(format!("sha256:{:064x}", 7)),
        executable_sha256: None,
        layers: Vec::new(),
    });
    ImageManifest::new(entries.collect())
}

/// The host data of a group whose images have one layer each.
pub(crate) fn host_data(group: &ContainerGroup) -> String {
    let layers: BTreeMap<_, _> = group
        .all()
        .map(|container| (container.image.digest.clone(), vec!["ab".repeat(32)]))
        .collect();
    let text = cce(group, &layers, &CceOptions::default()).unwrap();
    text.host_data().unwrap().to_string()
}
