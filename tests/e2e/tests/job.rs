//! The main job, and what its parties see of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use e2e::{Options, Stage};
use serde_json::{Value, json};

#[test]
fn the_job_runs_and_every_party_gets_what_was_agreed_and_nothing_else() {
    let stage = Stage::prepare(&Options::default());
    let deployed = stage.deploy("group", &[]);
    assert_eq!(deployed.code, Some(0), "{}", deployed.logs());
    assert!(deployed.outcome["boot_ms"].is_u64(), "{}", deployed.outcome);

    // The output is the input.
    let clear = stage.clear_output();
    let input = std::fs::read(stage.work().join("fabrikam/input/input.txt")).unwrap();
    assert!(clear == input);

    // The two events of the seed.
    let events = stage.events();
    let expected = [
        "starting execution of demo-app container",
        "demo-app container terminated with exit code 0",
    ];
    let data: Vec<Value> = events.iter().map(|event| event["data"].clone()).collect();
    assert_eq!(
        data,
        expected.map(|message| json!({"source": "code-launcher", "message": message}))
    );
    assert!(events[0]["seqno"].as_u64() < events[1]["seqno"].as_u64());

    // The application's five lines, in the CRI format.
    let logs = std::fs::read_to_string(
        stage
            .telemetry("logs", "application-telemetry")
            .join("demo-app.log"),
    )
    .unwrap();
    let lines: Vec<&str> = logs
        .lines()
        .map(|line| line.split_once(" stdout F ").unwrap().1)
        .collect();
    assert_eq!(
        lines,
        [
            "File is present at: /mnt/remote/input/input.txt",
            "Opening the input file.",
            "Creating the output file.",
            "Compressing the file.",
            "File compressed successfully.",
        ]
    );

    // Nothing of it passed in clear, while the tap demonstrably sees what passes.
    let text = String::from_utf8(clear).unwrap();
    let needles: Vec<&str> = text
        .lines()
        .filter(|line| line.len() > 24)
        .step_by(2000)
        .chain(lines)
        .collect();
    for container in [
        "fabrikam-output",
        "application-telemetry-litware",
        "infrastructure-telemetry-litware",
    ] {
        for needle in &needles {
            let seen = stage.admin(
                "POST",
                &format!("/wire/contains?container={container}"),
                needle,
            );
            assert_eq!(seen, "false", "{needle} in {container}");
        }
    }
    assert_eq!(
        stage.admin(
            "POST",
            "/wire/contains?container=fabrikam-input",
            needles[0]
        ),
        "true"
    );

    connected_trace(&stage);
    read_by_others(&stage);
    e2e::no_secrets(&stage, &deployed);
}

/// What litware downloaded, as a reader that shares no code with us reads it (`tests/judges/opentelemetry/read.py`).
fn read_by_others(stage: &Stage) {
    let read = |verb: &str, sink: &str| -> Value {
        let mut reader = Command::new(judges::python("opentelemetry"));
        reader
            .arg(judges::folder("opentelemetry").join("read.py"))
            .arg(stage.telemetry(verb, sink));
        serde_json::from_slice(&judges::run(&mut reader).stdout).unwrap()
    };
    let telemetry = read("telemetry", "infrastructure-telemetry");
    assert_eq!(telemetry["trace_ids"].as_array().unwrap().len(), 1);
    for service in ["code-launcher", "secrets", "skr-agent", "identity"] {
        let spans = &telemetry["services"][service]["spans"];
        assert!(spans.as_u64() > Some(0), "{service}: {telemetry}");
    }
    let logs = read("logs", "application-telemetry");
    assert_eq!(logs["output"], json!({"demo-app.log": 5}), "{logs}");
}

/// One trace from the launcher to the key release: every span of the five services has the same trace id, and every parent
/// is a span that was recorded, or the group's boot.
fn connected_trace(stage: &Stage) {
    let folder = stage.telemetry("telemetry", "infrastructure-telemetry");
    let mut spans: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut traces = BTreeSet::new();
    let mut services = BTreeSet::new();
    for entry in std::fs::read_dir(&folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let Some(service) = name.strip_suffix(".traces") else {
            continue;
        };
        services.insert(service.to_owned());
        for line in std::fs::read_to_string(entry.path()).unwrap().lines() {
            let batch: Value = serde_json::from_str(line).unwrap();
            for span in batch["resourceSpans"][0]["scopeSpans"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|scope| scope["spans"].as_array().unwrap())
            {
                let text = |member: &str| span[member].as_str().unwrap_or_default().to_owned();
                traces.insert(text("traceId"));
                spans.insert(
                    text("spanId"),
                    (text("parentSpanId"), format!("{service}: {}", text("name"))),
                );
            }
        }
    }
    for service in [
        "code-launcher",
        "fabrikam-input",
        "fabrikam-output",
        "secrets",
        "skr-agent",
        "identity",
    ] {
        assert!(services.contains(service), "{service} not in {services:?}");
    }
    assert_eq!(traces.len(), 1, "{traces:?}");
    let boot: BTreeSet<&String> = spans
        .values()
        .map(|(parent, _)| parent)
        .filter(|parent| !spans.contains_key(*parent))
        .collect();
    assert!(
        boot.len() <= 1,
        "spans without a parent: {:?}",
        spans
            .values()
            .filter(|(parent, _)| boot.contains(parent))
            .collect::<Vec<_>>()
    );
}

#[test]
fn an_application_that_attacks_gets_nothing_and_says_what_stopped_it() {
    let stage = Stage::prepare(&Options {
        app: Some("attack-app"),
        ..Options::default()
    });
    let deployed = stage.deploy("group", &[]);
    assert_eq!(deployed.code, Some(0), "{}", deployed.logs());
    let report = e2e::read_json(&stage.output().join("report.json"));
    let report = report.as_object().unwrap();
    assert!(report.len() >= 15, "{report:?}");
    for (attempt, result) in report {
        assert_eq!(result["ok"], false, "{attempt}: {result}");
        let stopped_by = result["stopped_by"].as_str().unwrap_or_default();
        assert!(!stopped_by.is_empty(), "{attempt}: {result}");
    }
}

#[test]
fn a_service_is_voted_for_and_deployed_and_its_end_by_itself_is_told_as_what_it_is() {
    let stage = Stage::prepare(&Options {
        service: true,
        ..Options::default()
    });
    let group = stage
        .work()
        .join("operator/deployment/cleanroom-container-group.json");
    let group: Value = e2e::read_json(&group);
    assert_eq!(group["containers"][0]["command"][2], "service");
    // The sample application has an end, and nobody asked it to.
    let deployed = stage.deploy("group", &[]);
    assert_eq!(deployed.code, Some(76), "{}", deployed.logs());
    let expected = [
        "starting execution of demo-app container",
        "demo-app container terminated with exit code 0",
    ];
    assert_eq!(stage.messages(), expected);
    let input = std::fs::read(stage.work().join("fabrikam/input/input.txt")).unwrap();
    assert!(stage.clear_output() == input);
}
