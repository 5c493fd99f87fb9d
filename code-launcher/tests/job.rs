//! The job profile, from consent to the last stop. Needs root, FUSE and crun.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

mod room;

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use room::{Room, SHIMS, finish};
use serde_json::json;

const START: &str = "starting execution of demo-app container";

fn end(code: u8) -> String {
    format!("demo-app container terminated with exit code {code}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_under_consent_and_ends_with_everything_sealed_and_stopped() {
    let room = Room::new().await;
    room.peers.disable("telemetry");
    let ended = room.run(&["copy"], &[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(
        room.stored("output", "output.txt").unwrap(),
        b"DATA OF LITWARE"
    );
    // The default scope tells the run and nothing else.
    assert_eq!(room.peers.events(""), [START.to_owned(), end(0)]);
    let log = room
        .stored("application-telemetry", "demo-app.log")
        .unwrap();
    let log = String::from_utf8(log).unwrap();
    let mut lines: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(_, rest)| rest)
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, ["stderr F written", "stdout F read 15 bytes"]);
    // What the parties did not agree to export stays, and the refusal is on record.
    assert_eq!(
        room.stored("infrastructure-telemetry", "identity.traces.jsonl"),
        None
    );
    assert_eq!(room.peers.events("refusal").len(), 1);

    let journal = room.peers.journal();
    let at = |what: &str| {
        let found = journal.iter().position(|seen| seen.starts_with(what));
        found.unwrap_or_else(|| panic!("{what} is not in {journal:#?}"))
    };
    let order = [
        at("consent execution"),
        at(&format!("event : {START}")),
        at("seal output"),
        at(&format!("event : {}", end(0))),
        at("consent logging"),
        at("seal application-telemetry"),
        at("stop governance"),
    ];
    assert!(order.is_sorted(), "{journal:#?}");
    // Before the pull, before the start, and now and then between them.
    let asked = journal.iter().take(at(&format!("event : {START}")));
    assert!(asked.filter(|seen| *seen == "consent execution").count() >= 2);
    let stopped = journal
        .iter()
        .filter(|seen| seen.starts_with("stop "))
        .count();
    assert_eq!(stopped, 5 + SHIMS.len());

    let exit = room.json("scratch/exit.json");
    assert_eq!(exit["exit_code"], json!(0));
    let phases = room.json("scratch/timeline.json");
    let began = phases["launcher_started"].as_u64().unwrap();
    assert!(phases["application_started"].as_u64().unwrap() >= began);
    assert!(ended.stderr.contains("boot_timeline"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_applications_exit_code_is_the_rooms_and_is_on_record() {
    let room = Room::new().await;
    let ended = room.run(&["exit", "3"], &[]).await;
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert_eq!(room.peers.events(""), [START.to_owned(), end(3)]);
    let copied = room.stored("infrastructure-telemetry", "identity.traces.jsonl");
    assert_eq!(copied.unwrap(), b"{}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_consent_nothing_is_pulled_and_nothing_runs() {
    let room = Room::new().await;
    let pushed = room.world.requests("registry").len();
    room.peers.disable("execution");
    let ended = room.run(&["copy"], &[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("CR-GOV-0020"), "{}", ended.stderr);
    assert_eq!(room.world.requests("registry").len(), pushed);
    assert!(room.peers.events("").is_empty());
    assert!(!room.path("scratch/rootfs").exists());
    // The room ends all the same.
    assert!(room.peers.when("stop governance").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_ran_nothing_ends_soon_whatever_its_services_do() {
    let room = Room::new().await;
    for scope in ["execution", "logging", "telemetry"] {
        room.peers.disable(scope);
    }
    room.peers.let_events_hang();
    let began = Instant::now();
    assert_eq!(room.run(&["copy"], &[]).await.code, Some(1));
    assert!(began.elapsed() < Duration::from_secs(25));
    assert!(room.peers.when("stop governance").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawn_consent_ends_the_application_within_five_seconds() {
    let room = Room::new().await;
    let launcher = room.start(&["wait"], &[]);
    room.started().await;
    let withdrawn = Instant::now();
    room.peers.disable("execution");
    let ended = finish(launcher).await;
    assert_eq!(ended.code, Some(137), "{}", ended.stderr);
    let sealed = room.peers.when("seal output").unwrap();
    assert!(sealed.duration_since(withdrawn) < Duration::from_secs(5));
    assert_eq!(room.peers.events(""), [START.to_owned(), end(137)]);
    assert!(room.peers.events("refusal")[0].contains("ContractDisabled"));
    // Signals must reach the application: none is blocked where it starts.
    let log = std::fs::read_to_string(room.path("telemetry/application/demo-app.log")).unwrap();
    assert!(log.contains("SigBlk:\t0000000000000000"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_that_nobody_confirms_ends_the_application() {
    let room = Room::new().await;
    let launcher = room.start(&["wait"], &["--max-staleness", "3"]);
    room.started().await;
    let silent = Instant::now();
    room.peers.fall_silent();
    let ended = finish(launcher).await;
    assert_eq!(ended.code, Some(137), "{}", ended.stderr);
    let sealed = room.peers.when("seal output").unwrap();
    let waited = sealed.duration_since(silent);
    assert!(waited < Duration::from_secs(6), "{waited:?}");
    assert!(waited > Duration::from_secs(1), "{waited:?}");
    assert!(room.peers.events("refusal")[0].contains("not confirmed for 3 s"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_asked_to_stop_seals_and_tells_before_it_ends() {
    let room = Room::new().await;
    let launcher = room.start(&["wait"], &["--stop-grace", "1"]);
    room.started().await;
    let probe = room.run(&["wait"], &["--probe"]).await;
    assert_eq!(probe.code, Some(0), "{}", probe.stderr);
    let pid = i32::try_from(launcher.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    let ended = finish(launcher).await;
    assert_eq!(ended.code, Some(137), "{}", ended.stderr);
    assert!(room.peers.when("seal output").is_some());
    assert_eq!(room.peers.events(""), [START.to_owned(), end(137)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_is_not_durable_never_ends_with_success() {
    let room = Room::new().await;
    room.peers.break_sink("output");
    assert_eq!(room.run(&["copy"], &[]).await.code, Some(74));

    let room = Room::new().await;
    room.peers.break_sink("application-telemetry");
    assert_eq!(room.run(&["exit", "3"], &[]).await.code, Some(74));
    assert_eq!(room.json("scratch/exit.json")["exit_code"], json!(74));

    let room = Room::new().await;
    room.peers.lose_telemetry();
    assert_eq!(room.run(&["copy"], &[]).await.code, Some(74));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_event_without_commit_has_an_exit_code_of_its_own() {
    let room = Room::new().await;
    room.peers.refuse_events_with("terminated");
    let ended = room.run(&["copy"], &["--exit-commit-deadline", "1"]).await;
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    assert!(room.stored("output", "output.txt").is_some());
    // The event is in the telemetry sink, beside the telemetry that the parties agreed to.
    let undelivered = room.undelivered();
    assert_eq!(undelivered.len(), 1, "{undelivered:?}");
    assert_eq!(undelivered[0]["message"], end(0));
    assert_eq!(undelivered[0]["code"], "CR-GOV-0009");
    let sink = "infrastructure-telemetry";
    assert!(room.stored(sink, "identity.traces.jsonl").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_governance_sidecar_that_ended_ends_the_room_with_75_and_its_events_in_the_telemetry_sink()
 {
    let room = Room::new().await;
    // Waiting for the commit, or for consent to go stale, would outlast the test's patience.
    let launcher = room.start(&["wait"], &["--max-staleness", "3600"]);
    room.started().await;
    room.peers.end_governance();
    let ended = finish(launcher).await;
    assert_eq!(ended.code, Some(75), "{}", ended.stderr);
    assert!(room.peers.when("seal output").is_some());
    assert_eq!(room.peers.events(""), [START]);
    let undelivered = room.undelivered();
    let exit: Vec<_> = undelivered.iter().filter(|e| e["scope"] == "").collect();
    assert_eq!(exit.len(), 1, "{undelivered:?}");
    assert_eq!(exit[0]["message"], end(137));
    assert_eq!(exit[0]["contract_id"], "c1");
    assert_eq!(exit[0]["code"], "CR-HTTP-0016");
    let told = |scope: &str, words: &str| {
        undelivered.iter().any(|event| {
            event["scope"] == scope && event["message"].as_str().unwrap().contains(words)
        })
    };
    assert!(told("dataset", "output sealed"), "{undelivered:?}");
    assert!(told("refusal", "cannot be confirmed any more"));
    // Nobody can say that the parties agree: neither logs nor telemetry leave.
    assert!(told("refusal", "consent to logging is unknown"));
    assert!(told("refusal", "consent to telemetry is unknown"));
    assert_eq!(room.stored("application-telemetry", "demo-app.log"), None);
    let telemetry = room.stored("infrastructure-telemetry", "identity.traces.jsonl");
    assert_eq!(telemetry, None);
    assert!(room.peers.when("stop identity").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_that_failed_for_good_ends_the_room_with_its_shims_own_reason() {
    let room = Room::new().await;
    // A manifest that is not the one of the contract.
    room.peers.fail_shim("input", "CR-FORMAT-0030");
    let ended = room.run(&["copy"], &[]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("CR-FORMAT-0030"), "{}", ended.stderr);
    let told = room.peers.events("dataset");
    assert_eq!(told[0], "input is not used: CR-FORMAT-0030");
    let reason = "failed: mount: no such container";
    assert!(ended.stderr.contains(reason), "{}", ended.stderr);
    assert!(room.peers.events("").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_that_is_never_ready_is_told_like_one_that_failed() {
    let room = Room::new().await;
    room.peers.let_shim_wait("input");
    let ended = room.run(&["copy"], &["--start-deadline", "1"]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let told = room.peers.events("dataset");
    // Its own deadline comes before the room's, which names nobody.
    assert!(told[0].starts_with("input is not used: CR-"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_what_the_contract_pins_is_refused_and_the_parties_read_it_in_the_ledger()
 {
    let room = Room::new().await;
    room.stores[0].tamper("input.txt", |blob| blob[0] ^= 1);
    let ended = room.run(&["copy"], &[]).await;
    // The application's own error: its read failed.
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let log = room
        .stored("application-telemetry", "demo-app.log")
        .unwrap();
    let log = String::from_utf8(log).unwrap();
    assert!(log.contains("os error 5"), "{log}");
    let told = room.peers.events("dataset");
    let refused = "input: files refused: CR-FORMAT-0032 ";
    let file = told.iter().find_map(|told| told.strip_prefix(refused));
    let file = file.unwrap_or_else(|| panic!("{told:#?}"));
    assert_eq!(file.len(), 32, "no name: {file}");
    assert_eq!(
        told.iter().filter(|told| told.starts_with(refused)).count(),
        1
    );
    // Before the exit event: whoever waits for that has read it.
    let journal = room.peers.journal();
    let at = |what: &str| journal.iter().position(|seen| seen.starts_with(what));
    assert!(at("event dataset: input: files refused") < at(&format!("event : {}", end(2))));
    assert_eq!(room.peers.events(""), [START.to_owned(), end(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_governance_sidecar_that_ends_before_the_start_ends_the_wait_for_everybody_else() {
    let room = Room::new().await;
    room.peers.let_shim_wait("input");
    let launcher = room.start(&["copy"], &[]);
    room.peers.until_asked("consent execution").await;
    room.peers.end_governance();
    let ended = finish(launcher).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("CR-HTTP-0016"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("CR-LAUNCH-0004"), "{}", ended.stderr);
    assert_eq!(room.stored("output", "output.txt"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_is_cut_at_its_cap_in_bounded_memory_and_the_exit_code_is_kept() {
    const MIB: u64 = 1 << 20;
    let room = Room::new().await;
    // 128 MiB in two lines without an end; keeping either of them would not fit.
    let launcher = room.start_within(64 * MIB, &["flood", "64"], &[]);
    let ended = finish(launcher).await;
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert_eq!(room.peers.events(""), [START.to_owned(), end(3)]);
    let [new, old] = ["demo-app.log", "demo-app.log.1"].map(|name| {
        let log = room.stored("application-telemetry", name).unwrap();
        assert!(log.len() as u64 <= 16 * MIB, "{name}: {}", log.len());
        log
    });
    assert!(old.len() as u64 > 15 * MIB);
    let note = String::from_utf8_lossy(&new[..200]).into_owned();
    let (_, rest) = note
        .split_once(" stderr F [code-launcher: ")
        .unwrap_or_else(|| panic!("{note}"));
    let dropped: u64 = rest.split_once(' ').unwrap().0.parse().unwrap();
    assert!(
        dropped + (new.len() + old.len()) as u64 > 128 * MIB,
        "{note}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_event_without_commit_means_no_start() {
    let room = Room::new().await;
    room.peers.refuse_events_with("starting execution");
    let ended = room.run(&["copy"], &[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("CR-GOV-0009"), "{}", ended.stderr);
    assert_eq!(room.stored("output", "output.txt"), None);
    assert!(room.peers.events("").is_empty());
    // The ledger may have it all the same, so it has what became of it.
    let told = room.peers.events("launcher");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("was not started"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_that_ends_while_the_start_event_is_committed_means_no_start() {
    let room = Room::new().await;
    room.peers.withdraw_with("starting execution");
    let ended = room.run(&["copy"], &[]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("CR-GOV-0020"), "{}", ended.stderr);
    assert_eq!(room.stored("output", "output.txt"), None);
    assert_eq!(room.peers.events(""), [START.to_owned()]);
    let told = room.peers.events("launcher");
    assert!(told[0].contains("was not started"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_runs_its_application_once() {
    let room = Room::new().await;
    assert_eq!(room.run(&["copy"], &[]).await.code, Some(0));
    let ended = room.run(&["copy"], &[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("CR-LAUNCH-0008"), "{}", ended.stderr);
    assert_eq!(room.peers.events("").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_changed_on_the_wire_is_never_unpacked() {
    let room = Room::new().await;
    room.world.services().registry.corrupt_blob(room.layer());
    let ended = room.run(&["copy"], &[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("CR-LAUNCH-0006"), "{}", ended.stderr);
    assert!(!room.path("scratch/rootfs/application").exists());
    assert!(room.peers.events("").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_that_is_not_its_shims_is_not_used() {
    let room = Room::new().await;
    room.peers.let_shims_lie();
    let ended = room.run(&["copy"], &[]).await;
    assert!(ended.stderr.contains("CR-LAUNCH-0003"), "{}", ended.stderr);
    assert!(room.peers.events("").is_empty());

    // A folder that the host put in place of the mount, with the right file in it, is no FUSE file system.
    let room = Room::new().await;
    nix::mount::umount2(&room.path("remote/input"), nix::mount::MntFlags::MNT_DETACH).unwrap();
    std::fs::create_dir_all(room.path("remote/input/.cleanroom")).unwrap();
    std::fs::write(room.path("remote/input/.cleanroom/nonce"), "0").unwrap();
    let ended = room.run(&["copy"], &[]).await;
    assert!(
        ended.stderr.contains("no FUSE file system"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_cannot_be_made_is_no_start() {
    let room = Room::new().await;
    let ended = room
        .run(&["copy"], &["--oci-runtime", "/nonexistent"])
        .await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("CR-LAUNCH-0010"), "{}", ended.stderr);
    assert!(room.peers.events("").is_empty());
}
