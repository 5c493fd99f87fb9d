//! The published JSON Schema, read by a validator that shares nothing with the types.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use cleanroom_spec::Specification;
use serde_json::{Value, json};

const PUBLISHED: &str = include_str!("../../../docs/specification.schema.json");

fn vector(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/spec/");
    let text = std::fs::read_to_string(format!("{folder}{name}")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn validator() -> jsonschema::Validator {
    jsonschema::draft202012::new(&serde_json::from_str(PUBLISHED).unwrap()).unwrap()
}

/// Places that the schema refuses, with the keyword that does.
fn refusals(document: &Value) -> Vec<String> {
    validator()
        .iter_errors(document)
        .map(|error| format!("{} {}", error.instance_path(), error.kind().keyword()))
        .collect()
}

#[test]
fn the_published_schema_is_the_one_of_the_types() {
    assert!(
        cleanroom_spec::schema().unwrap() == PUBLISHED,
        "run `cleanroom config schema > docs/specification.schema.json`"
    );
}

#[test]
fn the_schema_is_a_schema_and_closed_everywhere() {
    let schema: Value = serde_json::from_str(PUBLISHED).unwrap();
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    fn objects<'a>(value: &'a Value, path: &str, found: &mut Vec<(String, &'a Value)>) {
        if value.get("properties").is_some_and(Value::is_object)
            && value.get("type") == Some(&json!("object"))
        {
            found.push((path.to_owned(), value));
        }
        for (name, member) in value.as_object().into_iter().flatten() {
            objects(member, &format!("{path}/{name}"), found);
        }
        for (index, member) in value.as_array().into_iter().flatten().enumerate() {
            objects(member, &format!("{path}/{index}"), found);
        }
    }
    let mut found = Vec::new();
    objects(&schema, "", &mut found);
    assert!(found.len() >= 30, "{}", found.len());
    for (path, object) in found {
        assert_eq!(object["additionalProperties"], json!(false), "{path}");
    }
}

#[test]
fn what_is_written_fits_the_schema() {
    for name in ["hello-job.yaml", "hello-job.written.yaml"] {
        assert_eq!(refusals(&vector(name)), [""; 0], "{name}");
    }
    for name in [
        "hello-job.2.0.0.yaml",
        "hello-job.head.yaml",
        "hello-api.yaml",
        "hello-api.2.0.0.yaml",
    ] {
        let spec = Specification::from_value(vector(name)).unwrap();
        let written: Value = serde_saphyr::from_str(&spec.to_yaml().unwrap()).unwrap();
        assert_eq!(refusals(&written), [""; 0], "{name}");
    }
}

#[test]
fn the_older_shapes_do_not_fit_the_schema() {
    for name in [
        "hello-job.2.0.0.yaml",
        "hello-job.head.yaml",
        "hello-api.2.0.0.yaml",
    ] {
        assert!(!validator().is_valid(&vector(name)), "{name}");
    }
}

#[test]
fn what_the_types_refuse_the_schema_refuses_at_its_place() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 9] = [
        (|v| v["netwrok"] = json!(null), " additionalProperties"),
        (
            |v| v["applications"][0]["enviromentVariables"] = json!({}),
            "/applications/0 additionalProperties",
        ),
        (
            |v| v["datasources"][0]["protection"]["encryptionSecrets"]["dek"]["kid"] = json!("x"),
            "/datasources/0/protection/encryptionSecrets anyOf",
        ),
        (
            |v| v["identities"][1]["tokenIssuer"]["extra"] = json!(1),
            "/identities/1/tokenIssuer oneOf",
        ),
        (
            |v| v["identities"][1]["tokenIssuer"]["issuerType"] = json!("Other"),
            "/identities/1/tokenIssuer oneOf",
        ),
        (
            |v| v["datasources"][0]["type"] = json!("Volume_Readable"),
            "/datasources/0/type oneOf",
        ),
        (
            |v| v["applications"][0]["runtimeSettings"]["ports"] = json!([65536]),
            "/applications/0/runtimeSettings/ports/0 maximum",
        ),
        (
            |v| {
                v["applications"][0]["runtimeSettings"]["resource"]["requests"]["cpu"] =
                    json!("some")
            },
            "/applications/0/runtimeSettings/resource/requests/cpu type",
        ),
        (
            |v| {
                v["datasinks"][0].as_object_mut().unwrap().remove("store");
            },
            "/datasinks/0 required",
        ),
    ];
    for (change, place) in cases {
        let mut document = vector("hello-job.yaml");
        change(&mut document);
        assert!(
            Specification::from_value(document.clone()).is_err(),
            "{place}"
        );
        assert_eq!(refusals(&document), [place]);
    }
}
