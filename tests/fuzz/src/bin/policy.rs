//! A CCE policy, and after a NUL what it is asked: one request in each line, JSON.
#![no_main]

use std::fmt::Write;

use fuzz::bounded;
use libfuzzer_sys::fuzz_target;
use policy_simulate::syntax::{Module, Term};
use policy_simulate::{
    Answer, Decision, Document, Explained, Question, SimulateError, Simulator, lint,
};
use serde_json::{Value, json};

/// Requests of one input.
const MOST: usize = 40;

fuzz_target!(|input: &[u8]| {
    let Ok(input) = std::str::from_utf8(input) else {
        return;
    };
    let (text, questions) = input.split_once('\0').unwrap_or((input, ""));
    let Ok(module) = bounded(text.as_bytes(), 512, || Module::parse(text)) else {
        assert!(Document::policy(text).is_err());
        return;
    };
    // Written another way it is read as the same.
    let written = rego(&module);
    let again = Module::parse(&written).unwrap();
    assert_eq!(again.package, module.package);
    let rules = |module: &Module| -> Vec<_> {
        let rules = module.rules.iter();
        rules
            .map(|rule| (rule.name.clone(), rule.term.clone()))
            .collect()
    };
    assert_eq!(rules(&again), rules(&module));
    assert_eq!(rego(&again), written);

    let document = match (Document::policy(text), Document::policy(&written)) {
        (Ok(document), Ok(again)) => {
            let changes = document.changes(&again);
            let text = ["/hostData", "/comments"];
            assert!(
                changes
                    .iter()
                    .all(|change| text.iter().any(|at| change.place.starts_with(at)))
            );
            assert_eq!(document.changes(&document), []);
            document
        }
        (Err(first), Err(_)) => {
            assert!(!first.to_string().is_empty());
            return;
        }
        (first, again) => panic!("{first:?}, then {again:?}"),
    };
    bounded(text.as_bytes(), 1024, || lint::lint(&document));
    bounded(text.as_bytes(), 1024, || Explained(&document).to_string());

    let known = document.clone();
    let mut simulator = Simulator::new(document);
    let mut second = Simulator::new(Document::policy(&written).unwrap());
    for line in questions.lines().take(MOST) {
        let Ok(question) = serde_json::from_str::<Question>(line) else {
            continue;
        };
        let before = format!("{simulator:?}");
        let answer = simulator.ask(&question);
        // Two simulators that were asked the same agree; a no, with its reasons, changes nothing.
        assert_eq!(told(&second.ask(&question)), told(&answer));
        match answer {
            Ok(decision) if decision.allowed => justified(&question, &decision, &known),
            Ok(decision) => {
                assert!(!decision.findings.is_empty() || decision.policy_error.is_some());
                assert_eq!(format!("{simulator:?}"), before);
                assert_eq!(told(&simulator.ask(&question)), told(&Ok(decision)));
            }
            Err(_) => assert_eq!(format!("{simulator:?}"), before),
        }
    }
});

/// What a yes must find in the policy.
fn justified(question: &Question, decision: &Decision, policy: &Document) {
    let asked = &question.input["envList"];
    for variable in decision.env_list.iter().flatten() {
        let constant = policy.points.get(&question.point) != Some(&Answer::Framework);
        assert!(constant || asked.as_array().unwrap().contains(&json!(variable)));
    }
    // A fragment may have brought more, and what the policy answers itself needs no reason.
    let framework = policy.points.get(&question.point) == Some(&Answer::Framework);
    if !framework || !policy.fragments.is_empty() {
        return;
    }
    let mut containers = policy.containers.iter();
    assert!(match question.point.as_str() {
        "mount_device" => {
            let hash = question.input["deviceHash"].as_str().unwrap();
            containers.any(|one| one.layers.iter().any(|layer| layer == hash))
        }
        "create_container" => containers.any(|one| {
            let command = json!(one.command) == question.input["argList"];
            command && (one.allow_elevated || question.input["privileged"] == json!(false))
        }),
        "exec_in_container" => containers.any(|one| {
            let mut known = one.exec_processes.iter();
            known.any(|known| json!(known.command) == question.input["argList"])
        }),
        point @ ("get_properties" | "dump_stacks" | "runtime_logging") => {
            let flag = point
                .strip_prefix("get_")
                .map_or(point, |_| "properties_access");
            policy.flag(&format!("allow_{flag}"))
        }
        _ => true,
    });
}

fn told(answer: &Result<Decision, SimulateError>) -> String {
    match answer {
        Ok(decision) => serde_json::to_string(decision).unwrap(),
        Err(error) => error.to_string(),
    }
}

/// A module in the plainest Rego.
fn rego(module: &Module) -> String {
    let mut text = format!("package {}\n", module.package);
    for rule in &module.rules {
        let _ = match &rule.term {
            Term::Value(value) => writeln!(text, "{} := {value}", rule.name),
            Term::Framework(name) => writeln!(text, "{} := data.framework.{name}", rule.name),
            Term::Reason(key, name) => writeln!(
                text,
                "{} := {{{}: data.framework.{name}}}",
                rule.name,
                Value::from(key.as_str())
            ),
        };
    }
    text
}
