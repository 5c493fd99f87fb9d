//! The policy of the hello-job group: what its text pins, that the platform's own start passes it, and what does not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

mod common;

use common::{digest, group, layers, planned, refused, start, text};
use policy::PolicyError;
use policy::emit::cce::{CceOptions, Profile, cce};
use policy_simulate::Document;
use policy_simulate::lint::{Severity, lint};
use policy_simulate::platform::Planned;

#[test]
fn the_start_of_the_group_passes_its_policy_and_every_container_gets_exactly_what_it_names() {
    let group = group(false);
    for profile in [Profile::V2, Profile::V1] {
        for pretty in [false, true] {
            let options = CceOptions {
                profile,
                pretty,
                ..CceOptions::default()
            };
            let answers = start(&text(&group, &options), &planned(&group));
            let mut created = 0;
            for (question, decision) in &answers {
                assert!(decision.allowed, "{question:?}: {decision:?}");
                if question.point != "create_container"
                    || question.input["isSandboxContainer"] == true
                {
                    continue;
                }
                created += 1;
                let command = &question.input["argList"];
                let container = group
                    .all()
                    .find(|one| serde_json::json!(one.command) == *command)
                    .unwrap();
                let mut env: Vec<String> = container
                    .env
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                env.extend([
                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
                    "TERM=xterm".to_owned(),
                ]);
                env.sort();
                assert_eq!(
                    decision.env_list.as_ref().unwrap(),
                    &env,
                    "{}",
                    container.name
                );
                let capabilities = decision.caps_list.as_ref().unwrap();
                let named: Vec<String> = container
                    .capabilities
                    .iter()
                    .map(|name| format!("CAP_{name}"))
                    .collect();
                assert_eq!(capabilities.effective, named, "{}", container.name);
                assert_eq!(capabilities.bounding, named, "{}", container.name);
                assert!(capabilities.inheritable.is_empty() && capabilities.ambient.is_empty());
                assert_eq!(
                    decision.allow_stdio_access,
                    Some(false),
                    "{}",
                    container.name
                );
            }
            assert_eq!(created, group.all().count());
        }
    }
}

#[test]
fn every_change_of_a_container_is_refused_and_the_rule_is_named() {
    type Change = (&'static str, &'static str, fn(&mut Planned));
    let group = group(false);
    let policy = text(&group, &CceOptions::default());
    let changes: [Change; 13] = [
        ("invalid user", ".user", |one| one.user += 1),
        ("invalid user", ".user", |one| one.group += 1),
        ("invalid user", ".user", |one| one.user = 0),
        ("invalid command", ".command", |one| {
            one.command.push("--tcp".to_owned())
        }),
        ("invalid command", ".command", |one| {
            one.command.pop();
        }),
        ("invalid working directory", ".working_dir", |one| {
            one.working_dir = "/tmp".to_owned()
        }),
        (
            "privileged escalation not allowed",
            ".allow_elevated",
            |one| one.privileged = true,
        ),
        ("invalid mount list: /mnt/remote", ".mounts", |one| {
            one.volumes
                .push(("remotemounts".to_owned(), "/mnt/remote".to_owned(), false));
        }),
        (
            "invalid mount list: /run/cleanroom/boot",
            ".mounts",
            |one| one.volumes[1].2 = false,
        ),
        ("deviceHash not found", "layers", |one| {
            one.layers[1] = "cd".repeat(32)
        }),
        ("no matching containers for overlay", "layers", |one| {
            one.layers.reverse()
        }),
        ("no matching containers for overlay", "layers", |one| {
            one.layers.pop();
        }),
        ("invalid command", ".exec_processes", |one| {
            one.probes[0] = vec!["/bin/sh".to_owned()]
        }),
    ];
    for name in ["identity", "secrets", "governance", "otel-collector"] {
        for (index, (error, rule, change)) in changes.iter().enumerate() {
            let mut containers = planned(&group);
            change(containers.iter_mut().find(|one| one.name == name).unwrap());
            let refusals = refused(&policy, &containers);
            let said = refusals
                .iter()
                .any(|one| one.errors.iter().any(|said| said == error));
            assert!(said, "{name} {index}: {refusals:?}");
            let findings: Vec<_> = refusals.iter().flat_map(|one| &one.findings).collect();
            let named = findings.iter().any(|finding| finding.rule.contains(rule));
            assert!(named, "{name} {index}: {findings:?}");
        }
    }
}

