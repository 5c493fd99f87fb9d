//! The container group of the hello-job contract.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // helpers of tests

mod contract;

use cleanroom_spec::Specification;
use contract::{deployment, host_data, images, spec};
use policy::{ContainerGroup, HostData, ImageEntry, ImageManifest, PolicyError, build, emit};
use sidecar_http::Coded;

#[test]
fn equal_contracts_have_equal_bytes_and_any_change_changes_the_host_data() {
    let group = build(&spec(), &deployment(), &images()).unwrap();
    let again = build(&spec(), &deployment(), &images()).unwrap();
    assert_eq!(group, again);
    assert_eq!(host_data(&group), host_data(&again));
    let read = ContainerGroup::from_json(group.to_json().unwrap()).unwrap();
    assert_eq!(read, group);

    let original = host_data(&group);
    let mut changed = spec();
    changed.applications[0]
        .environment_variables
        .insert("X".to_owned(), String::new());
    assert_ne!(
        host_data(&build(&changed, &deployment(), &images()).unwrap()),
        original
    );
    let mut uid = group;
    uid.containers[1].user += 1;
    assert_ne!(host_data(&uid), original);
}

#[test]
fn production_has_no_virtual_attester_no_extra_trust_and_no_root_but_where_it_must() {
    let group = build(&spec(), &deployment(), &images()).unwrap();
    for container in group.all() {
        assert!(
            !container.image.name.ends_with("-virtual"),
            "{}",
            container.name
        );
        for argument in &container.command {
            assert!(
                !argument.starts_with("--extra-roots")
                    && argument != "--insecure-virtual"
                    && argument != "--tcp"
            );
        }
        let root = [
            "init",
            "skr-agent",
            "code-launcher",
            "fabrikam-input-blobfuse",
            "fabrikam-output-blobfuse",
        ];
        assert_eq!(
            container.user == 0,
            root.contains(&container.name.as_str()),
            "{}",
            container.name
        );
        assert_eq!(container.user, container.group);
    }
}

#[test]
fn virtual_and_production_differ_in_one_image_and_in_trust_only() {
    let production = build(&spec(), &deployment(), &images()).unwrap();
    let mut virtual_deployment = deployment();
    virtual_deployment.insecure_virtual = true;
    virtual_deployment.extra_roots_pem = Some("roots".to_owned());
    let mut group = build(&spec(), &virtual_deployment, &images()).unwrap();
    group.insecure_virtual = false;
    for container in group
        .init_containers
        .iter_mut()
        .chain(&mut group.containers)
    {
        let strip = |command: &mut Vec<String>| {
            let cut = command
                .iter()
                .position(|argument| argument == "--extra-roots")
                .unwrap();
            assert_eq!(
                command.get(cut + 2).map(String::as_str),
                Some("--insecure-virtual")
            );
            command.drain(cut..cut + 3);
        };
        strip(&mut container.command);
        if let Some(probe) = &mut container.probe {
            strip(&mut probe.command);
        }
        if container.image.name == "skr-agent-virtual" {
            container.image = production
                .containers
                .iter()
                .find(|c| c.name == "skr-agent")
                .unwrap()
                .image
                .clone();
            container.command[0] = "/skr-agent".to_owned();
            container.probe.as_mut().unwrap().command[0] = "/skr-agent".to_owned();
        }
    }
    assert_eq!(group, production);
}

#[test]
fn the_agent_starts_as_root_for_its_device_and_has_what_it_takes_to_stop_being_root() {
    let group = build(&spec(), &deployment(), &images()).unwrap();
    let agent = group.containers.iter().find(|one| one.name == "skr-agent");
    let agent = agent.unwrap();
    let capabilities: Vec<&str> = agent.capabilities.iter().map(String::as_str).collect();
    assert_eq!(capabilities, ["SETGID", "SETPCAP", "SETUID"]);
    assert_eq!((agent.user, agent.group), (0, 0));
    assert!(agent.devices.is_empty(), "the guest agent adds the device");
}

