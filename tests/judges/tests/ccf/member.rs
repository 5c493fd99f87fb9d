//! A member: its keys, made by them or by us, and our command in its hands.

use std::path::{Path, PathBuf};

use clap::Parser;
use cleanroom::governance::{ClientStore, GovernanceCommand, run_with};
use judges::{python, run};
use serde_json::Value;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: GovernanceCommand,
}

/// `cleanroom governance …`, with its clients in `dir`.
pub(crate) async fn governance(dir: &Path, words: &[&str]) -> String {
    let cli = Cli::try_parse_from(std::iter::once(&"governance").chain(words)).unwrap();
    let mut out = Vec::new();
    let done = run_with(&ClientStore::at(dir), cli.command, &mut out).await;
    done.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    String::from_utf8(out).unwrap()
}
/// Certificate and key of a member.
pub(crate) struct Pair {
    pub(crate) id: String,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Pair {
    /// Made by the script that the package brings, with OpenSSL.
    pub(crate) fn by_ccf(dir: &Path, name: &str) -> Self {
        let script = python("ccf").with_file_name("keygenerator.sh");
        run(std::process::Command::new(script)
            .args(["--name", name])
            .current_dir(dir));
        Self::read(dir, name)
    }

    /// Made by our command.
    pub(crate) async fn by_us(dir: &Path, name: &str) -> Self {
        let out = dir.to_str().unwrap();
        let words = [
            "member",
            "keygenerator",
            "--name",
            name,
            "--output-dir",
            out,
        ];
        let made = governance(dir, &words).await;
        let pair = Self::read(dir, name);
        let made: Value = serde_json::from_str(&made).unwrap();
        assert_eq!(made["memberId"], pair.id.as_str());
        pair
    }

    /// The id as OpenSSL sees the certificate.
    pub(crate) fn read(dir: &Path, name: &str) -> Self {
        let cert = dir.join(format!("{name}_cert.pem"));
        let mut openssl = std::process::Command::new("openssl");
        openssl
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(&cert);
        let printed = String::from_utf8(run(&mut openssl).stdout).unwrap();
        let (_, colons) = printed.trim().split_once('=').unwrap();
        Self {
            id: colons.replace(':', "").to_lowercase(),
            key: dir.join(format!("{name}_privk.pem")),
            cert,
        }
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
