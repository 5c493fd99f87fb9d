//! Documents in the shapes and encodings before and after 4.0.0.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use cleanroom_spec::{SpecError, Specification, StartType, merge};
use sidecar_http::Coded as _;

const V4: &str = include_str!("../../../tests/vectors/spec/hello-job.yaml");
const V2: &str = include_str!("../../../tests/vectors/spec/hello-job.2.0.0.yaml");
const HEAD: &str = include_str!("../../../tests/vectors/spec/hello-job.head.yaml");
const API_V4: &str = include_str!("../../../tests/vectors/spec/hello-api.yaml");
const API_V2: &str = include_str!("../../../tests/vectors/spec/hello-api.2.0.0.yaml");

const CPK: &str = r#"{"KeyType":"KEK","EncryptionMode":"CPK"}"#;

fn read(text: &str) -> Specification {
    Specification::from_yaml(text).unwrap()
}

/// The hello-job contract with a sink in the only mode that the other shapes can say.
fn hello() -> Specification {
    let mut spec = read(V4);
    spec.datasinks[0].protection.configuration = CPK.to_owned();
    spec
}

/// A text with one change, which must be one.
fn changed(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replace(from, to)
}

fn refused(text: &str) -> (String, Vec<String>) {
    let error = Specification::from_yaml(text).expect_err("readable");
    let problems = error.problems().iter().map(ToString::to_string).collect();
    (error.code().to_owned(), problems)
}

#[test]
fn the_2_0_0_shape_is_the_same_contract_started_at_once() {
    let mut expected = hello();
    expected.applications[0].start_type = StartType::Auto;
    let spec = read(V2);
    assert_eq!(spec, expected);
    spec.validate().unwrap();
    let written = spec.to_yaml().unwrap();
    assert_eq!(read(&written), expected);
    for older in [
        "applicationEndpoints",
        "mounts",
        "{'KeyType'",
        "{'authority'",
    ] {
        assert!(V2.contains(older) && !written.contains(older), "{older}");
    }
}

#[test]
fn the_head_shape_is_the_same_contract() {
    let spec = read(HEAD);
    assert_eq!(spec, hello());
    spec.validate().unwrap();
    let written = spec.to_yaml().unwrap();
    assert_eq!(written, hello().to_yaml().unwrap());
    for later in ["subdirectory", "eyJFbmNyeXB0", "eyJhdXRob3Jp"] {
        assert!(HEAD.contains(later) && !written.contains(later), "{later}");
    }
}

#[test]
fn the_endpoint_of_2_0_0_is_inbound_http() {
    let spec = read(API_V2);
    assert_eq!(spec, read(API_V4));
    spec.validate().unwrap();
    let http = spec.network.unwrap().http.unwrap();
    assert!(http.outbound.is_none());
    assert!(http.inbound.unwrap().policy.privacy_policy.is_some());
    let none = changed(V2, "applicationEndpoints: []", "applicationEndpoints: null");
    assert_eq!(read(&none).network, None);
}

#[test]
fn the_4_0_0_shape_is_read_in_every_encoding_and_fragments_of_different_ones_merge() {
    let python = changed(
        &changed(
            V4,
            r#"'{"KeyType":"KEK","EncryptionMode":"CPK"}'"#,
            r#""{'KeyType': 'KEK', 'EncryptionMode': 'CPK'}""#,
        ),
        r#"'{"KeyType":"KEK","EncryptionMode":"CSE","format":"v2"}'"#,
        // coreutils base64 of {"KeyType":"KEK","EncryptionMode":"CSE","format":"v2"}
        "eyJLZXlUeXBlIjoiS0VLIiwiRW5jcnlwdGlvbk1vZGUiOiJDU0UiLCJmb3JtYXQiOiJ2MiJ9",
    );
    assert_eq!(read(&python), read(V4));
    assert_eq!(merge(&[read(V4), read(&python)]).unwrap(), read(V4));
    assert_eq!(merge(&[hello(), read(HEAD)]).unwrap(), hello());
}

#[test]
fn a_variable_that_is_called_configuration_is_nobodys_to_rewrite() {
    let text = changed(
        V4,
        "{INPUT_LOCATION: /mnt/remote/input,",
        "{configuration: \"{'a': 1}\",",
    );
    let spec = read(&text);
    assert_eq!(
        spec.applications[0].environment_variables["configuration"],
        "{'a': 1}"
    );
}

