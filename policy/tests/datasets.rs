//! What a contract says of its datasets, and which shim, grant and endpoint come of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // helpers of tests

mod contract;

use cleanroom_spec::Specification;
use contract::{deployment, host_data, images, spec};
use policy::{ContainerGroup, build};
use sidecar_http::Coded;
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
fn evidence_and_tokens_go_where_the_contract_has_keys_released_and_nowhere_else() {
    let command = |spec: &Specification| {
        let group = build(spec, &deployment(), &images()).unwrap();
        let mut all = group.containers.into_iter();
        all.find(|one| one.name == "skr-agent").unwrap().command
    };
    // Two datasets with keys in one vault under one authority.
    assert_eq!(
        command(&spec()),
        [
            "/skr-agent",
            "--allow-vault",
            "KeyVault=https://fabkv.vault.azure.net",
            "--allow-maa",
            "https://sharedneu.neu.attest.azure.net",
        ]
    );
    let mut two = spec();
    let secrets = &mut two.datasources[0].protection.encryption_secrets;
    let kek = &mut secrets.as_mut().unwrap().kek.secret.backing_resource;
    kek.provider.url = "https://fabrikam.managedhsm.azure.net:8443/".to_owned();
    kek.provider.configuration =
        r#"{"authority":"https://other.attest.azure.net","vaultKind":"ManagedHsm"}"#.to_owned();
    assert_eq!(
        command(&two)[1..],
        [
            "--allow-vault",
            "KeyVault=https://fabkv.vault.azure.net",
            "--allow-vault",
            "ManagedHsm=https://fabrikam.managedhsm.azure.net:8443",
            "--allow-maa",
            "https://other.attest.azure.net",
            "--allow-maa",
            "https://sharedneu.neu.attest.azure.net",
        ]
    );
    let secrets = &mut two.datasources[0].protection.encryption_secrets;
    let kek = &mut secrets.as_mut().unwrap().kek.secret.backing_resource;
    kek.provider.configuration =
        r#"{"authority":"https://maa.example/attest","vaultKind":"KeyVault"}"#.to_owned();
    let error = build(&two, &deployment(), &images()).unwrap_err();
    assert_eq!(error.code(), "CR-POLICY-0002", "{error}");
    assert!(
        error.to_string().contains("https://maa.example/attest"),
        "{error}"
    );
    let mut none = spec();
    none.datasources.clear();
    none.datasinks.clear();
    none.governance = None;
    none.applications[0].datasources.clear();
    none.applications[0].datasinks.clear();
    assert_eq!(command(&none), ["/skr-agent", "--allow-none"]);
}

