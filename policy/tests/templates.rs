//! Deployment templates, read back as the platform reads them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

mod common;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use common::{group, layers};
use policy::ContainerGroup;
use policy::emit::cce::{CceOptions, Platform, PolicyText, cce};
use policy::emit::{Resources, TemplateOptions, arm, pod};
use policy_simulate::platform::{Planned, questions};
use policy_simulate::{Document, Simulator, Template};
use serde_json::{Value, json};
use sidecar_http::Coded;

const REGISTRY: &str = "litware.azurecr.io/cleanroom";

fn policy(group: &ContainerGroup) -> PolicyText {
    policy_for(group, Platform::ContainerGroup)
}

fn policy_for(group: &ContainerGroup, platform: Platform) -> PolicyText {
    let options = CceOptions {
        platform,
        registry: Some(REGISTRY.to_owned()),
        ..CceOptions::default()
    };
    cce(group, &layers(), &options).unwrap()
}

fn options() -> TemplateOptions {
    TemplateOptions {
        registry: REGISTRY.to_owned(),
        version: "0.1.0".to_owned(),
        application: Resources {
            cpu: 0.5,
            memory_gb: 4.0,
        },
    }
}

/// What the template starts, each with the layers of the image that it names.
fn planned(template: &Value) -> Vec<Planned> {
    let layers = layers();
    let containers = Template::read(template).unwrap().containers;
    let with_layers = containers.into_iter().map(|(image, mut planned)| {
        let (name, digest) = image.split_once('@').unwrap();
        assert!(name.starts_with(REGISTRY), "{image}");
        planned.layers.clone_from(&layers[digest]);
        planned
    });
    with_layers.collect()
}

/// The first no of the policy, with its reasons.
fn first_refusal(policy: &str, containers: &[Planned]) -> Option<String> {
    let mut simulator = Simulator::new(Document::policy(policy).unwrap());
    questions(containers).iter().find_map(|question| {
        let decision = simulator.ask(question).unwrap();
        (!decision.allowed).then(|| format!("{}: {:?}", question.point, decision.errors))
    })
}

#[test]
fn what_the_template_starts_passes_the_policy_that_it_carries() {
    let group = group(false);
    let policy = policy(&group);
    let template = arm(&group, &policy, &options()).unwrap();
    let carried = Template::read(&template).unwrap().policy;
    assert_eq!(
        BASE64_STANDARD.decode(carried).unwrap(),
        policy.as_str().as_bytes()
    );
    let containers = planned(&template);
    assert_eq!(containers.len(), group.all().count());
    assert_eq!(first_refusal(policy.as_str(), &containers), None);
}

#[test]
fn every_container_that_differs_from_the_policy_is_refused() {
    type Change = fn(&mut Planned);
    let group = group(false);
    let policy = policy(&group);
    let template = arm(&group, &policy, &options()).unwrap();
    let good = planned(&template);
    let changes: [(&str, Change); 7] = [
        ("invalid command", |one| {
            one.command.push("--insecure-virtual".to_owned())
        }),
        ("missing required environment variable", |one| {
            for variable in &mut one.env {
                variable.push('x');
            }
        }),
        ("invalid mount list", |one| {
            one.volumes[0].1 = "/etc".to_owned()
        }),
        ("invalid user", |one| one.user = 4242),
        ("invalid user", |one| one.group = 4242),
        ("capabilities don't match", |one| {
            one.privileged = false;
            one.capabilities.clear();
        }),
        ("deviceHash not found", |one| {
            one.layers[1] = "ff".repeat(32)
        }),
    ];
    for (expected, change) in changes {
        let mut twisted = good.clone();
        let shim = twisted
            .iter_mut()
            .find(|one| one.name.ends_with("-blobfuse"));
        change(shim.unwrap());
        let refusal = first_refusal(policy.as_str(), &twisted);
        assert!(
            refusal.as_ref().is_some_and(|text| text.contains(expected)),
            "{expected}: {refusal:?}"
        );
    }
}