#[test]
fn an_older_encoding_of_something_else_is_refused_at_its_place() {
    for (text, reason) in [
        (
            "{'KeyType': 'KEK', 'EncryptionMode': 'CPK'",
            "no JSON (key must be a string at line 1 column 2) and no Python literal (expected ',' or '}' after 42 bytes)",
        ),
        (
            "{'KeyType': 'KEK', 'EncryptionMode': open('x')}",
            "no JSON (key must be a string at line 1 column 2) and no Python literal (expected a dict, list, text, integer, \
             True, False or None after 37 bytes)",
        ),
        (
            "{'KeyType': 'KEK', 'EncryptionMode': 'CSE'}",
            "EncryptionMode CSE needs a format",
        ),
        (
            // {"KeyType":"DEK","EncryptionMode":"CPK"}: the data key is kept by CGS
            "eyJLZXlUeXBlIjoiREVLIiwiRW5jcnlwdGlvbk1vZGUiOiJDUEsifQ==",
            "KeyType \"DEK\" is not KEK",
        ),
        ("CPK", "no JSON, no Python literal and no base64 of JSON"),
    ] {
        let document = changed(V4, &format!("'{CPK}'"), &format!("{text:?}"));
        let error = read(&document).validate().unwrap_err();
        let problems: Vec<String> = error.problems().iter().map(ToString::to_string).collect();
        let expected = format!(
            "CR-SPEC-0005 datasources[fabrikam-input].protection.configuration: protection configuration: {reason}"
        );
        assert_eq!(problems, [expected]);
    }
    let document = V2.replacen("{'authority': 'https", "{'authority': u'https", 1);
    assert_ne!(document, V2);
    let error = read(&document).validate().unwrap_err();
    assert_eq!(error.problems().len(), 1);
    assert_eq!(error.problems()[0].code, "CR-SPEC-0005");
    assert_eq!(
        error.problems()[0].path,
        "datasources[fabrikam-input].protection.encryptionSecrets.kek.configuration"
    );
}

#[test]
fn a_mixture_of_2_0_0_and_a_later_shape_is_refused_with_every_member_of_either() {
    let later = "belongs to the 4.0.0 shape, and the document has members of the 2.0.0 shape too";
    let older = "belongs to the 2.0.0 shape, and the document has members of a later shape too";
    let head = "belongs to the HEAD shape, and the document has members of the 2.0.0 shape too";
    let text = changed(
        V2,
        "  runtimeSettings:",
        "  startType: Manual\n  datasinks: {}\n  runtimeSettings:",
    );
    let text = changed(
        &text,
        "governance: null",
        "network: null\ngovernanze: null\nstartTyp: Auto",
    );
    let text = text.replacen("  path: \"\"\n", "  path: \"\"\n  subdirectory: \"\"\n", 1);
    assert_eq!(
        refused(&text),
        (
            "CR-SPEC-0006".to_owned(),
            vec![
                "CR-SPEC-0011 governanze: unknown key; did you mean \"governance\"?".to_owned(),
                "CR-SPEC-0011 startTyp: unknown key; known here: sandbox, identities, datasources, datasinks, applications, \
                 applicationEndpoints, governance"
                    .to_owned(),
                format!("CR-SPEC-0013 applicationEndpoints: {older}"),
                format!("CR-SPEC-0013 network: {later}"),
                format!("CR-SPEC-0013 applications[demo-app].runtimeSettings.mounts: {older}"),
                format!("CR-SPEC-0013 applications[demo-app].startType: {later}"),
                format!("CR-SPEC-0013 applications[demo-app].datasinks: {later}"),
                format!("CR-SPEC-0013 datasources[fabrikam-input].subdirectory: {head}"),
            ]
        )
    );
    // One member of each is enough.
    for text in [
        changed(V4, "    ports: []\n", "    ports: []\n    mounts: {}\n"),
        changed(
            V4,
            "governance: null",
            "applicationEndpoints: []\ngovernance: null",
        ),
        changed(
            HEAD,
            "governance: null",
            "applicationEndpoints: []\ngovernance: null",
        ),
    ] {
        let (code, problems) = refused(&text);
        assert_eq!(code, "CR-SPEC-0006");
        assert!(
            problems.iter().all(|one| one.starts_with("CR-SPEC-0013 ")),
            "{problems:?}"
        );
    }
}

#[test]
fn an_unknown_key_of_an_older_document_gets_the_nearest_key_of_its_own_shape() {
    let text = changed(V2, "    ports: []\n", "    ports: []\n    mount: {}\n");
    let text = changed(
        &text,
        "governance: null",
        "governance: null\naplicationEndpoint: []",
    );
    assert_eq!(
        refused(&text),
        (
            "CR-SPEC-0002".to_owned(),
            vec![
                "CR-SPEC-0011 aplicationEndpoint: unknown key; did you mean \"applicationEndpoints\"?".to_owned(),
                "CR-SPEC-0011 applications[demo-app].runtimeSettings.mount: unknown key; did you mean \"mounts\"?".to_owned(),
            ]

        )
    );
    let text = HEAD.replacen("  subdirectory:", "  subDirectory:", 1);
    assert_eq!(
        refused(&text),
        (
            "CR-SPEC-0002".to_owned(),
            vec!["CR-SPEC-0011 datasources[fabrikam-input].subDirectory: unknown key; did you mean \"subdirectory\"?".to_owned()]
        )
    );
}

