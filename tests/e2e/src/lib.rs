//! Scenarios with the real binaries: the collaboration of `tests/demo`, and what is different in each test.
//!
//! A [`Stage`] is a collaboration that is ready to be deployed, with its own emulated Azure. The parties' commands are the
//! ones of the demo; only what a test changes is written in the test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

mod results;
mod secrets;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

pub use secrets::no_secrets;

/// What a test changes before the collaboration begins.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Another application than the sample one.
    pub app: Option<&'static str>,
    /// Another name of the input inside the dataset.
    pub input_name: Option<&'static str>,
    /// The room's profile is `service`.
    pub service: bool,
    /// Who encrypts the input; the demo's CPK by default.
    pub input_mode: Option<&'static str>,
    /// The contract does not pin the input's manifest.
    pub unpinned: bool,
    /// A file below `tests/e2e`, sourced by the collaboration before the data are described.
    pub data: Option<&'static str>,
    /// Variables for it.
    pub variables: Vec<(&'static str, String)>,
    /// The room and the emulators as containers; needs a Docker daemon (`tests/with-docker`).
    pub compose: bool,
}

/// A collaboration that is ready to be deployed.
#[derive(Debug)]
pub struct Stage {
    work: TempDir,
    bin: PathBuf,
    admin: String,
    hold: Child,
    stdin: Option<ChildStdin>,
}

/// A finished deployment.
#[derive(Debug)]
pub struct Deployed {
    /// Exit code of `cleanroom deploy`.
    pub code: Option<i32>,
    /// What it printed.
    pub outcome: Value,
    /// What it said on the way.
    pub stderr: String,
    /// The group's directory.
    pub group: PathBuf,
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo")
}

/// Where cargo leaves the binaries: two folders above a test's own.
fn binaries() -> PathBuf {
    let own = std::env::current_exe().expect("the test's own path");
    let folder = own
        .ancestors()
        .nth(2)
        .expect("the folder of the binaries")
        .to_owned();
    for name in [
        "cleanroom",
        "azure-emulator",
        "code-launcher",
        "blobfuse-shim",
        "image",
    ] {
        assert!(
            folder.join(name).exists(),
            "{name} is not built: run `cargo build --workspace --bins` first"
        );
    }
    folder
}

impl Stage {
    /// Plays the collaboration up to the deployment.
    pub fn prepare(options: &Options) -> Self {
        // Traversable by the users of the room.
        let work = tempfile::Builder::new()
            .prefix("cleanroom-e2e-")
            .tempdir()
            .expect("a folder");
        let bin = binaries();
        let mut command = Command::new(demo().join("hold"));
        command
            .arg(&bin)
            .env("WORK", work.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(app) = options.app {
            command.env("APP", bin.join(app));
        }
        // Whatever the test's own environment says.
        for name in ["COMPOSE", "ROOM_PROFILE", "INPUT_MODE", "INPUT_PIN", "DATA"] {
            command.env_remove(name);
        }
        if let Some(mode) = options.input_mode {
            command.env("INPUT_MODE", mode);
        }
        if options.unpinned {
            command.env("INPUT_PIN", "--no-pin-manifest");
        }
        if let Some(steps) = options.data {
            command.env("DATA", Path::new(env!("CARGO_MANIFEST_DIR")).join(steps));
        }
        command.envs(options.variables.iter().map(|(name, value)| (name, value)));
        if options.service {
            command.env("ROOM_PROFILE", "service");
        }
        if options.compose {
            command.env("COMPOSE", "1");
        }
        if let Some(name) = options.input_name {
            command.env("INPUT_NAME", name);
        }
        let mut hold = command.spawn().expect("the collaboration");
        let stdin = hold.stdin.take();
        let mut lines = BufReader::new(hold.stdout.take().expect("its output")).lines();
        let prepared = lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line == "prepared");
        assert!(prepared, "the collaboration failed: {}", tail(work.path()));
        let world = read_json(&work.path().join("azure/world.json"));
        let admin = world["admin_url"]
            .as_str()
            .expect("the admin port")
            .to_owned();
        Self {
            work,
            bin,
            admin,
            hold,
            stdin,
        }
    }

    /// The folder of the collaboration.
    pub fn work(&self) -> &Path {
        self.work.path()
    }

    /// A command as a party, where the names of the emulated Azure resolve.
    pub fn party(&self, who: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(demo().join("in-world"));
        command
            .arg(demo().join("as-party"))
            .arg(who)
            .args(arguments)
            .env("WORK", self.work.path())
            .env("BIN", &self.bin);
        command
    }

