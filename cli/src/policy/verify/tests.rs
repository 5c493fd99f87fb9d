use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use policy::emit::TemplateOptions;
use policy::emit::cce::{CceOptions, Platform, PolicyText, cce};
use policy::{ContainerGroup, Deployment, ImageManifest};
use serde_json::{Value, json};

use super::compare::Recomputed;
use super::proposed::{Offer, Proposed};
use super::report::Report;
use crate::policy::layers::RootHashes;

const HELLO: &str = include_str!("../../../../tests/vectors/spec/hello-job.yaml");

fn group() -> ContainerGroup {
    let names = [
        "init",
        "skr-agent",
        "secrets",
        "identity",
        "governance",
        "otel-collector",
        "blobfuse-shim",
        "code-launcher",
    ];
    let images: Vec<Value> = names
        .iter()
        .map(|name| json!({"name": name, "digest": format!("sha256:{:064x}", name.len())}))
        .collect();
    let images: ImageManifest = serde_json::from_value(json!(images)).unwrap();
    let deployment = Deployment {
        contract_id: "collab1".to_owned(),
        ccf_endpoint: "https://cgs.operator.example".to_owned(),
        service_cert_pem: "certificate".to_owned(),
        extra_roots_pem: None,
        insecure_virtual: false,
    };
    let spec = cleanroom_spec::Specification::from_yaml(HELLO).unwrap();
    policy::build(&spec, &deployment, &images).unwrap()
}

fn text(group: &ContainerGroup) -> PolicyText {
    text_for(group, Platform::ContainerGroup)
}

fn text_for(group: &ContainerGroup, platform: Platform) -> PolicyText {
    let layers: RootHashes = group
        .all()
        .map(|container| (container.image.digest.clone(), vec!["ab".repeat(32)]))
        .collect();
    let options = CceOptions {
        platform,
        ..CceOptions::default()
    };
    cce(group, &layers, &options).unwrap()
}

fn offer(subject: &str, value: Value) -> Offer {
    Offer {
        subject: subject.to_owned(),
        value,
    }
}

fn proposed(template: Value, claims: Value) -> Proposed {
    Proposed {
        templates: vec![offer("template", template)],
        claims: vec![offer("policy", claims)],
        besides: Vec::new(),
        proposals: Vec::new(),
    }
}

fn judged(proposed: &Proposed) -> Report {
    judged_by(&group(), proposed)
}

fn judged_by(group: &ContainerGroup, proposed: &Proposed) -> Report {
    let mut report = Report::new("collab1");
    let recomputed = Recomputed {
        group: group.clone(),
        text: &|group, platform| Ok(text_for(group, platform)),
        options: options(),
        beyond_deploy: Vec::new(),
    };
    recomputed.compare(proposed, &mut report).unwrap();
    report
}

fn options() -> TemplateOptions {
    let spec = cleanroom_spec::Specification::from_yaml(HELLO).unwrap();
    TemplateOptions::of(&spec, Some("litware.azurecr.io"), "0.1.0")
}

fn claims(host_data: &str) -> Value {
    json!({"x-ms-sevsnpvm-hostdata": host_data, "x-ms-sevsnpvm-is-debuggable": false})
}

fn places(report: &Report) -> Vec<&str> {
    report
        .failures()
        .iter()
        .map(|check| check.what.as_str())
        .collect()
}

/// Every place of a value that is no container of others, as a JSON pointer.
fn leaves(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                leaves(member, &format!("{place}/{name}"), found);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &format!("{place}/{index}"), found);
            }
        }
        _ => found.push(place.to_owned()),
    }
}

#[test]
fn what_the_contract_makes_is_a_yes_as_proposed_and_as_accepted() {
    let group = group();
    let host_data = text(&group).host_data().unwrap().to_string();
    let template = group.to_json().unwrap();
    let report = judged(&proposed(template.clone(), claims(&host_data)));
    assert!(report.yes(), "{report}");
    assert!(report.to_string().contains(&host_data) && report.to_string().ends_with("makes"));
    let accepted =
        json!({"x-ms-sevsnpvm-hostdata": [host_data], "x-ms-sevsnpvm-is-debuggable": ["false"]});
    assert!(judged(&proposed(template, accepted)).yes());
}

#[test]
fn any_changed_member_of_the_template_is_found_and_named() {
    let group = group();
    let template = group.to_json().unwrap();
    let claims = claims(&text(&group).host_data().unwrap().to_string());
    let mut all = Vec::new();
    leaves(&template, "", &mut all);
    assert!(all.len() > 200, "{}", all.len());
    for place in all {
        let mut edited = template.clone();
        let leaf = edited.pointer_mut(&place).unwrap();
        *leaf = match leaf {
            Value::String(text) => {
                let last = text.pop().map_or('a', |c| if c == 'x' { 'y' } else { 'x' });
                Value::from(format!("{text}{last}"))
            }
            Value::Bool(flag) => Value::from(!*flag),
            Value::Number(number) => Value::from(number.as_u64().unwrap() + 1),
            _ => json!({"more": 1}),
        };
        let report = judged_by(&group, &proposed(edited, claims.clone()));
        assert!(!report.yes(), "{place}");
        let named = places(&report);
        assert!(
            named.iter().any(|named| named.starts_with(&place)),
            "{place}: {named:?}"
        );
    }
}

