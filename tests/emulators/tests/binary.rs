//! `azure-emulator` as other processes meet it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use emulators::world::WorldConfig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Starts a world and waits for its line.
fn start(dir: &Path) -> Child {
    let config = dir.join("config.json");
    std::fs::write(
        &config,
        serde_json::to_vec(&WorldConfig::two_parties()).unwrap(),
    )
    .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_azure-emulator"))
        .arg("--config")
        .arg(&config)
        .arg("--data-dir")
        .arg(dir.join("data"))
        .arg("--exit-with-parent")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    child
}

fn read(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join("data").join(name)).unwrap()
}

async fn ping(dir: &Path, description: &serde_json::Value) -> u16 {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(read(dir, "ca.pem").as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([root])
        .no_proxy()
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/v2/", description["port"]);
    client.get(url).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn the_files_it_writes_are_enough_to_reach_it_and_sigterm_ends_it_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start(dir.path());
    let description: serde_json::Value =
        serde_json::from_str(&read(dir.path(), "world.json")).unwrap();
    assert_eq!(ping(dir.path(), &description).await, 200);
    let hosts = read(dir.path(), "hosts");
    for host in description["hosts"].as_array().unwrap() {
        let host = host.as_str().unwrap();
        assert!(hosts.contains(&format!("127.0.0.1 {host}\n")), "{host}");
        let url = description["urls"][host].as_str().unwrap();
        assert_eq!(url, format!("https://{host}:{}/", description["port"]));
    }
    assert!(read(dir.path(), "service_cert.pem").starts_with("-----BEGIN CERTIFICATE-----"));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_stop_over_the_admin_port_ends_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start(dir.path());
    let description: serde_json::Value =
        serde_json::from_str(&read(dir.path(), "world.json")).unwrap();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let plain = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap();
    let url = format!("{}/stop", description["admin_url"].as_str().unwrap());
    assert_eq!(plain.post(url).send().await.unwrap().status().as_u16(), 200);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_configuration_that_is_none_is_refused_before_ready() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config.json");
    std::fs::write(&config, "{}").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_azure-emulator"));
    let ran = command
        .arg("--config")
        .arg(&config)
        .arg("--data-dir")
        .arg(dir.path().join("data"))
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(1));
    assert!(ran.stdout.is_empty());
    assert!(
        String::from_utf8(ran.stderr)
            .unwrap()
            .contains("is no world")
    );
}
