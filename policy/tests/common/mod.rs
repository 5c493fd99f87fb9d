//! The hello-job group, its policy, and what a policy answers to its start.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]
#![allow(dead_code, reason = "not every test needs all of it")]

use std::collections::BTreeMap;

use cleanroom_spec::Specification;
use policy::emit::cce::{CceOptions, cce};
use policy::{ContainerGroup, Deployment, ImageEntry, ImageManifest, build};
use policy_simulate::platform::{Planned, questions};
use policy_simulate::{Decision, Document, Question, Simulator};

pub(crate) const HELLO: &str = include_str!("../../../tests/vectors/spec/hello-job.yaml");
pub(crate) const IMAGES: [&str; 9] = [
    "init",
    "skr-agent",
    "skr-agent-virtual",
    "secrets",
    "identity",
    "governance",
    "otel-collector",
    "blobfuse-shim",
    "code-launcher",
];

pub(crate) fn digest(index: usize) -> String {
    format!("sha256:{index:064x}")
}

pub(crate) fn group(insecure_virtual: bool) -> ContainerGroup {
    let deployment = Deployment {
        contract_id: "collab1".to_owned(),
        ccf_endpoint: "https://cgs.operator.example".to_owned(),
        service_cert_pem: "-----BEGIN CERTIFICATE-----\n".to_owned(),
        extra_roots_pem: None,
        insecure_virtual,
    };
    let entries = IMAGES.iter().enumerate().map(|(index, name)| ImageEntry {
        name: (*name).to_owned(),
        digest: digest(index),
        config: None,
        executable: None,
        executable_sha256: None,
        layers: Vec::new(),
    });
    let spec = Specification::from_yaml(HELLO).unwrap();
    build(&spec, &deployment, &ImageManifest::new(entries.collect())).unwrap()
}

/// One layer of its own for each image, above one that all share.
pub(crate) fn layers() -> BTreeMap<String, Vec<String>> {
    let hashes = (0..IMAGES.len()).map(|index| {
        (
            digest(index),
            vec!["ab".repeat(32), format!("{:064x}", index + 1000)],
        )
    });
    hashes.collect()
}

pub(crate) fn text(group: &ContainerGroup, options: &CceOptions) -> String {
    cce(group, &layers(), options).unwrap().as_str().to_owned()
}

pub(crate) fn planned(group: &ContainerGroup) -> Vec<Planned> {
    let layers = layers();
    let plan = |container: &policy::Container| Planned {
        name: container.name.clone(),
        layers: layers[&container.image.digest].clone(),
        command: container.command.clone(),
        env: container
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
        volumes: container
            .mounts
            .iter()
            .map(|mount| (mount.volume.clone(), mount.path.clone(), mount.read_only))
            .collect(),
        user: container.user,
        group: container.group,
        privileged: container.elevated(),
        no_new_privileges: !container.elevated(),
        capabilities: container.capabilities.iter().cloned().collect(),
        working_dir: container.working_dir.clone(),
        probes: container
            .probe
            .iter()
            .map(|probe| probe.command.clone())
            .collect(),
    };
    group.all().map(plan).collect()
}

/// The answers to everything that the platform asks.
pub(crate) fn start(policy: &str, containers: &[Planned]) -> Vec<(Question, Decision)> {
    let mut simulator = Simulator::new(Document::policy(policy).unwrap());
    questions(containers)
        .into_iter()
        .map(|question| {
            let decision = simulator.ask(&question).unwrap();
            (question, decision)
        })
        .collect()
}

pub(crate) fn refused(policy: &str, containers: &[Planned]) -> Vec<Decision> {
    let answers = start(policy, containers)
        .into_iter()
        .map(|(_, decision)| decision);
    answers.filter(|decision| !decision.allowed).collect()
}
