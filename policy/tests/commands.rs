//! What exactly runs in the group of the hello-job contract.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cleanroom_spec::{
    AccessPoint, ApplicationTelemetry, GovernanceSettings, InfrastructureTelemetry,
    SandboxSettings, SandboxType, Specification, Telemetry,
};
use policy::{Container, ContainerGroup, Deployment, ImageEntry, ImageManifest, build};
use serde_json::{Value, json};

const HELLO: &str = include_str!("../../tests/vectors/spec/hello-job.yaml");
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n";

/// The hello-job contract with both sinks for output, as the demo makes it.
fn spec() -> Specification {
    let mut spec = Specification::from_yaml(HELLO).unwrap();
    let sink = |name: &str| AccessPoint {
        name: name.to_owned(),
        ..spec.datasinks[0].clone()
    };
    let (logs, telemetry) = (
        sink("application-telemetry"),
        sink("infrastructure-telemetry"),
    );
    spec.datasinks.extend([logs.clone(), telemetry.clone()]);
    spec.governance = Some(GovernanceSettings {
        telemetry: Some(Telemetry {
            application: Some(ApplicationTelemetry {
                consent: None,
                logs,
            }),
            infrastructure: Some(InfrastructureTelemetry {
                consent: None,
                metrics: telemetry.clone(),
                traces: telemetry.clone(),
                logs: telemetry,
            }),
        }),
        ..GovernanceSettings::default()
    });
    spec.sandbox = Some(SandboxSettings {
        sandbox_type: SandboxType::Type0,
        privacy_policy: None,
        configuration: r#"{"limits":"best-effort"}"#.to_owned(),
    });
    spec
}

fn group(extra_roots: bool) -> ContainerGroup {
    let deployment = Deployment {
        contract_id: "collab1".to_owned(),
        ccf_endpoint: "https://cgs.operator.example".to_owned(),
        service_cert_pem: CERTIFICATE.to_owned(),
        extra_roots_pem: extra_roots.then(|| "roots".to_owned()),
        insecure_virtual: extra_roots,
    };
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
    let entry = |name: &&str| ImageEntry {
        name: (*name).to_owned(),
        digest: format!("sha256:{:064x}", name.len()),
        executable: None,
        config: Some(format!("sha256:{:064x}", 7)),
        executable_sha256: None,
        layers: Vec::new(),
    };
    build(
        &spec(),
        &deployment,
        &ImageManifest::new(names.iter().map(entry).collect()),
    )
    .unwrap()
}

fn container<'a>(group: &'a ContainerGroup, name: &str) -> &'a Container {
    group
        .all()
        .find(|container| container.name == name)
        .unwrap()
}

/// The value of a base64 argument, after checking that its text is canonical JSON.
fn decoded(container: &Container, flag: &str) -> Value {
    let at = container
        .command
        .iter()
        .position(|argument| argument == flag)
        .unwrap();
    let text = BASE64_STANDARD.decode(&container.command[at + 1]).unwrap();
    let value: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(policy::canonical_json(&value).as_bytes(), text);
    value
}

/// A command with the base64 texts left out; those are compared decoded.
fn shown(container: &Container) -> String {
    let mut words = container.command.clone();
    for flag in [
        "--directories",
        "--grants",
        "--identities",
        "--application-base-64",
    ] {
        if let Some(at) = words.iter().position(|word| word == flag) {
            words[at + 1] = "…".to_owned();
        }
    }
    words.join(" ")
}

#[test]
fn the_commands_of_the_group_are_exactly_these() {
    let group = group(false);
    let commands: Vec<(&str, u32, String)> = group
        .all()
        .map(|container| (container.name.as_str(), container.user, shown(container)))
        .collect();
    let shim = |access: &str, uid: u32, rest: &str| {
        let end = if rest.contains("CSE") {
            " --format v2"
        } else {
            ""
        };
        format!(
            "/blobfuse-shim --mount-path /mnt/remote/{access} {rest} --access-name {access} --uid {uid}{end}"
        )
    };
    let certificate = BASE64_STANDARD.encode(CERTIFICATE);
    let expected = [
        ("init", 0, "/init --directories … --boot-dir /run/cleanroom/boot".to_owned()),
        (
            "code-launcher",
            0,
            "/code-launcher --profile job --application-name demo-app --application-base-64 … --contract-id collab1 \
             --shim fabrikam-input=10020 --shim fabrikam-output=10021 --shim application-telemetry=10022 \
             --shim infrastructure-telemetry=10023 --logs-sink application-telemetry \
             --telemetry-sink infrastructure-telemetry --limits best-effort"
                .to_owned(),
        ),
        ("identity", 10029, "/identity --identities …".to_owned()),
        ("fabrikam-input-blobfuse", 0, shim("fabrikam-input", 10020, "--read-only --encryption-mode CPK")),
        ("fabrikam-output-blobfuse", 0, shim("fabrikam-output", 10021, "--no-read-only --encryption-mode CSE")),
        (
            "application-telemetry-blobfuse",
            0,
            shim("application-telemetry", 10022, "--no-read-only --encryption-mode CSE"),
        ),
        (
            "infrastructure-telemetry-blobfuse",
            0,
            shim("infrastructure-telemetry", 10023, "--no-read-only --encryption-mode CSE"),
        ),
        (
            "otel-collector",
            10001,
            "/otel-collector --telemetry-path /mnt/telemetry/infrastructure".to_owned(),
        ),
        (
            "governance",
            10030,
            format!(
                "/governance --cgs-endpoint https://cgs.operator.example --cgs-path-prefix app/contracts/collab1 \
                 --service-cert {certificate}"
            ),
        ),
        (
            "skr-agent",
            0,
            "/skr-agent --allow-vault KeyVault=https://fabkv.vault.azure.net \
             --allow-maa https://sharedneu.neu.attest.azure.net"
                .to_owned(),
        ),
        ("secrets", 10093, "/secrets --grants …".to_owned()),
    ];
    assert_eq!(commands, expected);
}

