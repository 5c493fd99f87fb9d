//! A container FROM scratch with one binary, no root bundle, no hosts file of ours and no network: the compiled-in
//! roots verify a public service's real certificates, and a name resolves through /etc/resolv.conf alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::containers::docker;

/// A moment at which the recorded certificates were good, and one at which they were not any more.
const GOOD: &str = "2022-06-01T00:00:00Z";
const EXPIRED: &str = "2022-12-17T00:00:00Z";
/// Whose certificates they are.
const HOST: &str = "malegeskrkvhsm.managedhsm.azure.net";

/// An image, and a network without a way out.
struct Scratch {
    image: String,
    network: String,
    peer: Option<String>,
}

impl Scratch {
    fn new(purpose: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (binary, root) = (binary(), folder.path().join("root"));
        std::fs::create_dir(&root).unwrap();
        std::fs::copy(&binary, root.join("from-scratch")).unwrap();
        std::fs::copy(recorded(), root.join("header")).unwrap();
        let archive = folder.path().join("root.tar");
        let packed = Command::new("tar")
            .arg("--create")
            .arg("--file")
            .arg(&archive)
            .arg("--directory")
            .arg(&root)
            .args(["from-scratch", "header"])
            .status();
        assert!(packed.unwrap().success());
        let network = format!("cleanroom-{purpose}-{}", std::process::id());
        docker(&["network", "create", "--internal", &network]);
        Self {
            image: docker(&["import", archive.to_str().unwrap()]),
            network,
            peer: None,
        }
    }

    fn run(&self, network: &str, arguments: &[&str]) -> Output {
        Command::new("docker")
            .args(["run", "--rm", "--read-only", "--cap-drop", "ALL"])
            .args(["--user", "65534:65534", "--network", network])
            .args([&self.image, "/from-scratch"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn verify(&self, host: &str, when: &str) -> Output {
        self.run("none", &["verify", "/header", host, when])
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Whatever was made, each on its own.
        let remove = |arguments: &[&str]| {
            let _ = Command::new("docker").args(arguments).output();
        };
        if let Some(peer) = &self.peer {
            remove(&["rm", "--force", peer]);
        }
        remove(&["network", "rm", &self.network]);
        remove(&["rmi", "--force", &self.image]);
    }
}

fn binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(2).unwrap().join("from-scratch")
}

/// `x5c` of a real release of a managed HSM: leaf of its TLS endpoint, intermediate, root.
fn recorded() -> PathBuf {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors");
    vectors.join("keyvault/mhsm-release-header.b64url")
}

fn said(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&said).into_owned()
}

#[test]
fn a_public_certificate_is_verified_from_scratch_with_the_compiled_in_roots() {
    let scratch = Scratch::new("verify");
    let good = scratch.verify(HOST, GOOD);
    assert!(good.status.success(), "{}", said(&good));
    let verdict: Value = serde_json::from_slice(&good.stdout).unwrap();
    // The roots of every sidecar's client, and those of the launcher's registry client.
    assert_eq!(verdict["sidecars"], "good");
    assert_eq!(verdict["registry"], "good");
    // There is nothing else to believe.
    let files = verdict["files"].as_array().unwrap();
    assert!(files.iter().all(|name| name != "ssl"), "{files:?}");
    assert!(
        files.iter().all(|name| name != "nsswitch.conf"),
        "{files:?}"
    );

    for (host, when, reason) in [
        ("litware.managedhsm.azure.net", GOOD, "NotValidForName"),
        (HOST, EXPIRED, "Expired"),
        (HOST, "2021-12-20T00:00:00Z", "NotValidYet"),
    ] {
        let refused = scratch.verify(host, when);
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains(reason), "{}", said(&refused));
    }
}

#[test]
fn a_name_resolves_from_scratch_through_resolv_conf_alone() {
    let mut scratch = Scratch::new("resolve");
    let name = "litwarekv.vault.azure.net";
    let before = scratch.run(&scratch.network, &["resolve", name]);
    assert_eq!(before.status.code(), Some(1), "{}", said(&before));

    let network = scratch.network.clone();
    let peer = docker(&[
        "run",
        "--detach",
        "--network",
        &network,
        "--network-alias",
        name,
        &scratch.image,
        "/from-scratch",
        "wait",
    ]);
    scratch.peer = Some(peer.clone());
    let address = docker(&[
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        &peer,
    ]);
    let resolved = scratch.run(&network, &["resolve", name]);
    assert!(resolved.status.success(), "{}", said(&resolved));
    let answer: Value = serde_json::from_slice(&resolved.stdout).unwrap();
    assert_eq!(answer["addresses"], serde_json::json!([address]));
    assert_eq!(answer["in_hosts_file"], false);
}
