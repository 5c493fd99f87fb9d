//! A source whose files the contract pins, from the owner's upload to the room's audit events, and a storage host that does
//! not keep to it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::collections::BTreeSet;
use std::path::Path;

use e2e::{Options, Stage};
use serde_json::Value;

const INPUT: &str = "input.txt";
const MANIFEST: &str = ".cleanroom/manifest";

/// What the storage host does.
struct Host<'a>(&'a Stage);

impl Host<'_> {
    fn path(name: &str) -> String {
        format!("/blob?account=fabrikamsa&container=fabrikam-input&name={name}")
    }

    /// Puts other bytes under a name, as if nothing had happened.
    fn put(&self, name: &str, bytes: &Path) {
        let bytes = format!("@{}", bytes.display());
        self.0.admin("PUT", &Self::path(name), &bytes);
    }

    fn keep(&self, name: &str) -> std::path::PathBuf {
        let kept = self.0.work().join("kept").join(format!("now-{name}"));
        self.0.fetch(&Self::path(name), &kept);
        kept
    }

    fn remove(&self, name: &str) {
        self.0.admin("DELETE", &Self::path(name), "");
    }
}

/// Lines of the ledger since the last question.
fn news(seen: &mut usize, messages: Vec<String>) -> Vec<String> {
    let news = messages.into_iter().skip(*seen).collect::<Vec<_>>();
    *seen += news.len();
    news
}

#[test]
fn a_pinned_source_is_read_as_it_was_agreed_and_in_no_other_state_that_storage_can_give_it() {
    let stage = Stage::prepare(&Options {
        input_mode: Some("CSE"),
        data: Some("earlier-input"),
        ..Options::default()
    });
    let host = Host(&stage);
    let (mut run, mut told) = (0, 0);

    // What the upload recorded is what the parties signed and what the room's measured command line says.
    let stores = std::fs::read_to_string(stage.work().join("fabrikam/datastores.yaml")).unwrap();
    let recorded = stores
        .lines()
        .find_map(|line| line.trim().strip_prefix("manifestHmac: "))
        .map(|text| text.trim_matches(|c| c == '"' || c == '\''))
        .unwrap();
    assert_eq!(recorded.len(), 64);
    let contract = std::fs::read_to_string(stage.work().join("public/contract.yaml")).unwrap();
    assert_eq!(contract.matches(recorded).count(), 1);
    let group: Value = e2e::read_json(
        &stage
            .work()
            .join("operator/deployment/cleanroom-container-group.json"),
    );
    let group = group.to_string();
    assert!(group.contains(&format!("\"--manifest-hmac\",\"{recorded}\"")));

    let deployed = stage.deploy("group", &[]);
    assert_eq!(deployed.code, Some(0), "{}", deployed.logs());
    let input = std::fs::read(stage.work().join("fabrikam/input/input.txt")).unwrap();
    assert!(stage.clear_output() == input);
    assert_eq!(news(&mut run, stage.messages()).len(), 2);
    let sealed = news(&mut told, stage.messages_of("dataset"));
    assert!(
        !sealed.iter().any(|line| line.contains("fabrikam-input")),
        "{sealed:?}"
    );

    let present = host.keep(INPUT);
    let other = host.keep("other.txt");
    let mut files = BTreeSet::new();
    for attack in ["roll back", "replace", "remove"] {
        match attack {
            "roll back" => host.put(INPUT, &stage.work().join("kept/input.txt")),
            "replace" => host.put(INPUT, &other),
            _ => host.remove(INPUT),
        }
        let refused = stage.deploy(&attack.replace(' ', "-"), &[]);
        // The application's own code for an input that it cannot read; its output was sealed all the same.
        assert_eq!(refused.code, Some(2), "{attack}: {}", refused.logs());
        assert_eq!(
            news(&mut run, stage.messages()),
            [
                "starting execution of demo-app container",
                "demo-app container terminated with exit code 2"
            ],
            "{attack}"
        );
        let logs = stage
            .telemetry("logs", "application-telemetry")
            .join("demo-app.log");
        let logs = std::fs::read_to_string(logs).unwrap();
        let last = logs.lines().last().unwrap();
        assert!(
            last.ends_with("stderr F Input/output error (os error 5)"),
            "{attack}: {logs}"
        );
        let lines = news(&mut told, stage.messages_of("dataset"));
        let refusals: Vec<&String> = lines
            .iter()
            .filter(|line| line.starts_with("fabrikam-input: "))
            .collect();
        assert_eq!(refusals.len(), 1, "{attack}: {lines:?}");
        let (_, finding) = refusals[0].split_once(": files refused: CR-").unwrap();
        let (code, file) = finding.split_once(' ').unwrap();
        let expected = if attack == "remove" {
            "MOUNT-0020"
        } else {
            "FORMAT-"
        };
        assert!(code.starts_with(expected), "{attack}: {code}");
        files.insert(file.to_owned());
        if attack != "remove" {
            host.put(INPUT, &present);
        }
    }
    assert_eq!(
        files.len(),
        1,
        "one file, whatever was done to it: {files:?}"
    );
    assert!(
        !files.iter().any(|file| file.contains(INPUT)),
        "its name stays the owner's"
    );

    // The whole dataset as it once was, manifest and all: the room does not begin.
    host.put(MANIFEST, &stage.work().join("kept/manifest"));
    let refused = stage.deploy("older", &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.logs());
    assert_eq!(news(&mut run, stage.messages()), Vec::<String>::new());
    let lines = news(&mut told, stage.messages_of("dataset"));
    let unused = "fabrikam-input is not used: CR-FORMAT-0030".to_owned();
    assert!(lines.contains(&unused), "{lines:?}");
}
