//! The same job with every sidecar in its own container, under docker-compose.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use e2e::{Deployed, Options, Stage};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

const STARTED: &str = "starting execution of demo-app container";
/// Of one run, whatever was killed: the launcher's own deadline for a start is 120 s.
const DEFINED_END: Duration = Duration::from_secs(160);

fn stage(options: Options) -> Stage {
    Stage::prepare(&Options {
        compose: true,
        ..options
    })
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker")
        .args(arguments)
        .output()
        .expect("docker");
    assert!(
        output.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Between two questions to the daemon, each bounded by [`DEFINED_END`].
#[expect(
    clippy::disallowed_methods,
    reason = "the deployment's document and another party's log have no notification"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(100));
}

/// The Docker project of a group, from the document that the deployment wrote.
fn project(stage: &Stage, group: &str) -> Option<String> {
    let context = stage.work().join("operator").join(group);
    let text = std::fs::read_to_string(context.join("docker-compose.yml")).ok()?;
    let document: Value = serde_json::from_str(&text).ok()?;
    let target = document["services"]["governance"]["environment"]["UVM_SECURITY_CONTEXT_DIR"]
        .as_str()?
        .to_owned();
    Some(format!("cleanroom-{}", target.rsplit('-').next()?))
}

fn containers(project: &str, service: Option<&str>) -> Vec<String> {
    let mut arguments = vec!["ps".to_owned(), "--all".to_owned(), "--quiet".to_owned()];
    arguments.push("--filter".to_owned());
    arguments.push(format!("label=com.docker.compose.project={project}"));
    if let Some(service) = service {
        arguments.push("--filter".to_owned());
        arguments.push("status=running".to_owned());
        arguments.push("--filter".to_owned());
        arguments.push(format!("label=com.docker.compose.service={service}"));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    docker(&arguments).lines().map(str::to_owned).collect()
}

/// Nothing of a group is left on this machine: no container, no mount.
fn nothing_left(stage: &Stage, group: &str) {
    let name = project(stage, group).unwrap();
    assert_eq!(containers(&name, None), Vec::<String>::new());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let volumes = stage.work().join("operator").join(group).join("volumes");
    let volumes = volumes.display().to_string();
    assert!(!mounts.contains(&volumes), "{mounts}");
}

/// What docker-compose makes of a document.
fn config_of(file: &Path) -> Output {
    Command::new("docker-compose")
        .arg("--file")
        .arg(file)
        .args(["config", "--quiet"])
        .output()
        .unwrap()
}

#[test]
fn the_job_in_containers_gives_what_the_job_in_processes_gives() {
    let stage = stage(Options::default());
    let deployed = stage.deploy("group", &[]);
    assert_eq!(
        deployed.code,
        Some(0),
        "{}{}",
        deployed.stderr,
        deployed.logs()
    );
    assert!(deployed.outcome["boot_ms"].is_u64(), "{}", deployed.outcome);
    let input = std::fs::read(stage.work().join("fabrikam/input/input.txt")).unwrap();
    assert!(stage.clear_output() == input);
    e2e::no_secrets(&stage, &deployed);
    assert_eq!(
        stage.messages(),
        [STARTED, "demo-app container terminated with exit code 0"]
    );
    nothing_left(&stage, "group");

    // The document that ran: valid for docker-compose's copy of the Compose Specification schema, and nothing privileged.
    let file = deployed.group.join("docker-compose.yml");
    let config = config_of(&file);
    assert!(
        config.status.success(),
        "{}",
        String::from_utf8_lossy(&config.stderr)
    );
    let document: Value = e2e::read_json(&file);
    let mut damaged = document.clone();
    damaged["services"]["governance"]["capabilities"] = json!(["ALL"]);
    let damaged_file = deployed.group.join("damaged.yml");
    std::fs::write(&damaged_file, damaged.to_string()).unwrap();
    let config = config_of(&damaged_file);
    assert!(!config.status.success(), "the schema refuses nothing");
    for (name, service) in document["services"].as_object().unwrap() {
        assert!(service.get("privileged").is_none(), "{name}");
        assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        assert_eq!(service["read_only"], json!(true), "{name}");
        // Names resolve through /etc/resolv.conf alone: nobody is given the emulators' addresses.
        assert!(service.get("extra_hosts").is_none(), "{name}");
    }
    assert_eq!(
        document["services"]["governance"]["network_mode"],
        json!("service:group")
    );
}

#[test]
fn what_is_refused_in_processes_is_refused_in_containers() {
    let stage = stage(Options::default());
    // A changed group.
    let accepted = stage
        .work()
        .join("operator/deployment/cleanroom-container-group.json");
    let mut group: Value = e2e::read_json(&accepted);
    group["containers"][0]["env"]["X"] = json!("1");
    std::fs::write(
        stage.work().join("operator/changed.json"),
        group.to_string(),
    )
    .unwrap();
    let refused = stage.deploy("changed", &["--template-file", "changed.json"]);
    assert_eq!(refused.code, Some(1), "{}", refused.logs());
    let log = refused.log("governance") + &refused.log("identity") + &refused.log("code-launcher");
    assert!(log.contains("x-ms-sevsnpvm-hostdata"), "{}", refused.logs());
    assert!(stage.messages().is_empty());
    nothing_left(&stage, "changed");

    // A sink that cannot be committed.
    stage.upset(&json!({
        "service": "blob", "path_contains": "/fabrikam-output/", "method": "PUT", "kind": {"status": 403}, "times": 100_000,
    }));
    let lost = stage.deploy("lost", &[]);
    assert_eq!(lost.code, Some(74), "{}", lost.logs());
    nothing_left(&stage, "lost");
    stage.calm();

    // No consent.
    stage.consent("disable");
    let refused = stage.deploy("refused", &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.logs());
    assert!(refused.codes("code-launcher").contains("CR-GOV-0020"));

    // The twin of all three.
    stage.consent("enable");
    let deployed = stage.deploy("group", &[]);
    assert_eq!(deployed.code, Some(0), "{}", deployed.logs());
}

/// A deployment whose application waits for an input that never comes.
struct Running<'a> {
    stage: &'a Stage,
    group: String,
    child: Child,
    project: String,
    began: Instant,
}

