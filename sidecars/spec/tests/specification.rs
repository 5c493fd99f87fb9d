//! Reading, refusing, merging and validating specifications.

use cleanroom_spec::{EncryptionMode, Format, SpecError, Specification, merge};

const HELLO: &str = include_str!("../../../tests/vectors/spec/hello-job.yaml");

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

#[test]
fn the_types_know_no_key_that_the_table_of_keys_lacks() {
    let value = serde_json::to_value(hello()).unwrap();
    Specification::from_value(value).unwrap();
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
