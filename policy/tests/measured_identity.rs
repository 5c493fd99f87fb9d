//! A uid is an identity that is measured: the policy lets a container start as its own user only, and the sockets of the others
//! answer nobody else. Here with the kernel between them: callers are processes of those users.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use axum::routing::get;
use common::{group, planned, refused, text};
use policy::emit::cce::CceOptions;
use sidecar_http::services::{self, Service};
use sidecar_http::{Callers, Limits, Routes, bind_unix, serve_unix};
use tokio_util::sync::CancellationToken;

/// Those that start as the user they stay.
const SERVICES: [Service; 4] = [
    services::SECRETS,
    services::IDENTITY,
    services::GOVERNANCE,
    services::OTEL_COLLECTOR,
];

/// Asks a socket as a user; the HTTP status.
async fn ask_as(uid: u32, socket: &Path) -> String {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
    ]);
    command
        .arg("--unix-socket")
        .arg(socket)
        .arg("http://callee/");
    command.uid(uid).gid(uid).current_dir("/");
    let output = tokio::task::spawn_blocking(move || command.output());
    String::from_utf8(output.await.unwrap().unwrap().stdout).unwrap()
}

#[tokio::test]
async fn a_changed_uid_is_refused_by_the_policy_and_by_the_sockets() {
    let group = group(false);
    let policy = text(&group, &CceOptions::default());
    assert!(refused(&policy, &planned(&group)).is_empty());
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let stopping = CancellationToken::new();
    for service in &SERVICES {
        let socket = folder.path().join(format!("{}.sock", service.name));
        let callers = Callers::Only(vec![service.uid]);
        let routes = Routes::new().quiet_route("/", get(async || "{}"), callers);
        let listener = bind_unix(&socket).unwrap();
        tokio::spawn(serve_unix(
            listener,
            routes,
            Limits::default(),
            stopping.clone(),
        ));

        let mut containers = planned(&group);
        let container = containers
            .iter_mut()
            .find(|one| one.name == service.name)
            .unwrap();
        assert_eq!(
            (container.user, container.group),
            (service.uid, service.uid)
        );
        assert_eq!(
            ask_as(container.user, &socket).await,
            "200",
            "{}",
            service.name
        );

        for other in [service.uid + 1, 0, services::APPLICATION_UID] {
            let container = containers
                .iter_mut()
                .find(|one| one.name == service.name)
                .unwrap();
            container.user = other;
            let refusals = refused(&policy, &containers);
            let invalid =
                |one: &&policy_simulate::Decision| one.errors.iter().any(|e| e == "invalid user");
            assert!(
                refusals.iter().find(invalid).is_some(),
                "{} {other}: {refusals:?}",
                service.name
            );
            assert_eq!(
                ask_as(other, &socket).await,
                "403",
                "{} {other}",
                service.name
            );
        }
    }
    stopping.cancel();
}

#[tokio::test]
async fn a_shim_becomes_the_user_that_its_measured_command_names() {
    let group = group(false);
    let policy = text(&group, &CceOptions::default());
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let socket = folder.path().join("secrets.sock");
    let stopping = CancellationToken::new();
    let routes = Routes::new().quiet_route("/", get(async || "{}"), Callers::Shims);
    let listener = bind_unix(&socket).unwrap();
    tokio::spawn(serve_unix(
        listener,
        routes,
        Limits::default(),
        stopping.clone(),
    ));
    for (index, name) in ["fabrikam-input-blobfuse", "fabrikam-output-blobfuse"]
        .iter()
        .enumerate()
    {
        let mut containers = planned(&group);
        let shim = containers.iter_mut().find(|one| one.name == *name).unwrap();
        let at = shim
            .command
            .iter()
            .position(|word| word == "--uid")
            .unwrap()
            + 1;
        let uid = services::shim_uid(index).unwrap();
        assert_eq!(shim.command[at], uid.to_string());
        assert_eq!(ask_as(uid, &socket).await, "200");

        shim.command[at] = services::APPLICATION_UID.to_string();
        let refusals = refused(&policy, &containers);
        let command =
            |one: &policy_simulate::Decision| one.errors.iter().any(|e| e == "invalid command");
        assert!(refusals.iter().any(command), "{refusals:?}");
        assert_eq!(ask_as(services::APPLICATION_UID, &socket).await, "403");
    }
    stopping.cancel();
}