impl<'a> Running<'a> {
    fn start(stage: &'a Stage, group: String) -> Self {
        let child = stage.start(&group, &[]);
        let began = Instant::now();
        let project = loop {
            if let Some(project) = project(stage, &group) {
                break project;
            }
            assert!(began.elapsed() < DEFINED_END, "no document");
            pause();
        };
        Self {
            stage,
            group,
            child,
            project,
            began,
        }
    }

    fn until_running(&self, service: &str) -> String {
        loop {
            if let Some(id) = containers(&self.project, Some(service)).pop() {
                return id;
            }
            assert!(
                self.began.elapsed() < DEFINED_END,
                "{service} does not start"
            );
            pause();
        }
    }

    fn until_started(&self, before: usize) {
        while self.stage.messages().len() <= before {
            assert!(
                self.began.elapsed() < DEFINED_END,
                "the application does not start"
            );
        }
    }

    fn kill(&self, service: &str) {
        docker(&["kill", "--signal", "KILL", &self.until_running(service)]);
    }

    /// Until the launcher has said something.
    fn until_said(&self, words: &str) {
        let launcher = self.until_running("code-launcher");
        loop {
            let output = Command::new("docker").args(["logs", &launcher]).output();
            let output = output.expect("docker");
            let said = [output.stdout, output.stderr].concat();
            if String::from_utf8_lossy(&said).contains(words) {
                return;
            }
            assert!(self.began.elapsed() < DEFINED_END, "nobody says {words}");
            pause();
        }
    }

    fn terminate(&self) {
        kill(e2e::deploy_process(self.child.id()), Signal::SIGTERM).unwrap();
    }