#[test]
fn what_this_version_cannot_do_is_refused_with_a_code() {
    let mut two = spec();
    two.applications.push(two.applications[0].clone());
    two.applications[1].name = "other".to_owned();
    assert!(matches!(
        build(&two, &deployment(), &images()),
        Err(PolicyError::Applications { count: 2 })
    ));

    let mut extra = deployment();
    extra.extra_roots_pem = Some("roots".to_owned());
    assert!(matches!(
        build(&spec(), &extra, &images()),
        Err(PolicyError::ExtraRoots)
    ));

    let missing = ImageManifest::new(Vec::new());
    assert!(matches!(
        build(&spec(), &deployment(), &missing),
        Err(PolicyError::NoImage { .. })
    ));
}

#[test]
fn the_governance_policy_carries_the_host_data() {
    let host_data = HostData::of(b"policy");
    let policy = emit::governance(&host_data);
    assert_eq!(
        policy["claims"]["x-ms-sevsnpvm-hostdata"],
        host_data.to_string()
    );
    assert_eq!(policy["claims"]["x-ms-sevsnpvm-is-debuggable"], false);
    assert_eq!(policy["type"], "add");
}

#[test]
fn an_executable_that_is_not_the_images_program_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"program").unwrap();
    let mut entry = ImageEntry {
        name: "init".to_owned(),
        digest: format!("sha256:{:064x}", 0),
        executable: Some(file.path().to_owned()),
        config: Some(format!("sha256:{:064x}", 7)),
        executable_sha256: Some("00".repeat(32)),
        layers: Vec::new(),
    };
    assert!(matches!(
        entry.verified_executable(),
        Err(PolicyError::Executable { .. })
    ));
    entry.executable_sha256 = Some(HostData::of(b"program").to_string());
    entry.verified_executable().unwrap();
}

/// Every scalar of a document, by JSON pointer.
fn scalars(value: &serde_json::Value, at: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                scalars(member, &format!("{at}/{name}"), found);
            }
        }
        serde_json::Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                scalars(item, &format!("{at}/{index}"), found);
            }
        }
        serde_json::Value::Null => {}
        _ => found.push(at.to_owned()),
    }
}