    /// Runs a command of a party that must work.
    pub fn run(&self, who: &str, arguments: &[&str]) -> String {
        let output = self.party(who, arguments).output().expect("a command");
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The arguments of a deployment into a new group directory.
    pub fn deployment<'a>(&self, group: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec![
            "cleanroom",
            "deploy",
            "--contract-id",
            "collab1",
            "--group-dir",
            group,
        ];
        arguments.extend_from_slice(more);
        arguments
    }

    /// Deploys the room and waits for its end.
    pub fn deploy(&self, group: &str, more: &[&str]) -> Deployed {
        let child = self.start(group, more);
        self.finish(group, child)
    }

    /// Starts a deployment.
    pub fn start(&self, group: &str, more: &[&str]) -> Child {
        self.begin(group, more, None)
    }

    /// Starts a deployment that finds its tools in `tools` first.
    pub fn start_with_tools(&self, group: &str, tools: &Path) -> Child {
        self.begin(group, &[], Some(tools))
    }

    fn begin(&self, group: &str, more: &[&str], tools: Option<&Path>) -> Child {
        let (images, platform) = (
            self.work().join("public/images.json"),
            self.work().join("azure/platform"),
        );
        let (images, platform) = (images.display().to_string(), platform.display().to_string());
        let mut arguments = self.deployment(group, more);
        arguments.extend(["--images", &images, "--platform-dir", &platform]);
        let target = std::fs::read_to_string(self.work().join("target")).expect("the target");
        arguments.extend(target.lines());
        let mut command = self.party("operator", &arguments);
        if let Some(tools) = tools {
            let path = std::env::var("PATH").expect("a path");
            command.env("PATH", format!("{}:{path}", tools.display()));
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("a deployment")
    }

    /// Waits for the end of a deployment.
    pub fn finish(&self, group: &str, child: Child) -> Deployed {
        let output = child.wait_with_output().expect("its end");
        let outcome = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        let group = self.work().join("operator").join(group);
        Deployed {
            code: output.status.code(),
            outcome,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            group,
        }
    }

    /// Plans a fault of a service.
    pub fn upset(&self, upset: &Value) {
        self.admin("PUT", "/upset", &upset.to_string());
    }

    /// Ends every planned fault.
    pub fn calm(&self) {
        self.admin("DELETE", "/upset", "");
    }

    /// A request to the emulator's own control port.
    pub fn admin(&self, method: &str, path: &str, body: &str) -> String {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--request", method])
            .args([
                "--header",
                "Content-Type: application/json",
                "--data-binary",
                body,
            ])
            .arg(format!("{}{path}", self.admin))
            .output()
            .expect("curl");
        assert!(
            output.status.success(),
            "{method} {path}: {}",
            text(&output)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Saves what the emulator's control port answers.
    pub fn fetch(&self, path: &str, target: &Path) {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--output"])
            .arg(target)
            .arg(format!("{}{path}", self.admin))
            .output()
            .expect("curl");
        assert!(output.status.success(), "{path}: {}", text(&output));
    }

    /// The requests that a service got, as `METHOD path status`.
    pub fn requests(&self, service: &str) -> Vec<String> {
        let list: Value =
            serde_json::from_str(&self.admin("GET", &format!("/requests?service={service}"), ""))
                .expect("a list");
        let list = list.as_array().cloned().unwrap_or_default();
        let line = |request: &Value| {
            format!(
                "{} {} {}",
                request["method"].as_str().unwrap_or(""),
                request["path"].as_str().unwrap_or(""),
                request["status"]
            )
        };
        list.iter().map(line).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // End of file ends the collaboration and its emulators.
        drop(self.stdin.take());
        let _ = self.hold.wait();
    }
}

impl Deployed {
    /// Everything that a container wrote.
    pub fn log(&self, container: &str) -> String {
        std::fs::read_to_string(self.group.join("logs").join(format!("{container}.log")))
            .unwrap_or_default()
    }

    /// The stable codes in a container's log.
    pub fn codes(&self, container: &str) -> BTreeSet<String> {
        let log = self.log(container);
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter_map(|line| {
                line["code"]
                    .as_str()
                    .filter(|code| !code.is_empty())
                    .map(str::to_owned)
            })
            .collect()
    }

    /// All logs, for the message of a failed assertion.
    pub fn logs(&self) -> String {
        let mut all = String::new();
        let folder = self.group.join("logs");
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let last: Vec<&str> = text.lines().rev().take(5).collect();
            all.push_str(&format!("== {name}\n{}\n", last.join("\n")));
        }
        all
    }
}

/// Reads a JSON file.
pub fn read_json(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The `cleanroom deploy` process below a wrapper.
pub fn deploy_process(parent: u32) -> Pid {
    let mut below = vec![parent.cast_signed()];
    let mut index = 0;
    while index < below.len() {
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
                continue;
            };
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let of = status
                .lines()
                .find_map(|line| line.strip_prefix("PPid:"))
                .and_then(|text| text.trim().parse::<i32>().ok());
            if of == Some(below[index]) {
                let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let command = String::from_utf8_lossy(&command).into_owned();
                let program = command.split('\0').next().unwrap_or_default();
                if program.ends_with("cleanroom")
                    && command.split('\0').any(|argument| argument == "deploy")
                {
                    return Pid::from_raw(pid);
                }
                below.push(pid);
            }
        }
        index += 1;
    }
    panic!("no deployment below {parent}");
}

fn tail(work: &Path) -> String {
    let mut steps: Vec<PathBuf> = std::fs::read_dir(work.join("steps"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    steps.sort();
    steps
        .last()
        .and_then(|path| std::fs::read_to_string(path).ok())
        .unwrap_or_default()
}
