//! Reading, refusing, merging and validating specifications.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests

use cleanroom_spec::{EncryptionMode, Format, SpecError, Specification, merge};

const HELLO: &str = include_str!("../../../tests/vectors/spec/hello-job.yaml");
const WRITTEN: &str = include_str!("../../../tests/vectors/spec/hello-job.written.yaml");

fn hello() -> Specification {
    Specification::from_yaml(HELLO).unwrap()
}

fn codes(error: &SpecError) -> Vec<(&'static str, String)> {
    let problems = error.problems().iter();
    problems
        .map(|problem| (problem.code, problem.path.clone()))
        .collect()
}

#[test]
fn a_contract_in_the_4_0_0_shape_is_read_valid_and_survives_writing() {
    let spec = hello();
    spec.validate().unwrap();
    let written = spec.to_yaml().unwrap();
    assert_eq!(written, WRITTEN);
    assert_eq!(Specification::from_yaml(&written).unwrap(), spec);
    assert_eq!(
        written,
        Specification::from_yaml(&written)
            .unwrap()
            .to_yaml()
            .unwrap()
    );
    let read = spec.datasources[0].protection.configuration().unwrap();
    assert_eq!(
        (read.encryption_mode, read.format),
        (EncryptionMode::Cpk, None)
    );
    let read = spec.datasinks[0].protection.configuration().unwrap();
    assert_eq!(
        (read.encryption_mode, read.format),
        (EncryptionMode::Cse, Some(Format::V2))
    );
}

#[test]
fn every_unknown_key_is_reported_with_the_nearest_known_one() {
    let text = HELLO
        .replace("environmentVariables:", "enviromentVariables:")
        .replace("  startType:", "  starttype:")
        .replace("network: null", "netwrok: null");
    let error = Specification::from_yaml(&text).unwrap_err();
    let problems = error.problems();
    let all: Vec<String> = problems
        .iter()
        .map(|p| format!("{} {}", p.path, p.message))
        .collect();
    assert_eq!(problems.len(), 3, "{all:?}");
    for expected in [
        r#"applications[demo-app].enviromentVariables unknown key; did you mean "environmentVariables"?"#,
        r#"applications[demo-app].starttype unknown key; did you mean "startType"?"#,
        r#"netwrok unknown key; did you mean "network"?"#,
    ] {
        assert!(
            all.iter().any(|line| line == expected),
            "{expected} not in {all:?}"
        );
    }
}

#[test]
fn a_key_inside_an_identity_behind_an_identity_is_checked_too() {
    let text = HELLO.replacen(
        "federatedIdentity:\n      name:",
        "federatedIdentity:\n      nmae: x\n      name:",
        1,
    );
    let error = Specification::from_yaml(&text).unwrap_err();
    assert_eq!(
        error.problems()[0].path,
        "identities[fabrikam-identity].tokenIssuer.federatedIdentity.nmae"
    );
}

/// A document in which every key of the shape occurs.
fn everything() -> serde_json::Value {
    use serde_json::json;
    let mut value = serde_json::to_value(hello()).unwrap();
    let identity = value["identities"][0].clone();
    let sink = value["datasinks"][0].clone();
    let secret = sink["protection"]["encryptionSecrets"]["dek"]["secret"].clone();
    let document = value["applications"][0]["image"]["executable"].clone();
    let service = json!([{"url": "https://contoso.example", "method": "GET", "validResponses": [200], "identity": identity}]);
    let proxy = json!({
        "proxyType": "API", "proxyMode": "Open", "configuration": "", "privacyPolicy": {"policy": document},
        "encryptionSecrets": null, "encryptionSecretAccessIdentity": null,
    });
    let direction = json!({"enabled": true, "policy": proxy});
    let more = json!({
        "sandbox": {"sandboxType": "Type_0", "privacyPolicy": {"policy": {"policyDocument": "x"}}, "configuration": ""},
        "network": {
            "http": {"inbound": direction, "outbound": direction},
            "tcp": {"outbound": {"enabled": true, "allowedIPs": [{"address": "10.1.2.3", "port": 5432}]}},
            "dns": {"enabled": true, "port": 53},
        },
        "governance": {"consent": service, "audit": service, "telemetry": {
            "infrastructure": {"consent": service, "metrics": sink, "traces": sink, "logs": sink},
            "application": {"consent": service, "logs": sink},
        }},
    });
    for (key, member) in more.as_object().unwrap() {
        value[key] = member.clone();
    }
    let by_secret = json!({
        "name": "by-secret", "clientId": "", "tenantId": "",
        "tokenIssuer": {
            "issuerType": "SecretBasedTokenIssuer",
            "issuer": {"protocol": "AzureAD_Secret", "url": "https://AzureAD", "configuration": ""},
            "secret": secret, "secretAccessIdentity": identity,
        },
    });
    value["identities"].as_array_mut().unwrap().push(by_secret);
    value["applications"][0]["image"]["protection"] = proxy;
    value["applications"][0]["image"]["executable"]["identity"] = identity;
    value
}

