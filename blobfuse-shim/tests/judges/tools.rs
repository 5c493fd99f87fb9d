//! Running a program as the application, on a mount.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::room::{APPLICATION, Room, Shim};

/// A writable mount in format v2 and a folder that the application can read and write beside it.
pub(crate) struct Bench {
    pub(crate) mount: PathBuf,
    pub(crate) scratch: tempfile::TempDir,
    shim: Shim,
    args: Vec<String>,
    room: Room,
}

impl Bench {
    pub(crate) fn new(args: &[&str]) -> Self {
        let room = Room::new();
        let args = [&["--no-read-only", "--encryption-mode", "CSE"], args].concat();
        let shim = started(&room, &args);
        let scratch = tempfile::tempdir().unwrap();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Self {
            mount: room.mount_path("output"),
            scratch,
            shim,
            args: args.into_iter().map(str::to_owned).collect(),
            room,
        }
    }

    /// Another process mounts the same storage: nothing is in any cache.
    pub(crate) fn remount(&mut self) {
        assert_eq!(self.shim.terminate(), 0, "{}", self.shim.log());
        let args: Vec<_> = self.args.iter().map(String::as_str).collect();
        self.shim = started(&self.room, &args);
    }

    /// A tool of `tests/setup`, where the application may execute it.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.work/tools/bin");
        let copy = self.scratch.path().join(name);
        fs::copy(tools.join(name), &copy)
            .unwrap_or_else(|error| panic!("{name}: {error}; tests/setup installs it"));
        copy
    }

    /// Runs a program where the mount is, as a user, with at most some seconds.
    pub(crate) fn run(&self, uid: u32, program: &Path, args: &[&str], seconds: u64) -> Output {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", &seconds.to_string()])
            .arg(program)
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("NO_COLOR", "1")
            .current_dir(self.scratch.path())
            .stdin(Stdio::null());
        self.shim.inside(uid, move || command.output().unwrap())
    }

    /// As the application; it must succeed. Gives what it printed.
    pub(crate) fn judge(&self, program: &Path, args: &[&str], seconds: u64) -> String {
        let output = self.run(APPLICATION, program, args, seconds);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(
            output.status.success(),
            "{args:?}: {}\n{text}",
            output.status
        );
        text
    }
}

fn started(room: &Room, args: &[&str]) -> Shim {
    let shim = room.start("output", 10021, args);
    shim.wait_ready();
    shim
}

/// Longer by the factor `MOUNT_JUDGES_LONG`.
pub(crate) fn scaled(number: u64) -> u64 {
    let factor = std::env::var("MOUNT_JUDGES_LONG").map(|text| text.parse::<u64>().unwrap());
    number * factor.unwrap_or(1)
}