#[test]
fn the_encoded_arguments_say_exactly_this() {
    let group = group(false);
    let directories = decoded(container(&group, "init"), "--directories");
    let entry = |path: &str, uid: u32, mode: u32| json!({"path": path, "uid": uid, "gid": uid, "mode": mode});
    let mut expected = Vec::new();
    for (name, uid) in [
        ("skr-agent", 10084),
        ("secrets", 10093),
        ("identity", 10029),
        ("governance", 10030),
        ("otel-collector", 10001),
        ("code-launcher", 10031),
        ("fabrikam-input", 10020),
        ("fabrikam-output", 10021),
        ("application-telemetry", 10022),
        ("infrastructure-telemetry", 10023),
    ] {
        expected.push(entry(&format!("/run/cleanroom/sockets/{name}"), uid, 0o755));
    }
    expected.push(entry("/mnt/telemetry/infrastructure", 10001, 0o755));
    expected.push(entry("/mnt/telemetry/application", 10031, 0o755));
    expected.push(entry("/run/cleanroom/launcher", 10031, 0o755));
    for name in [
        "fabrikam-input",
        "fabrikam-output",
        "application-telemetry",
        "infrastructure-telemetry",
    ] {
        expected.push(entry(&format!("/mnt/remote/{name}"), 0, 0o755));
    }
    expected.push(entry("/mnt/volumestatus", 0, 0o1777));
    assert_eq!(directories, Value::from(expected));

    assert_eq!(
        decoded(container(&group, "identity"), "--identities"),
        json!({"Identities": {"ManagedIdentities": [], "ApplicationIdentities": [{
            "ClientId": "11111111-1111-1111-1111-111111111111",
            "Credential": {"CredentialType": "FederatedCredential", "FederationConfiguration": {
                "IdTokenEndpoint": "http://localhost:8300",
                "Subject": "collab1",
                "Audience": "api://AzureADTokenExchange",
            }},
        }]}})
    );
    let grants = decoded(container(&group, "secrets"), "--grants");
    assert_eq!(
        grants[1],
        json!({"access": "fabrikam-output", "uid": 10021, "kekVaultKind": "KeyVault", "request": {
            "clientId": "11111111-1111-1111-1111-111111111111",
            "tenantId": "22222222-2222-2222-2222-222222222222",
            "kid": "wrapped-fabrikam-output-dek-1a2b3c4d-kek",
            "akvEndpoint": "https://fabkv.vault.azure.net",
            "kek": {
                "kid": "1a2b3c4d-kek",
                "akvEndpoint": "https://fabkv.vault.azure.net",
                "maaEndpoint": "https://sharedneu.neu.attest.azure.net",
            },
        }})
    );
    assert_eq!(
        decoded(container(&group, "code-launcher"), "--application-base-64"),
        serde_json::to_value(&spec().applications[0]).unwrap()
    );
}

#[test]
fn the_environment_of_a_shim_is_exactly_this_and_no_other_container_has_one() {
    let group = group(false);
    let expected = json!({
        "ACCESS_NAME": "fabrikam-input",
        "AKV_ENDPOINT": "https://fabkv.vault.azure.net",
        "AZURE_STORAGE_ACCOUNT": "fabsa",
        "AZURE_STORAGE_ACCOUNT_CONTAINER": "hello-fabrikam-input",
        "AZURE_STORAGE_BLOB_ENDPOINT": "https://fabsa.blob.core.windows.net/",
        "CLIENT_ID": "11111111-1111-1111-1111-111111111111",
        "KID": "1a2b3c4d-kek",
        "MAA_ENDPOINT": "https://sharedneu.neu.attest.azure.net",
        "TENANT_ID": "22222222-2222-2222-2222-222222222222",
        "VOLUMESTATUS_MOUNT_PATH": "/mnt/volumestatus",
        "WRAPPED_DEK_AKV_ENDPOINT": "https://fabkv.vault.azure.net",
        "WRAPPED_DEK_SECRET": "wrapped-fabrikam-input-dek-1a2b3c4d-kek",
    });
    let shim = container(&group, "fabrikam-input-blobfuse");
    assert_eq!(serde_json::to_value(&shim.env).unwrap(), expected);
    for container in group
        .all()
        .filter(|container| !container.name.ends_with("-blobfuse"))
    {
        assert!(container.env.is_empty(), "{}", container.name);
    }
}

#[test]
fn a_probe_is_the_command_itself_and_extra_trust_is_at_its_end() {
    let group = group(true);
    for container in group.all() {
        let end = [
            "--extra-roots",
            &BASE64_STANDARD.encode("roots"),
            "--insecure-virtual",
        ];
        assert!(
            container.command.ends_with(&end.map(ToOwned::to_owned)),
            "{}",
            container.name
        );
        let mut asked = container.command.clone();
        asked.push("--probe".to_owned());
        match &container.probe {
            Some(probe) => assert_eq!(probe.command, asked, "{}", container.name),
            None => assert_eq!(container.name, "init"),
        }
    }
}
