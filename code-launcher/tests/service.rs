//! What the service profile does otherwise than the job profile. Needs root, FUSE and crun.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

mod room;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use room::{Room, finish};

const SERVICE: [&str; 2] = ["--profile", "service"];
const START: &str = "starting execution of demo-app container";

fn end(code: u8) -> String {
    format!("demo-app container terminated with exit code {code}")
}

async fn asked_to_stop(room: &Room, command: &str, further: &[&str]) -> room::Ended {
    let launcher = room.start(&[command], &[&SERVICE, further].concat());
    room.started().await;
    let pid = i32::try_from(launcher.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    finish(launcher).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_when_it_is_asked_to_is_a_success_with_everything_sealed() {
    let room = Room::new().await;
    let ended = asked_to_stop(&room, "serve", &[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // What it wrote on its way out is durable, and the parties read the same two events.
    assert_eq!(
        room.stored("output", "output.txt").unwrap(),
        b"DATA OF LITWARE"
    );
    assert_eq!(room.peers.events(""), [START.to_owned(), end(0)]);
    let log = room
        .stored("application-telemetry", "demo-app.log")
        .unwrap();
    assert!(String::from_utf8(log).unwrap().contains("serving"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_has_to_be_killed_or_loses_its_output_is_no_success() {
    let room = Room::new().await;
    let ended = asked_to_stop(&room, "wait", &["--stop-grace", "1"]).await;
    assert_eq!(ended.code, Some(137), "{}", ended.stderr);
    assert_eq!(room.peers.events(""), [START.to_owned(), end(137)]);

    let room = Room::new().await;
    room.peers.break_sink("output");
    let ended = asked_to_stop(&room, "serve", &[]).await;
    assert_eq!(ended.code, Some(74), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_by_itself_is_no_success_whatever_its_application_says() {
    let room = Room::new().await;
    let ended = room.run(&["copy"], &SERVICE).await;
    assert_eq!(ended.code, Some(76), "{}", ended.stderr);
    // The record has what the application said, and its output is durable.
    assert_eq!(room.peers.events(""), [START.to_owned(), end(0)]);
    assert!(room.stored("output", "output.txt").is_some());

    let room = Room::new().await;
    assert_eq!(room.run(&["exit", "3"], &SERVICE).await.code, Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_ready_when_its_application_runs_and_not_before() {
    // Nothing comes of the start: nobody gives the first consent.
    for (profile, ready) in [("service", 1), ("job", 0)] {
        let room = Room::new().await;
        room.peers.fall_silent();
        let mut launcher = room.start(&["wait"], &["--profile", profile]);
        let socket = room.path("sockets/code-launcher/code-launcher.sock");
        sidecar_http::wait_for_path(&socket).await.unwrap();
        let probe = room
            .run(&["wait"], &["--profile", profile, "--probe"])
            .await;
        assert_eq!(probe.code, Some(ready), "{profile}: {}", probe.stderr);
        launcher.kill().await.unwrap();
    }

    let room = Room::new().await;
    let launcher = room.start(
        &["wait"],
        &[&SERVICE, ["--stop-grace", "0"].as_slice()].concat(),
    );
    room.started().await;
    let probe = room
        .run(&["wait"], &[&SERVICE, ["--probe"].as_slice()].concat())
        .await;
    assert_eq!(probe.code, Some(0), "{}", probe.stderr);
    let pid = i32::try_from(launcher.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    assert_eq!(finish(launcher).await.code, Some(137));
}