    fn end(self) -> (Deployed, Duration) {
        let deployed = self.stage.finish(&self.group, self.child);
        let took = self.began.elapsed();
        assert!(took < DEFINED_END, "{}: {took:?}", self.group);
        nothing_left(self.stage, &self.group);
        (deployed, took)
    }
}

/// Every container but the one that only holds the namespace and the one that has ended.
const CONTAINERS: [&str; 10] = [
    "code-launcher",
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

#[test]
fn a_container_killed_before_the_run_ends_the_room_with_a_reason_and_the_next_room_works() {
    let stage = stage(Options::default());
    for name in CONTAINERS {
        // The pull takes so long that every container is there and the application is not.
        stage.upset(&json!({"service": "registry", "path_contains": "/manifests/", "kind": {"delay": 8000}, "times": 1}));
        let room = Running::start(&stage, format!("before-{name}"));
        room.kill(name);
        let before = stage.messages().len();
        let (deployed, took) = room.end();
        println!("before {name}: {:?} after {took:?}", deployed.code);
        stage.calm();
        if name == "code-launcher" {
            assert_eq!(deployed.code, Some(137));
        }
        // Either it was needed and nothing was started, or what it still had to do at the end is lost: never 0.
        assert_ne!(deployed.code, Some(0), "{name}: {}", deployed.logs());
        if deployed.code == Some(1) {
            assert_eq!(stage.messages().len(), before, "{name}");
        }
        assert!(
            deployed
                .stderr
                .contains(&format!("container {name} ended with exit code 137")),
            "{name}: {}",
            deployed.stderr
        );
    }
    let deployed = stage.deploy("group", &[]);
    assert_eq!(deployed.code, Some(0), "{}", deployed.logs());
}

#[test]
fn a_container_killed_during_the_run_never_ends_in_success_and_leaves_no_mount() {
    let stage = stage(Options {
        input_name: Some("other.txt"),
        ..Options::default()
    });
    for name in CONTAINERS {
        let before = stage.messages().len();
        let room = Running::start(&stage, format!("during-{name}"));
        room.until_started(before);
        room.kill(name);
        if name != "code-launcher" {
            // The application waits on; the operator ends it, and what was lost shows.
            room.terminate();
        }
        let (deployed, took) = room.end();
        println!("during {name}: {:?} after {took:?}", deployed.code);
        assert_ne!(deployed.code, Some(0), "{name}: {}", deployed.logs());
        let expected = match name {
            "code-launcher" => Some(137),
            "fabrikam-output-blobfuse"
            | "application-telemetry-blobfuse"
            | "infrastructure-telemetry-blobfuse"
            | "otel-collector" => Some(74),
            _ => deployed.code,
        };
        assert_eq!(deployed.code, expected, "{name}: {}", deployed.logs());
        assert!(
            deployed
                .stderr
                .contains(&format!("container {name} ended with exit code 137")),
            "{name}: {}",
            deployed.stderr
        );
    }
}

#[test]
fn a_container_killed_after_the_run_ends_in_what_was_lost() {
    let stage = stage(Options {
        input_name: Some("other.txt"),
        ..Options::default()
    });
    for (name, expected) in [
        ("code-launcher", 137),
        // Sealed already: nothing is lost, and the killed application's own code is the room's.
        ("fabrikam-output-blobfuse", 137),
        ("application-telemetry-blobfuse", 74),
        ("infrastructure-telemetry-blobfuse", 74),
        ("otel-collector", 74),
    ] {
        let before = stage.messages().len();
        let room = Running::start(&stage, format!("after-{name}"));
        room.until_started(before);
        // The exit event takes so long that everything after the application's end is still to come.
        stage.upset(&json!({"service": "cgs", "path_contains": "/events", "method": "PUT", "kind": {"delay": 6000}, "times": 1}));
        room.terminate();
        room.until_said("\"sink\":\"fabrikam-output\"");
        room.kill(name);
        let (deployed, took) = room.end();
        println!("after {name}: {:?} after {took:?}", deployed.code);
        stage.calm();
        assert_eq!(deployed.code, Some(expected), "{name}: {}", deployed.logs());
    }
}
