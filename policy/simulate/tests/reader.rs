//! The reader of policies: equal to JSON where a policy is JSON, a refusal or a policy for everything else.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use policy_simulate::syntax::{Module, Term};
use policy_simulate::{Document, Question, Simulator};
use proptest::prelude::*;
use serde_json::Value;

fn json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".*", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_json_value_is_read_as_json_reads_it(value in json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        let module = Module::parse(&format!("package policy\nimport future.keywords.in\nx := {text} # end\n")).unwrap();
        prop_assert_eq!(&module.rules[0].term, &Term::Value(value));
        prop_assert_eq!(module.comments, ["end"]);
    }

    #[test]
    fn any_text_is_a_policy_or_refused(text in "(package policy\n)?[a-z_:={}\\[\\],\"`#.0-9 \n\\\\é]{0,200}") {
        if let Ok(document) = Document::policy(&text) {
            prop_assert!(document.api_version.is_some());
        }
    }
}

#[test]
fn an_answer_that_says_allowed_is_read() {
    let body = "api_version := \"0.10.0\"\ndump_stacks := {\"allowed\": false}\n\
                create_container := {\"allowed\": true, \"env_list\": null, \"allow_stdio_access\": true}";
    let document = Document::policy(&format!("package policy\n{body}")).unwrap();
    assert_eq!(document.points.len(), 2);
}

#[test]
fn what_nobody_knows_is_refused_by_its_name() {
    let code = |body: &str| {
        let text = format!("package policy\napi_version := \"0.10.0\"\n{body}");
        sidecar_http::Coded::code(&Document::policy(&text).unwrap_err()).to_owned()
    };
    for (body, expected) in [
        (
            "mount_anything := data.framework.mount_anything",
            "CR-SIM-0003",
        ),
        ("containers := [{\"surprise\": true}]", "CR-SIM-0004"),
        (
            "create_container := data.framework.mount_device",
            "CR-SIM-0004",
        ),
        ("create_container := true", "CR-SIM-0004"),
        // The platform would add its default, which is yes, or carry out what stands beside.
        ("exec_in_container := {}", "CR-SIM-0004"),
        ("exec_in_container := {\"env_list\": null}", "CR-SIM-0004"),
        ("dump_stacks := {\"allowed\": \"false\"}", "CR-SIM-0004"),
        ("dump_stacks := {\"allowed\": null}", "CR-SIM-0004"),
        (
            "mount_device := {\"allowed\": false, \"metadata\": [{\"name\": \"started\"}]}",
            "CR-SIM-0004",
        ),
        (
            "create_container := {\"allowed\": true, \"caps_list\": null}",
            "CR-SIM-0004",
        ),
        (
            "create_container := {\"allowed\": true, \"env_list\": [1]}",
            "CR-SIM-0004",
        ),
        (
            "create_container := {\"allowed\": true, \"allow_stdio_access\": 1}",
            "CR-SIM-0004",
        ),
        ("allow_dump_stacks := \"true\"", "CR-SIM-0004"),
        (
            "reason := {\"errors\": data.framework.other}",
            "CR-SIM-0004",
        ),
        ("framework_version := 1", "CR-SIM-0004"),
        ("create_container { true }", "CR-SIM-0002"),
        ("default mount_device := true", "CR-SIM-0002"),
    ] {
        assert_eq!(code(body), expected, "{body}");
    }
    for text in [
        "package other\napi_version := \"0.10.0\"",
        "package policy\n",
    ] {
        let refused = Document::policy(text).unwrap_err();
        assert_eq!(sidecar_http::Coded::code(&refused), "CR-SIM-0004", "{text}");
    }
}

#[test]
fn a_point_that_is_always_refused_says_so() {
    let text = "package policy\napi_version := \"0.10.0\"\ndump_stacks := {\"allowed\": false}\n";
    let mut simulator = Simulator::new(Document::policy(text).unwrap());
    let question = Question {
        point: "dump_stacks".to_owned(),
        input: serde_json::json!({}),
        fragment: None,
    };
    let decision = simulator.ask(&question).unwrap();
    assert!(!decision.allowed);
    assert_eq!(decision.findings[0].rule, "dump_stacks");
    assert!(decision.findings[0].actual.contains("always answered"));
}

#[test]
fn a_policy_of_more_patterns_than_any_real_one_is_refused() {
    let policy = |count: usize| {
        let rules: Vec<Value> = (0..count)
            .map(|number| serde_json::json!({ "pattern": format!("A{number}=.+"), "strategy": "re2" }))
            .collect();
        let process =
            serde_json::json!([{ "command": [], "env_rules": rules, "working_dir": "/" }]);
        Document::policy(&format!(
            "package policy\napi_version := \"0.10.0\"\nexternal_processes := {process}\n"
        ))
    };
    policy(4096).unwrap();
    let refused = policy(4097).unwrap_err();
    assert_eq!(sidecar_http::Coded::code(&refused), "CR-SIM-0004");
    assert!(refused.to_string().contains("4097 different patterns"));
}
