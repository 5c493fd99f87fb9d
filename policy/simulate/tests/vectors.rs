//! The decisions of the real enforcer, request by request.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::collections::BTreeSet;

use policy_simulate::{Capabilities, Document, Question, Simulator};
use serde_json::Value;

const DECISIONS: &str = include_str!("../../../tests/vectors/cce/policy-sim.json");

fn set(value: &Value) -> BTreeSet<String> {
    serde_json::from_value(value.clone()).unwrap()
}

fn sets(capabilities: &Capabilities) -> Value {
    let sorted = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
    serde_json::json!({
        "ambient": sorted(&capabilities.ambient),
        "bounding": sorted(&capabilities.bounding),
        "effective": sorted(&capabilities.effective),
        "inheritable": sorted(&capabilities.inheritable),
        "permitted": sorted(&capabilities.permitted),
    })
}

#[test]
fn every_decision_is_the_real_enforcers() {
    let document: Value = serde_json::from_str(DECISIONS).unwrap();
    let (mut scenarios, mut requests) = (0, 0);
    for scenario in document["cases"].as_array().unwrap() {
        scenarios += 1;
        let name = scenario["policy"].as_str().unwrap();
        let text = document["policies"][name].as_str().unwrap();
        let mut simulator = Simulator::new(Document::policy(text).unwrap());
        for (index, command) in scenario["commands"].as_array().unwrap().iter().enumerate() {
            requests += 1;
            let expect = &command["expect"];
            let place = format!("{} request {index} {}", scenario["id"], command["point"]);
            let mut question = command.clone();
            question.as_object_mut().unwrap().remove("expect");
            let question: Question = serde_json::from_value(question).unwrap();
            let decision = simulator.ask(&question).unwrap();
            assert_eq!(
                Value::from(decision.allowed),
                expect["allowed"],
                "{place}: {decision:?}"
            );
            if let Some(errors) = expect.get("errors") {
                let ours: BTreeSet<String> = decision.errors.iter().cloned().collect();
                assert_eq!(ours, set(errors), "{place}");
            }
            if let Some(kept) = expect.get("env_list").filter(|kept| !kept.is_null()) {
                let ours: BTreeSet<String> =
                    decision.env_list.clone().unwrap().into_iter().collect();
                assert_eq!(ours, set(kept), "{place}");
            } else {
                assert_eq!(decision.env_list, None, "{place}");
            }
            match expect.get("caps_list") {
                Some(kept) => {
                    let kept: Capabilities = serde_json::from_value(kept.clone()).unwrap();
                    assert_eq!(
                        sets(decision.caps_list.as_ref().unwrap()),
                        sets(&kept),
                        "{place}"
                    );
                }
                None => assert_eq!(decision.caps_list, None, "{place}"),
            }
            let stdio = expect.get("allow_stdio_access").and_then(Value::as_bool);
            assert_eq!(decision.allow_stdio_access, stdio, "{place}");
            let fault = expect
                .get("policy_error")
                .or_else(|| expect.get("load_error"));
            assert_eq!(
                decision.policy_error.as_deref(),
                fault.and_then(Value::as_str),
                "{place}"
            );
            let silent = expect["reason"]
                .as_str()
                .is_some_and(|reason| reason.contains("did not provide a reason"));
            assert_eq!(decision.no_reason, silent, "{place}");
            assert!(
                decision.allowed || !decision.findings.is_empty(),
                "{place} says not why"
            );
        }
    }
    assert_eq!((scenarios, requests), (29, 227));
}