#[test]
fn everything_of_2_0_0_that_4_0_0_cannot_say_is_reported_at_once() {
    let text = changed(
        V2,
        "{src=fabrikam-input: dst=/mnt/remote/input, src=fabrikam-output: dst=/mnt/remote/output}",
        "{fabrikam-input: dst=/a, src=fabrikam-output: /mnt/x, src=nobody: dst=/b, src=a=b: dst=/c, src=: dst=/d}",
    );
    let endpoint = "{type: Rest, port: 9, protection: {proxyType: HTTP, proxyMode: Open}}";
    let text = changed(
        &text,
        "applicationEndpoints: []",
        &format!("applicationEndpoints: [{endpoint}, {{type: Open, port: 9}}]\nextra: 1"),
    );
    let (code, problems) = refused(&text);
    assert_eq!(code, "CR-SPEC-0006");
    let places: Vec<&str> = problems
        .iter()
        .map(|one| one.split_once(": ").unwrap().0)
        .collect();
    assert_eq!(
        places,
        [
            "CR-SPEC-0011 extra",
            "CR-SPEC-0014 applicationEndpoints[0].type",
            "CR-SPEC-0014 applicationEndpoints[0].port",
            "CR-SPEC-0014 applicationEndpoints[0].protection",
            "CR-SPEC-0014 applicationEndpoints[1]",
            "CR-SPEC-0014 applicationEndpoints[1].port",
            "CR-SPEC-0014 applicationEndpoints[1].protection",
            "CR-SPEC-0014 applications[demo-app].runtimeSettings.mounts[fabrikam-input]",
            "CR-SPEC-0014 applications[demo-app].runtimeSettings.mounts[src=]",
            "CR-SPEC-0014 applications[demo-app].runtimeSettings.mounts[src=a=b]",
            "CR-SPEC-0014 applications[demo-app].runtimeSettings.mounts[src=fabrikam-output]",
            "CR-SPEC-0014 applications[demo-app].runtimeSettings.mounts[src=nobody]",
        ]
    );
    for (mounts, problem) in [
        ("null", "no map of src=<name> to dst=<path>"),
        ("[src=fabrikam-input]", "no map of src=<name> to dst=<path>"),
    ] {
        let text = changed(
            V2,
            "{src=fabrikam-input: dst=/mnt/remote/input, src=fabrikam-output: dst=/mnt/remote/output}",
            mounts,
        );
        let expected =
            format!("CR-SPEC-0014 applications[demo-app].runtimeSettings.mounts: {problem}");
        assert_eq!(refused(&text).1, [expected]);
    }
    // 2.0.0 would have mounted at /mnt/remote/input and said nothing.
    let text = changed(V2, "dst=/mnt/remote/input", "dst=/mnt/remote/input=x");
    assert_eq!(
        refused(&text).1,
        [
            "CR-SPEC-0014 applications[demo-app].runtimeSettings.mounts[src=fabrikam-input]: the value is not dst=<path in the \
             application>"
        ]
    );
    let text = changed(V2, "- name: fabrikam-output", "- name: fabrikam-input");
    let problems = refused(&text).1;
    assert_eq!(
        problems.first().map(String::as_str),
        Some(
            "CR-SPEC-0014 applications[demo-app].runtimeSettings.mounts[src=fabrikam-input]: \"fabrikam-input\" is both a \
             datasource and a datasink"
        )
    );
    assert_eq!(problems.len(), 2, "{problems:?}");
    let text = changed(API_V2, "    mounts: {}\n", "");
    assert_eq!(
        refused(&text).1,
        [
            "CR-SPEC-0014 applications[hello-api].runtimeSettings.mounts: missing; {} if the application reads and writes nothing"
        ]
    );
}