#[test]
fn a_shim_keeps_its_environment_and_gets_its_device_but_no_capability_more() {
    let group = group(false);
    let policy = text(&group, &CceOptions::default());
    let shim = |containers: &mut Vec<Planned>| {
        containers
            .iter()
            .position(|one| one.name == "fabrikam-input-blobfuse")
            .unwrap()
    };
    for (value, error) in [
        (None, "missing required environment variable"),
        (Some("KID=other"), "missing required environment variable"),
    ] {
        let mut containers = planned(&group);
        let at = shim(&mut containers);
        containers[at]
            .env
            .retain(|variable| !variable.starts_with("KID="));
        containers[at].env.extend(value.map(ToOwned::to_owned));
        let refusals = refused(&policy, &containers);
        assert!(
            refusals[0].errors.iter().any(|one| one == error),
            "{refusals:?}"
        );
    }
    let elevated: Vec<_> = group
        .all()
        .filter(|one| one.elevated())
        .map(|one| &one.name)
        .collect();
    assert_eq!(
        elevated,
        ["fabrikam-input-blobfuse", "fabrikam-output-blobfuse"]
    );
}

#[test]
fn the_lint_of_the_group_has_no_error_and_names_what_is_wide() {
    let options = CceOptions {
        registry: Some("example.azurecr.io/room".to_owned()),
        ..CceOptions::default()
    };
    let found = lint(&Document::policy(&text(&group(false), &options)).unwrap());
    let above_note: Vec<(&str, &str)> = found
        .iter()
        .filter(|one| one.severity > Severity::Note)
        .map(|one| (one.id, one.place.split('"').nth(1).unwrap()))
        .collect();
    let shims = [
        ("elevated", "fabrikam-input-blobfuse"),
        ("elevated", "fabrikam-output-blobfuse"),
    ];
    assert_eq!(above_note, shims);
    let open = found
        .iter()
        .filter(|one| one.id == "platform-variable" || one.id == "open-variable");
    assert_eq!(open.count(), 0, "a variable is open");

    let wide = CceOptions {
        platform_environment: true,
        debug: true,
        ..options
    };
    let found = lint(&Document::policy(&text(&group(true), &wide)).unwrap());
    let count = |id: &str| found.iter().filter(|one| one.id == id).count();
    let containers = group(true).all().count();
    assert_eq!(count("platform-variable"), 9 * containers);
    assert_eq!(count("shell"), 2 * containers);
    // Of a debug policy the pause container, too, is not the platform's own.
    assert_eq!(count("stdio"), containers + 1);
    assert_eq!(count("debug"), 2);
    assert!(count("virtual") >= 2 && count("risky-argument") > 0);
}

#[test]
fn a_policy_that_allows_everything_is_made_for_virtual_rooms_only_and_is_named_by_the_lint() {
    let options = CceOptions {
        allow_all: true,
        ..CceOptions::default()
    };
    let refused = cce(&group(false), &layers(), &options).unwrap_err();
    assert!(matches!(refused, PolicyError::AllowAllAsked), "{refused}");
    let found = lint(&Document::policy(&text(&group(true), &options)).unwrap());
    assert_eq!(
        found
            .iter()
            .filter(|one| one.id == "constant-answer")
            .count(),
        17
    );
    assert!(found.iter().any(|one| one.id == "virtual"));
}

#[test]
fn the_contract_is_in_the_text_and_cannot_end_its_comment() {
    let mut group = group(false);
    let before = cce(&group, &layers(), &CceOptions::default()).unwrap();
    group.specification_sha256 = "00".repeat(32);
    let after = cce(&group, &layers(), &CceOptions::default()).unwrap();
    assert_ne!(before.host_data().unwrap(), after.host_data().unwrap());
    group.contract_id = "x\nallow_dump_stacks := true\r\u{2028}".to_owned();
    let text = text(&group, &CceOptions::default());
    let document = Document::policy(&text).unwrap();
    assert_eq!(document.comments.len(), 2);
    assert!(!document.flag("allow_dump_stacks") && text.is_ascii());
}

#[test]
fn an_image_without_root_hashes_has_no_policy() {
    let mut known = layers();
    known.remove(&digest(0));
    let missing = cce(&group(false), &known, &CceOptions::default()).unwrap_err();
    assert!(matches!(missing, PolicyError::NoLayers { .. }), "{missing}");
    for wrong in [vec![], vec!["xy".to_owned()], vec!["AB".repeat(32)]] {
        known.insert(digest(0), wrong);
        assert!(cce(&group(false), &known, &CceOptions::default()).is_err());
    }
}
