//! One measurement by fio.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

/// Bytes of the files that are read and written front to back.
pub(crate) const SIZE: u64 = 1 << 30;

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Load {
    /// fio's name of the pattern.
    pub(crate) pattern: &'static str,
    /// Bytes of one request.
    pub(crate) block: u64,
    pub(crate) jobs: u64,
    /// Bytes that all jobs together move.
    pub(crate) total: u64,
}

impl Load {
    pub(crate) const fn write(jobs: u64) -> Self {
        Self {
            pattern: "write",
            block: 1 << 20,
            jobs,
            total: SIZE,
        }
    }

    pub(crate) const fn read(jobs: u64) -> Self {
        Self {
            pattern: "read",
            ..Self::write(jobs)
        }
    }

    pub(crate) const fn random(block: u64, jobs: u64, total: u64) -> Self {
        Self {
            pattern: "randread",
            block,
            jobs,
            total,
        }
    }

    /// Runs it on the file `name`, or one file per job for writes; returns bytes per second, `fsync` and the like included.
    pub(crate) fn run(self, directory: &Path, name: &str) -> anyhow::Result<f64> {
        let share = self.total / self.jobs;
        let mut command = Command::new("fio");
        command
            .args([
                "--name=load",
                "--ioengine=psync",
                "--fallocate=none",
                "--create_on_open=1",
            ])
            .args([
                "--output-format=json",
                "--group_reporting",
                "--thread",
                "--randrepeat=1",
            ])
            .arg(format!("--directory={}", directory.display()))
            .arg(format!("--rw={}", self.pattern))
            .arg(format!("--bs={}", self.block))
            .arg(format!("--numjobs={}", self.jobs));
        match self.pattern {
            "write" => command
                .arg(format!("--filename_format={name}.$jobnum"))
                .arg(format!("--size={share}"))
                .args(["--end_fsync=1"]),
            // Every job reads its own part of one file.
            "read" => command
                .arg(format!("--filename={name}"))
                .arg(format!("--size={share}"))
                .arg(format!("--offset_increment={share}")),
            _ => command
                .arg(format!("--filename={name}"))
                .arg(format!("--size={SIZE}"))
                .arg(format!("--io_size={share}")),
        };
        let output = command
            .stdin(Stdio::null())
            .output()
            .context("fio: `make setup` installs it")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "fio: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        // Notes may stand before the object.
        let json = text
            .find('{')
            .and_then(|start| text.get(start..))
            .context("fio said nothing")?;
        let answer: Value = serde_json::from_str(json).context("fio's report")?;
        let job = answer
            .pointer("/jobs/0")
            .context("fio's report has no job")?;
        ensure!(
            job.pointer("/error") == Some(&Value::from(0)),
            "fio met an error"
        );
        let side = if self.pattern == "write" {
            "write"
        } else {
            "read"
        };
        let figure = |key: &str| {
            job.pointer(&format!("/{side}/{key}"))
                .and_then(Value::as_f64)
        };
        ensure!(
            figure("io_bytes") >= Some(self.total as f64),
            "fio moved less than it should"
        );
        figure("bw_bytes").context("fio's report has no rate")
    }
}