#[test]
fn everything_of_head_that_4_0_0_cannot_say_is_reported_at_once() {
    let mut value: serde_json::Value = serde_json::to_value(hello()).unwrap();
    let sink = &mut value["datasinks"][0];
    sink["subdirectory"] = "inner".into();
    sink["identity"] = serde_json::Value::Null;
    sink["protection"]["encryptionSecrets"]["kek"] = serde_json::Value::Null;
    sink["protection"]["encryptionSecrets"]["dek"]["secret"]["backingResource"]["type"] =
        "Cgs".into();
    let provider = &mut sink["protection"]["encryptionSecrets"]["dek"]["secret"]["backingResource"]
        ["provider"];
    provider["protocol"] = "Cgs_Secret".into();
    let source = &mut value["datasources"][0];
    source["store"]["type"] = "Azure_BlobStorage_DataLakeGen2".into();
    source["store"]["provider"]["protocol"] = "Azure_BlobStorage_DataLakeGen2".into();
    source["protection"]["proxyType"] =
        "SecureVolume__ReadOnly__Azure__BlobStorage__DataLakeGen2".into();
    // A name is no type.
    source["store"]["name"] = "Azure_BlobStorage_DataLakeGen2".into();
    let sink = value["datasinks"][0].clone();
    value["governance"] = serde_json::json!({"telemetry": {"application": {"logs": sink}}});
    let error = Specification::from_value(value).unwrap_err();
    assert_eq!(error.code(), "CR-SPEC-0006");
    let places: std::collections::BTreeSet<&str> = error
        .problems()
        .iter()
        .map(|one| one.path.as_str())
        .collect();
    let of_sink = [
        "identity",
        "protection.encryptionSecrets.dek.secret.backingResource.provider.protocol",
        "protection.encryptionSecrets.dek.secret.backingResource.type",
        "protection.encryptionSecrets.kek",
        "subdirectory",
    ];
    let mut expected: std::collections::BTreeSet<String> = [
        "datasources[fabrikam-input].protection.proxyType",
        "datasources[fabrikam-input].store.provider.protocol",
        "datasources[fabrikam-input].store.type",
    ]
    .map(str::to_owned)
    .into();
    for owner in [
        "datasinks[fabrikam-output]",
        "governance.telemetry.application.logs",
    ] {
        expected.extend(of_sink.map(|member| format!("{owner}.{member}")));
    }
    assert_eq!(places, expected.iter().map(String::as_str).collect());
    assert_eq!(error.problems().len(), expected.len());
    assert!(
        error
            .problems()
            .iter()
            .all(|one| one.code == "CR-SPEC-0014")
    );
}

#[test]
fn one_consent_service_without_a_list_is_a_list_of_one() {
    let mut value: serde_json::Value = serde_json::to_value(hello()).unwrap();
    let service = serde_json::json!({
        "url": "https://contoso.example", "method": "GET", "validResponses": [200], "identity": value["identities"][0],
    });
    let sink = value["datasinks"][0].clone();
    value["governance"] =
        serde_json::json!({"telemetry": {"application": {"consent": service, "logs": sink}}});
    let telemetry = |value: serde_json::Value| {
        let spec = Specification::from_value(value).unwrap();
        spec.governance
            .unwrap()
            .telemetry
            .unwrap()
            .application
            .unwrap()
    };
    let one = telemetry(value.clone());
    assert_eq!(one.consent.as_ref().map(Vec::len), Some(1));
    value["governance"]["telemetry"]["application"]["consent"] = serde_json::json!([service]);
    assert_eq!(telemetry(value.clone()), one);
    value["governance"]["telemetry"]["application"]["consent"] = serde_json::json!({"urll": "x"});
    let error = Specification::from_value(value).unwrap_err();
    assert_eq!(
        error.problems()[0].path,
        "governance.telemetry.application.consent.urll"
    );
}

#[test]
fn null_is_absent_only_where_upstream_writes_it() {
    let null = changed(
        V4,
        "  datasinks: {fabrikam-output: /mnt/remote/output}",
        "  datasinks: null",
    );
    assert!(read(&null).applications[0].datasinks.is_empty());
    let command = changed(V2, r#"command: ["/demo-app"]"#, "command: null");
    assert!(read(&command).applications[0].command.is_empty());
    let command = changed(V4, r#"command: ["/demo-app"]"#, "command: null");
    assert!(matches!(
        Specification::from_yaml(&command),
        Err(SpecError::Unreadable { .. })
    ));
}

#[test]
fn wrong_types_at_the_places_that_tell_the_shapes_apart_are_errors() {
    for text in [
        "applicationEndpoints: 5",
        "applicationEndpoints: [5]",
        "applicationEndpoints: {type: Open}",
        "applicationEndpoints: []\napplications: {}",
        "applicationEndpoints: []\napplications: [5]",
        "applications: [{runtimeSettings: {mounts: 1}}]",
        "applications: [{runtimeSettings: [mounts]}]",
        "datasources: [{subdirectory: \"\"}]",
        "datasources: [{subdirectory: \"\", protection: 1}]",
        "datasinks: {subdirectory: 1}",
        "governance: {telemetry: [logs]}",
        "governance: {telemetry: {application: {logs: {subdirectory: 1}}}}",
    ] {
        assert!(Specification::from_yaml(text).is_err(), "{text}");
    }
    // The twins that are right.
    for text in [
        "applicationEndpoints: []",
        "applicationEndpoints: []\napplications: []",
        "datasources: []",
    ] {
        assert_eq!(read(text), Specification::default(), "{text}");
    }
}