#[test]
fn a_pinned_manifest_is_a_measured_argument_of_its_shim() {
    let pinned = |digit: &str| {
        let mut asked = spec();
        asked.datasources[0].protection.configuration = format!(
            r#"{{"KeyType":"KEK","EncryptionMode":"CPK","manifestHmac":"{}"}}"#,
            digit.repeat(64)
        );
        build(&asked, &deployment(), &images()).unwrap()
    };
    let group = pinned("a");
    let shims = group.all().filter(|c| c.image.name == "blobfuse-shim");
    for shim in shims {
        let at = shim.command.iter().position(|arg| arg == "--manifest-hmac");
        let hmac = at.and_then(|at| shim.command.get(at + 1));
        let expected = "a".repeat(64);
        let is_source = shim.name == "fabrikam-input-blobfuse";
        assert_eq!(hmac, is_source.then_some(&expected), "{}", shim.name);
    }
    assert_ne!(host_data(&group), host_data(&pinned("b")));
    // A sink holds nothing that could be pinned.
    let mut asked = spec();
    asked.datasinks[0].protection.configuration = asked.datasinks[0]
        .protection
        .configuration
        .replace("{", &format!(r#"{{"manifestHmac":"{}","#, "a".repeat(64)));
    assert!(build(&asked, &deployment(), &images()).is_err());
}

#[test]
fn the_contracts_mode_and_format_reach_the_shim_as_measured_arguments() {
    let shim = |configuration: String| {
        let mut spec = spec();
        spec.datasources[0].protection.configuration = configuration;
        let group = build(&spec, &deployment(), &images()).unwrap();
        let name = format!("{}-blobfuse", spec.datasources[0].name);
        let shim = group.all().find(|one| one.name == name).unwrap();
        shim.command.clone()
    };
    for format in cleanroom_spec::Format::ALL {
        // What the shim makes of the name.
        blob_format::Format::from_contract(format.as_str()).unwrap();
        let read: cleanroom_spec::Format = format.as_str().parse().unwrap();
        assert_eq!(read, format);
        let text = format.as_str();
        let command = shim(format!(
            r#"{{"KeyType":"KEK","EncryptionMode":"CSE","format":"{text}"}}"#
        ));
        let mode = command.iter().position(|arg| arg == "--encryption-mode");
        assert_eq!(command[mode.unwrap() + 1], "CSE");
        let argument = command.iter().position(|arg| arg == "--format");
        assert_eq!(command[argument.unwrap() + 1], text);
    }
    let command = shim(r#"{"KeyType":"KEK","EncryptionMode":"CPK"}"#.to_owned());
    assert!(command.contains(&"CPK".to_owned()) && !command.contains(&"--format".to_owned()));
    let other = r#"{"KeyType":"KEK","EncryptionMode":"CSE","format":"auto"}"#;
    let mut spec = spec();
    spec.datasources[0].protection.configuration = other.to_owned();
    build(&spec, &deployment(), &images()).unwrap_err();
}

#[test]
fn a_dataset_without_a_key_has_one_nowhere_in_the_group() {
    let keyed = build(&spec(), &deployment(), &images()).unwrap();
    let mut spec = spec();
    spec.governance = None;
    let points = spec.datasources.iter_mut().chain(&mut spec.datasinks);
    let mut names = Vec::new();
    for point in points {
        let protection = &mut point.protection;
        protection.configuration = r#"{"KeyType":"KEK","EncryptionMode":"SSE"}"#.to_owned();
        protection.encryption_secrets = None;
        protection.encryption_secret_access_identity = None;
        names.push(format!("{}-blobfuse", point.name));
    }
    let group = build(&spec, &deployment(), &images()).unwrap();
    let command = |name: &str| {
        let mut all = group.all();
        all.find(|one| one.name == name).unwrap().command.clone()
    };
    for name in &names {
        let variables = |group: &ContainerGroup| {
            let mut all = group.all();
            let shim = all.find(|one| one.name == *name).unwrap();
            shim.env.keys().cloned().collect::<Vec<_>>()
        };
        assert!(command(name).contains(&"SSE".to_owned()));
        for variable in ["KID", "WRAPPED_DEK_SECRET", "MAA_ENDPOINT"] {
            let is_named = |group| variables(group).iter().any(|one| one == variable);
            assert!(is_named(&keyed) && !is_named(&group), "{variable}");
        }
    }
    // Nothing may be released, and nobody is granted anything: `[]` in base64.
    assert_eq!(command("skr-agent"), ["/skr-agent", "--allow-none"]);
    let secrets = command("secrets");
    let grants = secrets.iter().position(|arg| arg == "--grants").unwrap();
    assert_eq!(secrets[grants + 1], "W10=");
}

/// Sealed under another dataset's key: no program but the shim and its owner can tell.
const SEALED: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn in_s3(prefix: &str) -> Specification {
    let mut spec = spec();
    let point = &mut spec.datasources[0];
    point.store.kind = cleanroom_spec::ResourceType::AwsS3;
    point.store.name = "a.bucket".to_owned();
    point.store.provider.protocol = cleanroom_spec::ProtocolType::AwsS3;
    point.store.provider.url = "https://s3.eu-north-1.amazonaws.com".to_owned();
    point.store.provider.configuration = cleanroom_spec::S3Access {
        region: "eu-north-1".to_owned(),
        prefix: prefix.to_owned(),
        sealed_access_key: SEALED.to_owned(),
    }
    .to_text()
    .unwrap();
    point.protection.proxy_type = cleanroom_spec::ProxyType::ReadOnlyS3;
    point.protection.configuration =
        r#"{"KeyType":"KEK","EncryptionMode":"CSE","format":"v2"}"#.to_owned();
    spec
}

#[test]
fn a_bucket_and_its_sealed_access_key_are_measured_arguments_of_the_shim_and_nothing_of_azure_is() {
    let spec = in_s3("a/b");
    spec.validate().unwrap();
    let group = build(&spec, &deployment(), &images()).unwrap();
    let shims = group.all().filter(|c| c.image.name == "blobfuse-shim");
    let mut found = 0;
    for shim in shims {
        let is_source = shim.name == "fabrikam-input-blobfuse";
        found += usize::from(is_source);
        for argument in ["--store", "--s3-endpoint", "--s3-credentials"] {
            assert_eq!(shim.command.iter().any(|one| one == argument), is_source);
        }
        let of_azure = shim.env.keys().filter(|name| name.starts_with("AZURE_"));
        assert_eq!(of_azure.count(), if is_source { 0 } else { 3 });
        if is_source {
            let at = shim
                .command
                .iter()
                .position(|one| one == "--store")
                .unwrap();
            assert_eq!(
                shim.command[at..],
                [
                    "--store",
                    "s3",
                    "--s3-endpoint",
                    "https://s3.eu-north-1.amazonaws.com",
                    "--s3-region",
                    "eu-north-1",
                    "--container",
                    "a.bucket",
                    "--s3-credentials",
                    SEALED,
                    "--sub-directory",
                    "a/b"
                ]
            );
        }
    }
    assert_eq!(found, 1);
    let other = build(&in_s3("a"), &deployment(), &images()).unwrap();
    assert_ne!(host_data(&group), host_data(&other));
}
