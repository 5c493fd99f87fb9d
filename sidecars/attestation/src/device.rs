//! The SEV-SNP guest devices, one file per interface. There is no substitute: without a device there is an error.

mod ioctl;
mod lcow5;
mod message;
mod sev_guest;
mod tsm;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sidecar_http::Pace;
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;

use crate::{AttestError, Attester, Report};

/// The interface behind a path; each has its own request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DeviceKind {
    /// Microsoft's driver for 5.x kernels: `/dev/sev`.
    Lcow5,
    /// The mainline driver of 6.x kernels: `/dev/sev-guest`.
    SevGuest,
    /// The directory of configfs-tsm, kernel 6.7 and later: `/sys/kernel/config/tsm/report`.
    ConfigfsTsm,
}

/// The SEV-SNP guest device of this machine: the first of its paths that can be opened.
///
/// Device nodes may belong to root, so a process that gives root up opens them before: [`SnpDevice::open`], or
/// [`SnpDevice::from_fd`] for a descriptor that somebody else opened. The descriptor then serves every request.
///
/// Requests go one at a time, because the driver holds one lock and the host throttles guests that ask too often.
#[derive(Debug)]
pub struct SnpDevice {
    candidates: Vec<(PathBuf, DeviceKind)>,
    opened: OnceLock<Arc<Opened>>,
    turn: Arc<Mutex<()>>,
}

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long a busy device is asked again.
const PATIENCE: Duration = Duration::from_secs(5);

impl SnpDevice {
    /// The devices that C-ACI gives to every container in the order of upstream's detection, then configfs. Opens what
    /// can be opened now; what cannot is tried again, and told, by [`SnpDevice::found`] and by every request.
    ///
    /// configfs checks rights at each request: a process that gives root up must own its directory.
    pub fn open() -> Self {
        Self::at(vec![
            ("/dev/sev".into(), DeviceKind::Lcow5),
            ("/dev/sev-guest".into(), DeviceKind::SevGuest),
            (
                "/sys/kernel/config/tsm/report".into(),
                DeviceKind::ConfigfsTsm,
            ),
        ])
    }

    /// As [`SnpDevice::open`] with other paths: for hosts that name the device otherwise.
    pub fn at(candidates: Vec<(PathBuf, DeviceKind)>) -> Self {
        let device = Self {
            candidates,
            opened: OnceLock::new(),
            turn: Arc::default(),
        };
        // A device that is not there yet is looked for again at the first request.
        let _ = device.find();
        device
    }

    /// A device that was opened before, read and write; `path` only names it in errors. A descriptor says nothing about
    /// configfs: for [`DeviceKind::ConfigfsTsm`] it is closed and `path` is used.
    pub fn from_fd(kind: DeviceKind, path: PathBuf, device: OwnedFd) -> Self {
        let opened = Arc::new(Opened {
            interface: Interface::of(kind, device.into()),
            kind,
            path: path.clone(),
        });
        Self {
            candidates: vec![(path, kind)],
            opened: OnceLock::from(opened),
            turn: Arc::default(),
        }
    }

    /// Which device answers requests.
    ///
    /// # Errors
    /// [`AttestError::NoDevice`] naming every path tried and what became of it.
    pub fn found(&self) -> Result<(DeviceKind, PathBuf), AttestError> {
        let opened = self.find()?;
        Ok((opened.kind, opened.path.clone()))
    }

    fn find(&self) -> Result<Arc<Opened>, AttestError> {
        if let Some(opened) = self.opened.get() {
            return Ok(Arc::clone(opened));
        }
        let mut tried = Vec::new();
        for (path, kind) in &self.candidates {
            match open(path, *kind) {
                Ok(opened) => return Ok(Arc::clone(self.opened.get_or_init(|| Arc::new(opened)))),
                Err(error) => tried.push(format!("{}: {error}", path.display())),
            }
        }
        Err(AttestError::NoDevice {
            tried: tried.join("; "),
        })
    }
}

impl Attester for SnpDevice {
    async fn report(&self, report_data: [u8; 64]) -> Result<Report, AttestError> {
        let device = self.find()?;
        let mut pace = Pace::new(FIRST_PAUSE, LONGEST_PAUSE, PATIENCE);
        loop {
            let turn = Arc::clone(&self.turn).lock_owned().await;
            let asked = Arc::clone(&device);
            let outcome = tokio::task::spawn_blocking(move || {
                let outcome = asked.ask(&report_data);
                drop(turn);
                outcome
            })
            .await
            .map_err(|_| AttestError::Stopping)?;
            match outcome {
                Ok(report) if bool::from(report.report_data().ct_eq(&report_data)) => {
                    return Ok(report);
                }
                Ok(_) => return Err(AttestError::Unbound),
                Err(Refusal::Busy(error)) => {
                    tracing::debug!(%error, "the SNP device is busy");
                    if !pace.pause().await {
                        return Err(error);
                    }
                }
                Err(Refusal::Final(error)) => return Err(error),
            }
        }
    }
}

