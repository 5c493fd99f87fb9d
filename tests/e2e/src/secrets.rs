//! What must stand in no log, no telemetry and no file of a deployment.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::{Deployed, Stage};

/// A secret and the bytes to look for.
struct Needle {
    what: String,
    bytes: Vec<u8>,
}

/// No secret of a party, and no token, is in what litware downloaded or in what the operator has of the room: the logs and
/// the documents of its group.
///
/// # Panics
/// One is, or the search itself is blind.
pub fn no_secrets(stage: &Stage, deployed: &Deployed) {
    let needles = needles(stage);
    let mut files = Vec::new();
    for (verb, sink) in [
        ("logs", "application-telemetry"),
        ("telemetry", "infrastructure-telemetry"),
    ] {
        collect(&stage.telemetry(verb, sink), &mut files);
    }
    collect(&deployed.group.join("logs"), &mut files);
    for name in ["plan.json", "docker-compose.yml"] {
        files.extend(Some(deployed.group.join(name)).filter(|path| path.exists()));
    }
    assert!(files.len() > 20, "{files:?}");
    for file in &files {
        let text = std::fs::read(file).expect("a file");
        for needle in &needles {
            assert!(
                memchr::memmem::find(&text, &needle.bytes).is_none(),
                "{} in {}",
                needle.what,
                file.display()
            );
        }
    }
    // The parties' own folders have them, in the same spellings.
    let mut own = Vec::new();
    for party in ["litware", "fabrikam"] {
        collect(&stage.work().join(party).join("secret/keys"), &mut own);
    }
    let found = own.iter().any(|file| {
        let bytes = std::fs::read(file).expect("a key");
        needles
            .iter()
            .any(|needle| memchr::memmem::find(&bytes, &needle.bytes).is_some())
    });
    assert!(found, "the search is blind");
}

fn needles(stage: &Stage) -> Vec<Needle> {
    let mut needles = vec![needle("a private key", b"PRIVATE KEY")];
    // Every token is a JWT; its header begins with one of these members.
    for member in ["alg", "typ", "kid", "jku"] {
        let header = STANDARD.encode(format!("{{\"{member}\":\""));
        needles.push(needle(
            "a token",
            header.get(..8).unwrap_or(&header).as_bytes(),
        ));
    }
    for party in ["litware", "fabrikam", "contosso"] {
        let secret = format!("{party}-demo-secret");
        needles.push(needle("a client secret", secret.as_bytes()));
        let mut keys = Vec::new();
        collect(&stage.work().join(party).join("secret/keys"), &mut keys);
        for file in keys {
            let key = std::fs::read(&file).expect("a data key");
            assert_eq!(key.len(), 32, "{}", file.display());
            let spellings = [
                key.clone(),
                hex::encode(&key).into_bytes(),
                STANDARD.encode(&key).into_bytes(),
                URL_SAFE_NO_PAD.encode(&key).into_bytes(),
            ];
            needles.extend(spellings.map(|bytes| Needle {
                what: format!("the data key {}", file.display()),
                bytes,
            }));
        }
    }
    assert_eq!(needles.len(), 5 + 3 + 4 * 4, "four data keys");
    needles
}

fn needle(what: &str, bytes: &[u8]) -> Needle {
    Needle {
        what: what.to_owned(),
        bytes: bytes.to_vec(),
    }
}

/// Every file below a folder; nothing where there is no folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