#[test]
fn one_byte_of_the_policy_in_a_template_is_found_by_line_and_column() {
    let group = group();
    let policy = text(&group);
    let made = policy::emit::arm(&group, &policy, &options()).unwrap();
    let host_data = policy.host_data().unwrap().to_string();
    let text = policy.as_str().to_owned();
    let template = |text: &str| {
        let mut template = made.clone();
        template["resources"][0]["properties"]["confidentialComputeProperties"]["ccePolicy"] =
            BASE64_STANDARD.encode(text).into();
        template
    };
    let report = judged_by(&group, &proposed(template(&text), claims(&host_data)));
    assert!(report.yes(), "{report}");
    for at in (0..text.len()).step_by(499) {
        let mut edited = text.clone().into_bytes();
        edited[at] = if edited[at] == b'#' { b'-' } else { b'#' };
        let edited = String::from_utf8(edited).unwrap();
        let report = judged_by(&group, &proposed(template(&edited), claims(&host_data)));
        let before = &text[..at];
        let line = before.matches('\n').count() + 1;
        let column = at - before.rfind('\n').map_or(0, |end| end + 1) + 1;
        let place = format!("line {line}, column {column} of the policy");
        assert!(places(&report).contains(&place.as_str()), "{at}: {report}");
        assert!(places(&report).contains(&"host data of the template"));
    }
}

#[test]
fn a_pod_is_compared_with_the_pod_and_with_the_policy_of_a_virtual_node() {
    let group = group();
    let policy = text_for(&group, Platform::VirtualNode);
    let host_data = policy.host_data().unwrap().to_string();
    let pod = policy::emit::pod(&group, &policy, &options()).unwrap();
    let report = judged(&proposed(pod.clone(), claims(&host_data)));
    assert!(report.yes(), "{report}");

    let mut edited = pod.clone();
    edited["spec"]["automountServiceAccountToken"] = json!(true);
    let report = judged(&proposed(edited, claims(&host_data)));
    assert_eq!(places(&report), ["/spec/automountServiceAccountToken"]);

    // The policy of the container group, under which no virtual node would start it.
    let of_group = text(&group);
    let mut edited = pod;
    edited["metadata"]["annotations"]["microsoft.containerinstance.virtualnode.ccepolicy"] =
        of_group.base64().into();
    let host_data = of_group.host_data().unwrap().to_string();
    let report = judged(&proposed(edited, claims(&host_data)));
    assert!(
        places(&report).contains(&"host data of the template"),
        "{report}"
    );
}

#[test]
fn another_profile_than_the_voters_is_found() {
    let job = group();
    let mut service = job.clone();
    let mut containers = service.containers.iter_mut();
    let launcher = containers.find(|one| one.name == "code-launcher").unwrap();
    assert_eq!(launcher.command[1..3], ["--profile", "job"]);
    launcher.command[2] = "service".to_owned();
    let host_data = text(&service).host_data().unwrap().to_string();
    let report = judged_by(
        &job,
        &proposed(service.to_json().unwrap(), claims(&host_data)),
    );
    assert!(!report.yes());
    let named = places(&report);
    assert!(named.contains(&"/containers/0/command/2"), "{report}");
}

#[test]
fn other_claims_are_no_yes() {
    let group = group();
    let template = group.to_json().unwrap();
    let host_data = text(&group).host_data().unwrap().to_string();
    let other = format!(
        "{}{}",
        &host_data[..63],
        if host_data.ends_with('0') { '1' } else { '0' }
    );
    for (edited, place) in [
        (claims(&other), "claim /x-ms-sevsnpvm-hostdata/0"),
        (
            json!({"x-ms-sevsnpvm-hostdata": host_data}),
            "claim /x-ms-sevsnpvm-is-debuggable",
        ),
        (
            json!({"x-ms-sevsnpvm-hostdata": host_data, "x-ms-sevsnpvm-is-debuggable": true}),
            "claim /x-ms-sevsnpvm-is-debuggable/0",
        ),
        (
            json!({"x-ms-sevsnpvm-hostdata": [host_data, other], "x-ms-sevsnpvm-is-debuggable": false}),
            "claim /x-ms-sevsnpvm-hostdata",
        ),
        (
            json!({"x-ms-sevsnpvm-hostdata": host_data, "x-ms-sevsnpvm-is-debuggable": false, "z": 1}),
            "claim /z",
        ),
        (Value::Null, "claim "),
    ] {
        let report = judged(&proposed(template.clone(), edited));
        assert_eq!(places(&report), [place]);
    }
}

#[test]
fn nothing_proposed_or_something_besides_is_no_yes() {
    assert!(!Report::new("collab1").yes());
    assert_eq!(
        places(&judged(&Proposed::default())),
        ["is there", "is there"]
    );
    let group = group();
    let mut both = proposed(
        group.to_json().unwrap(),
        claims(&text(&group).host_data().unwrap().to_string()),
    );
    both.besides
        .push(offer("proposal 1", json!({"name": "set_member"})));
    assert_eq!(places(&judged(&both)), ["another action"]);
}
