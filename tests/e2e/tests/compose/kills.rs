//! SIGKILL of each container in turn, before, during and after the application's run: a defined end, a truthful exit
//! code, a reason that names who died, nothing left on this machine, and a next room that works.

use std::os::unix::fs::PermissionsExt;

use e2e::{Deployed, Options, Stage};
use serde_json::json;

use crate::room::Room;
use crate::stage;

const LAUNCHER: &str = "code-launcher";
/// The container that owns the group's network.
const GROUP: &str = "group";
/// Ends before the others begin.
const INIT: &str = "init";
/// Every container that runs as long as the room does.
const LASTING: [&str; 11] = [
    GROUP,
    LAUNCHER,
    "identity",
    "fabrikam-input-blobfuse",
    "fabrikam-output-blobfuse",
    "application-telemetry-blobfuse",
    "infrastructure-telemetry-blobfuse",
    "otel-collector",
    "governance",
    "skr-agent",
    "secrets",
];
/// Sinks in the order of their seals.
const SINKS: [&str; 3] = [
    "fabrikam-output",
    "application-telemetry",
    "infrastructure-telemetry",
];

/// The killed container is named, whatever followed from its death.
fn named(deployed: &Deployed, name: &str) {
    let line = format!("container {name} ended with exit code 137");
    assert!(
        deployed.stderr.contains(&line),
        "{name}: {}",
        deployed.stderr
    );
}

fn sealed(deployed: &Deployed) -> Vec<&'static str> {
    let log = deployed.log(LAUNCHER);
    let said = |sink: &&str| {
        let sink = format!("\"sink\":\"{sink}");
        log.lines()
            .any(|line| line.contains(&sink) && line.contains("\"sealed\""))
    };
    SINKS.into_iter().filter(said).collect()
}

/// A room that nothing happens to; the killed ones before it left nothing that hinders.
fn the_next_room_works(stage: &Stage) {
    let deployed = stage.deploy("next", &[]);
    assert_eq!(deployed.code, Some(0), "{}", deployed.logs());
    assert_eq!(sealed(&deployed), SINKS);
    let input = std::fs::read(stage.work().join("fabrikam/input/input.txt")).unwrap();
    assert!(stage.clear_output() == input, "another output");
}

#[test]
fn a_container_killed_before_the_run_ends_the_room_with_a_reason_and_the_next_room_works() {
    let stage = stage(Options::default());
    init_killed(&stage);
    // No key comes before everybody runs, so whoever is killed still had everything to do.
    stage.upset(&json!({"service": "maa", "path_contains": "/attest", "kind": {"delay": 8000}, "times": 1_000_000}));
    for name in LASTING {
        let room = Room::start(&stage, &format!("before-{name}"));
        room.until_running(&LASTING);
        room.kill(name);
        let deployed = room.end();
        let expected = match name {
            LAUNCHER | GROUP => 137,
            // The application runs without them; what they had to do at its end is lost.
            "application-telemetry-blobfuse"
            | "infrastructure-telemetry-blobfuse"
            | "otel-collector" => 74,
            _ => 1,
        };
        assert_eq!(deployed.code, Some(expected), "{name}: {}", deployed.logs());
        let ran = expected == 74;
        assert_eq!(deployed.outcome["boot_ms"].is_u64(), ran, "{name}");
        named(&deployed, name);
    }
    stage.calm();
    the_next_room_works(&stage);
}

/// `init` ends within milliseconds: it is killed in a start that gives it a thousandth of a processor.
fn init_killed(stage: &Stage) {
    let tools = stage.work().join("tools");
    std::fs::create_dir(&tools).unwrap();
    let slow = json!({"services": {INIT: {"cpu_period": 1_000_000, "cpu_quota": 1000}}});
    std::fs::write(tools.join("slow.json"), slow.to_string()).unwrap();
    let compose = tools.join("docker-compose");
    // After the project's name and the deployment's own document.
    let text = "#!/usr/bin/env bash\nset -euo pipefail\nhere=$(dirname \"$0\")\nexport PATH=${PATH//$here:/}\n\
        exec docker-compose \"${@:1:4}\" --file \"$here/slow.json\" \"${@:5}\"\n";
    std::fs::write(&compose, text).unwrap();
    std::fs::set_permissions(&compose, std::fs::Permissions::from_mode(0o755)).unwrap();
    let room = Room::start_with_tools(stage, &format!("before-{INIT}"), &tools);
    room.until_running(&[INIT]);
    room.kill(INIT);
    let deployed = room.end();
    assert_eq!(deployed.code, Some(1), "{}", deployed.stderr);
    assert!(deployed.stderr.contains(INIT), "{}", deployed.stderr);
    assert!(stage.messages().is_empty());
}