#[test]
fn the_types_and_the_table_of_keys_know_the_same_keys() {
    let value = everything();
    let spec = Specification::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&spec).unwrap(), value);
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../../docs/specification.schema.json")).unwrap();
    jsonschema::draft202012::validate(&schema, &value).unwrap();
    // The table of HEAD repeats a part of the one of 4.0.0; nothing may be missing there.
    let mut head = value.clone();
    for sink in [
        "/datasinks/0",
        "/governance/telemetry/infrastructure/traces",
    ] {
        head.pointer_mut(sink).unwrap()["subdirectory"] = "".into();
    }
    assert_eq!(Specification::from_value(head).unwrap(), spec);
    assert_eq!(
        Specification::from_yaml(&spec.to_yaml().unwrap()).unwrap(),
        spec
    );
}

#[test]
fn validation_reports_all_problems_at_once() {
    let mut spec = hello();
    spec.applications[0].image.executable.backing_resource.id =
        "litware.azurecr.io/demo-app:latest".to_owned();
    spec.applications[0]
        .datasources
        .insert("missing".to_owned(), "/mnt/remote/input/inner".to_owned());
    spec.applications[0]
        .datasinks
        .insert("fabrikam-output".to_owned(), "/proc/x".to_owned());
    spec.applications[0].runtime_settings.resource.requests.cpu = 0.0;
    spec.datasources[0].name = "Fabrikam Input".to_owned();
    spec.datasinks[0].store.provider.url = "http://fabsa.blob.core.windows.net".to_owned();
    spec.identities[1].client_id = "somebody".to_owned();
    let error = spec.validate().unwrap_err();
    let codes: Vec<&str> = codes(&error).into_iter().map(|(code, _)| code).collect();
    for code in [
        "CR-SPEC-0021",
        "CR-SPEC-0022",
        "CR-SPEC-0023",
        "CR-SPEC-0025",
        "CR-SPEC-0028",
        "CR-SPEC-0029",
        "CR-SPEC-0032",
        "CR-SPEC-0034",
        "CR-SPEC-0035",
    ] {
        assert!(codes.contains(&code), "{code} not in {codes:?}");
    }
}

#[test]
fn a_format_without_client_side_encryption_is_refused_and_the_other_way_round() {
    for text in [
        r#"{"KeyType":"KEK","EncryptionMode":"CPK","format":"v2"}"#,
        r#"{"KeyType":"KEK","EncryptionMode":"CSE"}"#,
        r#"{"KeyType":"DEK","EncryptionMode":"CPK"}"#,
        r#"{"KeyType":"KEK","EncryptionMode":"CPK","extra":1}"#,
        "{'KeyType': 'KEK'}",
        "",
    ] {
        let mut spec = hello();
        spec.datasources[0].protection.configuration = text.to_owned();
        let error = spec.validate().unwrap_err();
        assert_eq!(codes(&error)[0].0, "CR-SPEC-0005", "{text}");
    }
}