#[derive(Debug)]
struct Opened {
    interface: Interface,
    kind: DeviceKind,
    path: PathBuf,
}

#[derive(Debug)]
enum Interface {
    Lcow5(File),
    SevGuest(File),
    ConfigfsTsm,
}

impl Interface {
    fn of(kind: DeviceKind, device: File) -> Self {
        match kind {
            DeviceKind::Lcow5 => Self::Lcow5(device),
            DeviceKind::SevGuest => Self::SevGuest(device),
            DeviceKind::ConfigfsTsm => Self::ConfigfsTsm,
        }
    }
}

fn open(path: &Path, kind: DeviceKind) -> io::Result<Opened> {
    let interface = if kind == DeviceKind::ConfigfsTsm {
        if !std::fs::metadata(path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Interface::ConfigfsTsm
    } else {
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            // A FIFO in the device's place must not hold the process.
            .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK)
            .open(path)?;
        Interface::of(kind, device)
    };
    Ok(Opened {
        interface,
        kind,
        path: path.to_owned(),
    })
}

impl Opened {
    fn ask(&self, report_data: &[u8; 64]) -> Result<Report, Refusal> {
        match &self.interface {
            Interface::Lcow5(device) => lcow5::report(device, &self.path, report_data),
            Interface::SevGuest(device) => sev_guest::report(device, &self.path, report_data),
            Interface::ConfigfsTsm => tsm::report(&self.path, report_data),
        }
    }
}

/// Why one request gave no report.
#[derive(Debug)]
enum Refusal {
    /// Worth another try.
    Busy(AttestError),
    Final(AttestError),
}

impl Refusal {
    /// What the kernel said at `step`: interrupted, busy and try-again are worth another try.
    fn of(path: &Path, step: &'static str, source: io::Error) -> Self {
        let busy = matches!(
            source.raw_os_error(),
            Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)
        );
        let error = AttestError::Device {
            path: path.to_owned(),
            step,
            source,
        };
        if busy {
            Self::Busy(error)
        } else {
            Self::Final(error)
        }
    }

    fn firmware(path: &Path, detail: impl Into<String>) -> Self {
        Self::Final(AttestError::Firmware {
            path: path.to_owned(),
            detail: detail.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidecar_http::Coded;

    #[tokio::test]
    async fn without_a_device_the_error_names_every_path_tried() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["sev", "sev-guest", "report"].map(|name| dir.path().join(name));
        let kinds = [
            DeviceKind::Lcow5,
            DeviceKind::SevGuest,
            DeviceKind::ConfigfsTsm,
        ];
        // A file where configfs should be is no configfs.
        std::fs::write(&paths[2], "").unwrap();
        let device = SnpDevice::at(paths.iter().cloned().zip(kinds).collect());
        let error = device.report([0; 64]).await.unwrap_err();
        assert_eq!(error.code(), "CR-SKR-0002");
        let text = error.to_string();
        for path in &paths {
            assert!(text.contains(path.to_str().unwrap()), "{text}");
        }
        assert!(text.contains("not a directory"), "{text}");
        assert_eq!(device.found().unwrap_err().to_string(), text);
    }

    #[tokio::test]
    async fn a_device_that_appears_later_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sev-guest");
        let device = SnpDevice::at(vec![(path.clone(), DeviceKind::SevGuest)]);
        assert!(device.found().is_err());
        std::fs::write(&path, "").unwrap();
        assert_eq!(device.found().unwrap(), (DeviceKind::SevGuest, path));
    }

    #[tokio::test]
    async fn the_first_path_that_opens_wins() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("sev"), dir.path().join("sev-guest"));
        std::fs::write(&second, "").unwrap();
        let both = vec![
            (first.clone(), DeviceKind::Lcow5),
            (second.clone(), DeviceKind::SevGuest),
        ];
        let found = SnpDevice::at(both.clone()).found().unwrap();
        assert_eq!(found, (DeviceKind::SevGuest, second));
        std::fs::write(&first, "").unwrap();
        let found = SnpDevice::at(both).found().unwrap();
        assert_eq!(found, (DeviceKind::Lcow5, first));
    }

    #[tokio::test]
    async fn a_file_that_is_no_device_gives_no_report() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sev-guest");
        std::fs::write(&path, "").unwrap();
        for kind in [DeviceKind::SevGuest, DeviceKind::Lcow5] {
            let device = SnpDevice::at(vec![(path.clone(), kind)]);
            let error = device.report([0; 64]).await.unwrap_err();
            assert_eq!(error.code(), "CR-SKR-0003", "{error}");
        }
    }
}