#[test]
fn a_container_killed_during_the_run_never_ends_in_success_and_leaves_no_mount() {
    let stage = stage(Options {
        input_name: Some("other.txt"),
        ..Options::default()
    });
    for name in LASTING {
        let room = Room::start(&stage, &format!("during-{name}"));
        room.until_started();
        assert!(room.is_done(INIT), "there is no init to kill any more");
        room.kill(name);
        let (by_itself, expected) = match name {
            // With its network, the group ends at once.
            LAUNCHER | GROUP => (true, 137),
            // The application is stopped, and its end told in the telemetry sink instead of the ledger.
            "governance" => (true, 75),
            // The application meets an error and ends.
            "fabrikam-input-blobfuse" => (true, 2),
            "fabrikam-output-blobfuse"
            | "application-telemetry-blobfuse"
            | "infrastructure-telemetry-blobfuse"
            | "otel-collector" => (false, 74),
            // Their work is done: every sink is sealed, and the code is that of the application, which is killed.
            _ => (false, 137),
        };
        if !by_itself {
            // The application waits on; the operator ends it, and what was lost shows.
            room.terminate();
        }
        let deployed = room.end();
        assert_eq!(deployed.code, Some(expected), "{name}: {}", deployed.logs());
        named(&deployed, name);
        match name {
            "governance" => told_in_the_telemetry_sink(&stage, &deployed),
            LAUNCHER | GROUP => {}
            _ if expected != 74 => assert_eq!(sealed(&deployed), SINKS, "{name}"),
            _ => {}
        }
    }
}

/// What the ledger did not get is in the telemetry that litware downloads.
fn told_in_the_telemetry_sink(stage: &Stage, deployed: &Deployed) {
    let folder = stage.telemetry("telemetry", "infrastructure-telemetry");
    let events = std::fs::read_to_string(folder.join("undelivered-events.jsonl"));
    let events = events.unwrap_or_else(|error| panic!("{error}: {}", deployed.logs()));
    let told = events
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .any(|event| {
            event["scope"] == ""
                && event["message"] == "demo-app container terminated with exit code 137"
                && event["contract_id"] == "collab1"
                && event["code"] == "CR-HTTP-0016"
        });
    assert!(told, "{events}");
}

#[test]
fn a_container_killed_after_the_run_ends_in_what_was_lost() {
    let stage = stage(Options::default());
    for name in LASTING {
        // The exit event is committed, and neither logs nor telemetry are exported yet.
        stage.upset(&json!({"service": "cgs", "path_contains": "consentcheck/logging", "kind": {"delay": 6000}, "times": 1}));
        let room = Room::start(&stage, &format!("after-{name}"));
        room.until_said("the exit event is committed");
        assert!(room.is_done(INIT), "there is no init to kill any more");
        room.kill(name);
        let deployed = room.end();
        stage.calm();
        let expected = match name {
            LAUNCHER | GROUP => 137,
            // Exports that were agreed, or would have been, are lost.
            "application-telemetry-blobfuse"
            | "infrastructure-telemetry-blobfuse"
            | "governance" => 74,
            // Their work is done: it makes no difference.
            _ => 0,
        };
        assert_eq!(deployed.code, Some(expected), "{name}: {}", deployed.logs());
        named(&deployed, name);
        assert_eq!(sealed(&deployed)[0], SINKS[0], "{name}");
        if expected == 0 {
            assert_eq!(sealed(&deployed), SINKS, "{name}");
        }
    }
    the_next_room_works(&stage);
}
