//! The container group of the hello-job contract.

use cleanroom_spec::Specification;
use policy::{Deployment, HostData, ImageEntry, ImageManifest, PolicyError, build, emit};
use sidecar_http::Coded;

const HELLO: &str = include_str!("../../tests/vectors/spec/hello-job.yaml");

fn spec() -> Specification {
    Specification::from_yaml(HELLO).unwrap()
}

fn deployment() -> Deployment {
    Deployment {
        contract_id: "collab1".to_owned(),
        ccf_endpoint: "https://cgs.operator.example".to_owned(),
        service_cert_pem: "-----BEGIN CERTIFICATE-----\n".to_owned(),
        extra_roots_pem: None,
        insecure_virtual: false,
    }
}

fn images() -> ImageManifest {
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
    ];
    let entries = names.iter().enumerate().map(|(index, name)| ImageEntry {
        name: (*name).to_owned(),
        digest: format!("sha256:{index:064x}"),
        executable: None,
        executable_sha256: None,
    });
    ImageManifest::new(entries.collect())
}

#[test]
fn equal_contracts_have_equal_bytes_and_any_change_changes_the_host_data() {
    let group = build(&spec(), &deployment(), &images()).unwrap();
    let again = build(&spec(), &deployment(), &images()).unwrap();
    assert_eq!(group.policy_bytes().unwrap(), again.policy_bytes().unwrap());
    let read = policy::ContainerGroup::from_json(group.to_json().unwrap()).unwrap();
    assert_eq!(read.host_data().unwrap(), group.host_data().unwrap());

    let original = group.host_data().unwrap();
    let mut changed = spec();
    changed.applications[0]
        .environment_variables
        .insert("X".to_owned(), String::new());
    assert_ne!(
        build(&changed, &deployment(), &images())
            .unwrap()
            .host_data()
            .unwrap(),
        original
    );
    let mut uid = group;
    uid.containers[1].user += 1;
    assert_ne!(uid.host_data().unwrap(), original);
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
fn the_command_of_a_shim_is_exactly_this() {
    let group = build(&spec(), &deployment(), &images()).unwrap();
    let shim = group
        .containers
        .iter()
        .find(|container| container.name == "fabrikam-output-blobfuse")
        .unwrap();
    assert_eq!(
        shim.command,
        [
            "/blobfuse-shim",
            "--mount-path",
            "/mnt/remote/fabrikam-output",
            "--no-read-only",
            "--encryption-mode",
            "CSE",
            "--access-name",
            "fabrikam-output",
            "--uid",
            "10021",
            "--format",
            "v2",
        ]
    );
    assert_eq!(
        shim.env["WRAPPED_DEK_SECRET"],
        "wrapped-fabrikam-output-dek-1a2b3c4d-kek"
    );
    assert_eq!(shim.env["AZURE_STORAGE_ACCOUNT"], "fabsa");
}

#[test]
fn a_grant_names_one_user_and_exactly_what_its_shim_asks() {
    use base64::Engine as _;
    let group = build(&spec(), &deployment(), &images()).unwrap();
    let secrets = group
        .containers
        .iter()
        .find(|container| container.name == "secrets")
        .unwrap();
    let encoded = &secrets.command[secrets
        .command
        .iter()
        .position(|a| a == "--grants")
        .unwrap()
        + 1];
    let grants: serde_json::Value =
        serde_json::from_slice(&base64::prelude::BASE64_STANDARD.decode(encoded).unwrap()).unwrap();
    assert_eq!(grants.as_array().unwrap().len(), 2);
    assert_eq!(grants[0]["uid"], 10020);
    assert_eq!(grants[0]["access"], "fabrikam-input");
    assert_eq!(
        grants[0]["request"]["kid"],
        "wrapped-fabrikam-input-dek-1a2b3c4d-kek"
    );
    assert_eq!(
        grants[0]["request"]["kek"]["maaEndpoint"],
        "https://sharedneu.neu.attest.azure.net"
    );
    assert_eq!(grants[0]["kekVaultKind"], "KeyVault");
}

#[test]
fn what_this_version_cannot_do_is_refused_with_a_code() {
    let group = build(&spec(), &deployment(), &images()).unwrap();
    assert_eq!(emit::arm(&group).unwrap_err().code(), "CR-POLICY-0012");

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
fn the_governance_policy_carries_the_host_data_of_the_bytes() {
    let group = build(&spec(), &deployment(), &images()).unwrap();
    let policy = emit::governance(&group).unwrap();
    let expected = HostData::of(&group.policy_bytes().unwrap()).to_string();
    assert_eq!(policy["claims"]["x-ms-sevsnpvm-hostdata"], expected);
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
        executable_sha256: Some("00".repeat(32)),
    };
    assert!(matches!(
        entry.verified_executable(),
        Err(PolicyError::Executable { .. })
    ));
    entry.executable_sha256 = Some(HostData::of(b"program").to_string());
    entry.verified_executable().unwrap();
}