#[test]
fn one_changed_byte_anywhere_in_the_contract_is_refused_or_changes_the_host_data() {
    let original = build(&spec(), &deployment(), &images()).unwrap();
    let document = serde_json::to_value(spec()).unwrap();
    let mut places = Vec::new();
    scalars(&document, "", &mut places);
    let (mut measured, mut refused) = (0, 0);
    for place in &places {
        let mut changed = document.clone();
        let value = changed.pointer_mut(place).unwrap();
        *value = match value {
            serde_json::Value::String(text) => format!("{text}a").into(),
            serde_json::Value::Number(number) => (number.as_f64().unwrap() + 1.0).into(),
            other => panic!("{place}: {other}"),
        };
        let built = Specification::from_value(changed)
            .map_err(PolicyError::from)
            .and_then(|spec| build(&spec, &deployment(), &images()));
        match built {
            Ok(group) => {
                assert_ne!(host_data(&group), host_data(&original), "{place}");
                measured += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(
        measured > 20 && refused > 20,
        "{measured} measured, {refused} refused"
    );
}

#[test]
fn nothing_that_a_contract_asks_for_is_ignored() {
    type Change = fn(&mut Specification);
    let cases: [(Change, &str); 5] = [
        (
            |s| s.network = Some(cleanroom_spec::NetworkSettings::default()),
            "network",
        ),
        (
            |s| s.applications[0].image.executable.identity = Some(s.identities[1].clone()),
            "identity may pull",
        ),
        (
            |s| s.applications[0].image.protection = Some(s.datasources[0].protection.clone()),
            "encrypted image",
        ),
        (
            |s| {
                let service = cleanroom_spec::GovernanceService {
                    url: "https://contoso.example".to_owned(),
                    method: "GET".to_owned(),
                    valid_responses: vec![200],
                    identity: s.identities[0].clone(),
                };
                s.governance = Some(cleanroom_spec::GovernanceSettings {
                    audit: Some(vec![service]),
                    ..cleanroom_spec::GovernanceSettings::default()
                });
            },
            "beside CGS",
        ),
        (
            |s| {
                s.sandbox = Some(cleanroom_spec::SandboxSettings {
                    sandbox_type: cleanroom_spec::SandboxType::Type0,
                    privacy_policy: None,
                    configuration: r#"{"limits":"none"}"#.to_owned(),
                });
            },
            "sandbox configuration",
        ),
    ];
    for (change, reason) in cases {
        let mut asked = spec();
        change(&mut asked);
        let error = build(&asked, &deployment(), &images()).unwrap_err();
        assert_eq!(error.code(), "CR-POLICY-0002", "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn the_virtual_attester_is_pinned_only_where_everybody_can_see_it() {
    let mut deployment = deployment();
    deployment.insecure_virtual = true;
    let group = build(&spec(), &deployment, &images()).unwrap();
    assert!(group.insecure_virtual);
    let names: Vec<_> = group.all().map(|c| c.image.name.as_str()).collect();
    assert!(names.contains(&"skr-agent-virtual") && !names.contains(&"skr-agent"));
}

#[test]
fn an_image_manifest_with_a_bad_digest_or_two_entries_of_a_name_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let good = format!("sha256:{}", "a".repeat(64));
    for (text, usable) in [
        (
            format!(r#"[{{"name":"init","digest":"{good}","diff_id":"x"}}]"#),
            true,
        ),
        (
            r#"[{"name":"init","digest":"sha256:abc"}]"#.to_owned(),
            false,
        ),
        (r#"[{"name":"init","digest":"latest"}]"#.to_owned(), false),
        (
            format!(r#"[{{"name":"init","digest":"{good}"}},{{"name":"init","digest":"{good}"}}]"#),
            false,
        ),
        ("{}".to_owned(), false),
    ] {
        std::fs::write(file.path(), &text).unwrap();
        assert_eq!(ImageManifest::read(file.path()).is_ok(), usable, "{text}");
    }
}

#[test]
fn the_compose_document_has_exactly_what_the_group_says_and_no_variable() {
    let mut spec = spec();
    spec.applications[0]
        .environment_variables
        .insert("PRICE".to_owned(), "$5".to_owned());
    let mut group = build(&spec, &deployment(), &images()).unwrap();
    group.containers[0]
        .env
        .insert("X".to_owned(), "${HOME}".to_owned());
    let host = emit::ComposeHost {
        volumes: "/srv/group/volumes".into(),
        security_context: "/srv/group/context".into(),
        security_context_target: "/run/security-context-1".to_owned(),
        network: None,
    };
    let document = emit::compose(&group, &images(), &host).unwrap();
    let services = document["services"].as_object().unwrap();
    assert_eq!(services.len(), group.all().count() + 1);
    for container in group.all() {
        let service = &services[&container.name];
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]));
        assert_eq!(
            service["cap_add"],
            serde_json::json!(container.capabilities)
        );
        assert_eq!(
            service["user"],
            format!("{}:{}", container.user, container.group)
        );
        assert!(service.get("privileged").is_none());
        assert_eq!(service["network_mode"], "service:group");
        let unconfined = service["security_opt"]
            .as_array()
            .unwrap()
            .contains(&"seccomp:unconfined".into());
        assert_eq!(unconfined, container.capabilities.contains("SYS_ADMIN"));
    }
    // Nothing of a value is replaced by docker-compose.
    let first = &services[&group.containers[0].name];
    assert_eq!(first["environment"]["X"], "$${HOME}");
    // An image that Docker cannot name is refused, and so is a group without the owner of its namespace.
    let without = ImageManifest::new(vec![]);
    let refused = emit::compose(&group, &without, &host).unwrap_err();
    assert_eq!(refused.code(), "CR-POLICY-0003");
}

#[test]
fn an_image_runs_as_the_user_that_the_group_gives_it() {
    let list = include_str!("../../images/images.json");
    let list: Vec<serde_json::Value> = serde_json::from_str(list).unwrap();
    let group = build(&spec(), &deployment(), &images()).unwrap();
    for container in group.all() {
        let image = list
            .iter()
            .find(|image| image["name"] == container.image.name)
            .unwrap();
        let user = format!("{}:{}", container.user, container.group);
        assert_eq!(image["user"], user, "{}", container.name);
    }
}