#[test]
fn fragments_merge_by_name_and_equal_entries_are_fine() {
    let mut data = hello();
    let code = Specification {
        applications: std::mem::take(&mut data.applications),
        ..Specification::default()
    };
    let merged = merge(&[data.clone(), code.clone(), data]).unwrap();
    assert_eq!(merged, hello());
}

#[test]
fn every_conflict_is_reported_by_name_and_path() {
    let mut other = hello();
    other.datasources[0].store.name = "another-container".to_owned();
    other.identities[1].tenant_id = "33333333-3333-3333-3333-333333333333".to_owned();
    let error = merge(&[hello(), other]).unwrap_err();
    assert!(matches!(error, SpecError::Conflicts(_)));
    let paths: Vec<String> = codes(&error).into_iter().map(|(_, path)| path).collect();
    assert_eq!(
        paths,
        [
            "datasources[fabrikam-input].store.name",
            "identities[fabrikam-identity].tenantId"
        ]
    );
}

#[test]
fn hostile_texts_are_errors() {
    let deep = format!("identities: {}{}", "[".repeat(5000), "]".repeat(5000));
    for text in [
        "",
        "[]",
        "42",
        "identities: {}",
        "\u{0}",
        &deep,
        "a: &a [*a]",
    ] {
        let read = Specification::from_yaml(text);
        assert!(
            read.is_err() || read.unwrap() == Specification::default(),
            "{text:.20}"
        );
    }
    let bomb = format!(
        "a0: &a0 x\n{}",
        (1..30)
            .map(|i| format!("a{i}: &a{i} [*a{0},*a{0},*a{0},*a{0}]\n", i - 1))
            .collect::<String>()
    );
    assert!(Specification::from_yaml(&bomb).is_err());
}

#[test]
fn a_dataset_that_the_service_encrypts_names_no_key_and_every_other_names_its_own() {
    let mut spec = hello();
    let protection = &mut spec.datasources[0].protection;
    protection.configuration = r#"{"KeyType":"KEK","EncryptionMode":"SSE"}"#.to_owned();
    let error = spec.validate().unwrap_err();
    let found = codes(&error);
    for member in ["encryptionSecrets", "encryptionSecretAccessIdentity"] {
        let named =
            |(code, path): &(&str, String)| *code == "CR-SPEC-0043" && path.ends_with(member);
        assert!(found.iter().any(named), "{member} not in {error}");
    }
    let protection = &mut spec.datasources[0].protection;
    protection.encryption_secrets = None;
    protection.encryption_secret_access_identity = None;
    spec.validate().unwrap();
    let pinned = format!(
        r#"{{"KeyType":"KEK","EncryptionMode":"SSE","manifestHmac":"{}"}}"#,
        "0".repeat(64)
    );
    for configuration in [
        pinned.as_str(),
        r#"{"KeyType":"KEK","EncryptionMode":"SSE","format":"v2"}"#,
    ] {
        spec.datasources[0].protection.configuration = configuration.to_owned();
        let error = spec.validate().unwrap_err();
        assert!(
            codes(&error)
                .iter()
                .any(|(code, _)| *code == "CR-SPEC-0005")
        );
    }
}

