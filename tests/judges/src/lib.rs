//! Programs that others wrote, as judges of our wires.
//!
//! An emulator that only talks to our own clients proves little. Here stock Azure SDKs talk to the emulators, our storage
//! client talks to Azurite, the OpenTelemetry SDK talks to the collector, and the `ccf` package reads our signatures. What a
//! judge needs is pinned in its folder and installed once into `.work/judges`; a judge that cannot be installed fails.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

pub mod seaweedfs;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sha2::{Digest, Sha256};

/// The Python of Debian 12; another one on the path may lack `venv`.
const PYTHON: &str = "/usr/bin/python3";

/// The folder of a judge: its scripts and its pinned requirements.
#[must_use]
pub fn folder(judge: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(judge)
}

fn installed(judge: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../.work/judges")
        .join(judge)
}

/// A Python with the packages of `<judge>/requirements.txt`, and nothing else.
///
/// # Panics
/// The packages cannot be installed.
#[must_use]
pub fn python(judge: &str) -> PathBuf {
    let requirements = folder(judge).join("requirements.txt");
    let home = prepare(judge, &requirements, |home| {
        run(Command::new(PYTHON).args(["-m", "venv"]).arg(home));
        let mut pip = Command::new(home.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--no-input"])
            .args(["--disable-pip-version-check", "--requirement"])
            .arg(&requirements);
        run(&mut pip);
    });
    home.join("bin/python")
}

/// The `node_modules/.bin` folder with the packages of `<judge>/package-lock.json`.
///
/// # Panics
/// The packages cannot be installed.
#[must_use]
pub fn node_programs(judge: &str) -> PathBuf {
    let lock = folder(judge).join("package-lock.json");
    let home = prepare(judge, &lock, |home| {
        std::fs::create_dir_all(home).expect("a folder");
        for name in ["package.json", "package-lock.json"] {
            std::fs::copy(folder(judge).join(name), home.join(name)).expect("a copy");
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .arg("--prefix")
            .arg(home);
        run(&mut npm);
    });
    home.join("node_modules/.bin")
}

/// Installs once per content of `pins`; tests of several processes wait for each other.
fn prepare(judge: &str, pins: &Path, install: impl FnOnce(&Path)) -> PathBuf {
    let home = installed(judge);
    std::fs::create_dir_all(home.parent().expect("a parent")).expect("a folder");
    let lock = File::create(home.with_extension("lock")).expect("a lock file");
    lock.lock().expect("the lock");
    let wanted = hex::encode(Sha256::digest(
        std::fs::read(pins).expect("pinned packages"),
    ));
    let mark = home.join("installed-for");
    if std::fs::read_to_string(&mark).ok().as_deref() != Some(wanted.as_str()) {
        if home.exists() {
            std::fs::remove_dir_all(&home).expect("the old packages go");
        }
        install(&home);
        std::fs::write(&mark, wanted).expect("a mark");
    }
    home
}

/// A command in a mount namespace where `/etc/hosts` is `hosts`; needs root.
#[must_use]
pub fn with_hosts(hosts: &Path, program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--", "bash", "-c"])
        .arg("mount --bind \"$0\" /etc/hosts && exec \"$@\"")
        .arg(hosts)
        .arg(program);
    command
}

/// Runs a command that must work and gives its output.
///
/// # Panics
/// It fails; the message holds what it printed.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().expect("a program that starts");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