#[test]
fn only_a_container_with_a_device_is_privileged_and_nothing_has_an_address() {
    let group = group(false);
    let template = arm(&group, &policy(&group), &options()).unwrap();
    let properties = &template["resources"][0]["properties"];
    assert_eq!(properties.get("ipAddress"), None);
    assert_eq!(properties["sku"], "Confidential");
    let containers = properties["containers"].as_array().unwrap();
    for container in containers {
        let name = container["name"].as_str().unwrap();
        let privileged = container["properties"]["securityContext"]["privileged"].as_bool();
        assert_eq!(privileged, Some(name.ends_with("-blobfuse")), "{name}");
        assert!(
            container["properties"]["readinessProbe"]["exec"].is_object(),
            "{name}"
        );
        assert_eq!(container["properties"].get("ports"), None, "{name}");
    }
    let launcher = &containers
        .iter()
        .find(|one| one["name"] == "code-launcher")
        .unwrap()["properties"];
    assert_eq!(
        launcher["resources"]["requests"],
        json!({"cpu": 0.7, "memoryInGB": 4.5})
    );
    assert_eq!(
        launcher["securityContext"]["capabilities"]["add"],
        json!(["CAP_NET_ADMIN", "CAP_SYS_ADMIN"])
    );
}

#[test]
fn a_text_in_brackets_stays_a_text() {
    let mut group = group(false);
    let odd = "[parameters('name')]".to_owned();
    group.containers[0].command.push(odd.clone());
    group.containers[0]
        .env
        .insert("ODD".to_owned(), odd.clone());
    let policy = policy(&group);
    let template = arm(&group, &policy, &options()).unwrap();
    let properties = &template["resources"][0]["properties"]["containers"][0]["properties"];
    let command = properties["command"].as_array().unwrap();
    assert_eq!(command.last().unwrap(), "[[parameters('name')]");
    assert_eq!(first_refusal(policy.as_str(), &planned(&template)), None);
}

#[test]
fn a_template_that_would_protect_nothing_or_not_start_is_not_made() {
    let good = group(false);
    let text = policy(&good);
    let text_of_pod = policy_for(&good, Platform::VirtualNode);
    let code = |group: &ContainerGroup, options: &TemplateOptions| {
        let refused = arm(group, &text, options).unwrap_err();
        let of_pod = pod(group, &text_of_pod, options).unwrap_err();
        assert_eq!(refused.to_string(), of_pod.to_string());
        refused.code().to_owned()
    };
    // A policy of the other platform would refuse every start.
    for refused in [
        arm(&good, &text_of_pod, &options()),
        pod(&good, &text, &options()),
    ] {
        assert_eq!(refused.unwrap_err().code(), "CR-POLICY-0012");
    }
    assert_eq!(code(&group(true), &options()), "CR-POLICY-0012");
    for registry in ["", "a b", "https://", "x/"] {
        let mut options = options();
        options.registry = registry.to_owned();
        assert_eq!(code(&good, &options), "CR-POLICY-0012", "{registry}");
    }
    for name in ["", "Fabrikam", "a_b", "-a", "a-", &"a".repeat(64)] {
        let mut group = good.clone();
        group.containers[0].name = name.to_owned();
        assert_eq!(code(&group, &options()), "CR-POLICY-0012", "{name}");
    }
}

#[test]
fn a_pod_is_the_same_group_for_a_virtual_node() {
    let group = group(false);
    let text = policy_for(&group, Platform::VirtualNode);
    let pod = pod(&group, &text, &options()).unwrap();
    assert_eq!(pod["metadata"]["name"], "cleanroom-collab1");
    let policy = "microsoft.containerinstance.virtualnode.ccepolicy";
    assert_eq!(pod["metadata"]["annotations"][policy], text.base64());
    assert_eq!(pod["spec"]["restartPolicy"], "Never");
    let containers = pod["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), group.containers.len());
    for (container, expected) in containers.iter().zip(&group.containers) {
        assert_eq!(container["name"], json!(expected.name));
        assert_eq!(container["command"], json!(expected.command));
        assert_eq!(
            container["securityContext"]["runAsUser"],
            json!(expected.user)
        );
    }
}