#[test]
fn what_no_room_can_do_is_a_problem_of_the_specification() {
    type Change = fn(&mut Specification);
    let cases: [(Change, &str); 11] = [
        (|s| s.identities.remove(0).name.clear(), "CR-SPEC-0024"),
        (
            |s| s.datasources[0].path = "folder".to_owned(),
            "CR-SPEC-0039",
        ),
        (
            |s| s.datasources[0].store.name = "../x".to_owned(),
            "CR-SPEC-0040",
        ),
        (
            |s| s.datasources[0].store.kind = cleanroom_spec::ResourceType::AzureOneLake,
            "CR-SPEC-0041",
        ),
        (
            |s| s.datasinks[0].protection.proxy_mode = cleanroom_spec::ProxyMode::Open,
            "CR-SPEC-0041",
        ),
        (
            |s| {
                s.datasinks[0]
                    .protection
                    .encryption_secrets
                    .as_mut()
                    .unwrap()
                    .dek
                    .name = "other".to_owned()
            },
            "CR-SPEC-0042",
        ),
        (
            |s| {
                let secrets = s.datasinks[0]
                    .protection
                    .encryption_secrets
                    .as_mut()
                    .unwrap();
                let provider = &mut secrets.kek.secret.backing_resource.provider;
                provider.configuration =
                    r#"{"authority":"https://maa.example","vaultKind":"Other"}"#.to_owned();
            },
            "CR-SPEC-0005",
        ),
        (
            |s| {
                s.sandbox = Some(cleanroom_spec::SandboxSettings {
                    sandbox_type: cleanroom_spec::SandboxType::None,
                    privacy_policy: None,
                    configuration: String::new(),
                });
            },
            "CR-SPEC-0037",
        ),
        (
            |s| s.applications[0].command.push("a\0b".to_owned()),
            "CR-SPEC-0038",
        ),
        (
            |s| s.identities[1].client_id = "-".repeat(36),
            "CR-SPEC-0023",
        ),
        (
            |s| s.datasinks.push(s.datasources[0].clone()),
            "CR-SPEC-0020",
        ),
    ];
    for (change, code) in cases {
        let mut spec = hello();
        change(&mut spec);
        let error = spec.validate().unwrap_err();
        assert!(
            codes(&error).iter().any(|(found, _)| *found == code),
            "{code} not in {error}"
        );
    }
}

#[test]
fn values_of_a_wrong_type_are_located_by_entry_and_all_of_them() {
    let text = HELLO
        .replacen("type: Volume_ReadOnly", "type: Volume_Readable", 1)
        .replacen("cpu: 0.5", "cpu: some", 1);
    let error = Specification::from_yaml(&text).unwrap_err().to_string();
    assert!(error.contains("datasources[fabrikam-input]: "), "{error}");
    assert!(error.contains("applications[demo-app]: "), "{error}");
}

#[test]
fn an_error_text_never_carries_a_foreign_documents_control_characters_or_its_length() {
    let long = "x".repeat(100_000);
    for text in [
        format!("\"a\\e[31m\\nb\u{202e}c\": 1\n\"{long}\": 2\n"),
        format!("identities:\n- name: \"\\e[2J\\n{long}\"\n  clientId: []\n"),
        format!("datasources: \"\\e]0;{long}\"\n"),
    ] {
        let error = Specification::from_yaml(&text).unwrap_err().to_string();
        assert!(error.len() < 4000, "{} bytes", error.len());
        assert!(!error.chars().any(char::is_control), "{error:?}");
        assert!(!error.contains('\u{202e}'), "{error:?}");
    }
}

#[test]
fn a_key_that_is_given_twice_is_refused() {
    let twice = HELLO.replacen(
        "  startType: Manual",
        "  startType: Manual\n  startType: Auto",
        1,
    );
    assert_ne!(twice, HELLO);
    assert!(matches!(
        Specification::from_yaml(&twice),
        Err(SpecError::Unreadable { .. })
    ));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        cases: 64,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        failure_persistence: None,
        ..proptest::prelude::ProptestConfig::default()
    })]
    #[test]
    fn any_text_in_a_specification_survives_writing_and_reading(
        text in proptest::prop_oneof![
            "\\PC{0,200}",
            "[ \t\n:#'\"\\\\>|%&*!{}\\[\\],?@`~-]{0,40}",
            "(yes|no|null|~|0x1f|1e3|0o7|---|\\.\\.\\.|<<|=)",
            "([a-z]{1,12}[ \n]){10,30}",
        ],
    ) {
        let mut spec = hello();
        spec.applications[0].command = vec![text.clone()];
        spec.applications[0].environment_variables.insert("X".to_owned(), text);
        let read = Specification::from_yaml(&spec.to_yaml().unwrap()).unwrap();
        proptest::prop_assert_eq!(read, spec);
    }
}
