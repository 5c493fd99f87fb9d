use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::{AttestError, Attester, REPORT_LEN, Report};

/// The driver behind a guest device; each has its own request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DeviceKind {
    /// Microsoft's driver for 5.x kernels: `/dev/sev`.
    Lcow5,
    /// The mainline driver of 6.x kernels: `/dev/sev-guest`.
    SevGuest,
}

/// The SEV-SNP guest device. There is no substitute: without the device there is an error.
///
/// Requests go one at a time, because the driver holds one lock and the host throttles guests that ask too often.
#[derive(Debug)]
pub struct SnpDevice {
    candidates: Vec<(PathBuf, DeviceKind)>,
    turn: Arc<Mutex<()>>,
}

const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(20);

impl SnpDevice {
    /// The devices that C-ACI gives to every container, in the order of upstream's detection.
    pub fn new() -> Self {
        Self::at(vec![
            ("/dev/sev".into(), DeviceKind::Lcow5),
            ("/dev/sev-guest".into(), DeviceKind::SevGuest),
        ])
    }

    /// Other paths: for hosts that name the device otherwise.
    pub fn at(candidates: Vec<(PathBuf, DeviceKind)>) -> Self {
        Self {
            candidates,
            turn: Arc::new(Mutex::new(())),
        }
    }

    fn find(&self) -> Result<(PathBuf, DeviceKind), AttestError> {
        self.candidates
            .iter()
            .find(|(path, _)| path.exists())
            .cloned()
            .ok_or_else(|| AttestError::NoDevice {
                paths: self
                    .candidates
                    .iter()
                    .map(|(path, _)| path.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }
}

impl Default for SnpDevice {
    fn default() -> Self {
        Self::new()
    }
}

impl Attester for SnpDevice {
    async fn report(&self, report_data: [u8; 64]) -> Result<Report, AttestError> {
        let (path, kind) = self.find()?;
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let turn = Arc::clone(&self.turn).lock_owned().await;
            let device = path.clone();
            let outcome = tokio::task::spawn_blocking(move || {
                let outcome = ask(&device, kind, &report_data);
                drop(turn);
                outcome
            })
            .await
            .map_err(|_| AttestError::Stopping)?;
            match outcome {
                Err(Refusal::Busy(error)) if attempt < TRIES => {
                    tracing::debug!(%error, attempt, "the SNP device is busy");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Err(refusal) => return Err(refusal.at(&path)),
                Ok(message) => return unwrap_message(&message, &path),
            }
        }
        Err(AttestError::Stopping)
    }
}

/// Why one request gave no message.
#[derive(Debug)]
enum Refusal {
    /// Worth another try.
    Busy(io::Error),
    Open(io::Error),
    Ioctl(io::Error),
    Firmware(String),
}

impl Refusal {
    fn at(self, path: &Path) -> AttestError {
        let device = |step, source| AttestError::Device {
            path: path.to_owned(),
            step,
            source,
        };
        match self {
            Self::Busy(source) => device("still busy after several tries", source),
            Self::Open(source) => device("cannot be opened", source),
            Self::Ioctl(source) => device("refused the report request", source),
            Self::Firmware(detail) => AttestError::Firmware {
                path: path.to_owned(),
                detail,
            },
        }
    }
}

/// MSG_REPORT_RSP: status, length, 24 reserved bytes, report.
fn unwrap_message(message: &[u8], path: &Path) -> Result<Report, AttestError> {
    let firmware = |detail: String| AttestError::Firmware {
        path: path.to_owned(),
        detail,
    };
    let (status, rest) = message
        .split_first_chunk::<4>()
        .ok_or_else(|| firmware("empty answer".to_owned()))?;
    let (length, rest) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| firmware("empty answer".to_owned()))?;
    match u32::from_le_bytes(*status) {
        0 => {}
        0x16 => return Err(firmware("status 0x16, invalid parameters".to_owned())),
        status => return Err(firmware(format!("status {status:#x}"))),
    }
    let length = u32::from_le_bytes(*length);
    if usize::try_from(length) != Ok(REPORT_LEN) {
        return Err(firmware(format!(
            "a report of {length} bytes, expected {REPORT_LEN}"
        )));
    }
    let report = rest
        .get(24..24 + REPORT_LEN)
        .ok_or_else(|| firmware("a short answer".to_owned()))?;
    Ok(Report::parse(report)?)
}

const REQUEST_LEN: usize = 96;
/// The 5.x driver wants room for the message and 64 further bytes, the mainline driver exactly 4000.
const LCOW5_RESPONSE_LEN: usize = 1280;
const SEV_GUEST_RESPONSE_LEN: usize = 4000;

/// The argument of the 5.x driver's ioctl.
#[repr(C)]
#[derive(Default)]
struct Lcow5Request {
    request_type: u8,
    response_type: u8,
    message_version: u8,
    pad: u8,
    request_len: u16,
    pad2: u16,
    request: u64,
    response_len: u16,
    pad3: [u8; 6],
    response: u64,
    error: u32,
    pad4: u32,
}

/// The argument of the mainline driver's ioctl.
#[repr(C)]
#[derive(Default)]
struct SevGuestRequest {
    message_version: u8,
    pad: [u8; 7],
    request: u64,
    response: u64,
    firmware_error: u64,
}

const LCOW5_REPORT: libc::Ioctl = libc::_IOWR::<Lcow5Request>(b'S' as u32, 1);
const SEV_GUEST_REPORT: libc::Ioctl = libc::_IOWR::<SevGuestRequest>(b'S' as u32, 0);
const VMM_BUSY: u64 = 2;

fn ask(path: &Path, kind: DeviceKind, report_data: &[u8; 64]) -> Result<Vec<u8>, Refusal> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC)
        .open(path)
        .map_err(Refusal::Open)?;
    // VMPL 0 and "whichever key is installed" are both zero.
    let mut request = [0_u8; REQUEST_LEN];
    if let Some(head) = request.first_chunk_mut() {
        *head = *report_data;
    }
    match kind {
        DeviceKind::Lcow5 => {
            let mut response = vec![0_u8; LCOW5_RESPONSE_LEN];
            let mut argument = Lcow5Request {
                request_type: 5,
                response_type: 6,
                message_version: 1,
                request_len: 96,
                request: address(request.as_mut_ptr()),
                response_len: 1280,
                response: address(response.as_mut_ptr()),
                ..Lcow5Request::default()
            };
            call(&device, LCOW5_REPORT, &mut argument)?;
            match argument.error {
                0 => Ok(response),
                error => Err(Refusal::Firmware(format!("error {error:#x}"))),
            }
        }
        DeviceKind::SevGuest => {
            let mut response = vec![0_u8; SEV_GUEST_RESPONSE_LEN];
            let mut argument = SevGuestRequest {
                message_version: 1,
                request: address(request.as_mut_ptr()),
                response: address(response.as_mut_ptr()),
                ..SevGuestRequest::default()
            };
            let outcome = call(&device, SEV_GUEST_REPORT, &mut argument);
            let (firmware, host) = (
                argument.firmware_error & 0xffff_ffff,
                argument.firmware_error >> 32,
            );
            match outcome {
                Err(Refusal::Ioctl(error)) if host == VMM_BUSY => Err(Refusal::Busy(error)),
                Err(Refusal::Ioctl(_)) if argument.firmware_error != 0 => Err(Refusal::Firmware(
                    format!("firmware error {firmware:#x}, host error {host:#x}"),
                )),
                Err(refusal) => Err(refusal),
                Ok(()) => Ok(response),
            }
        }
    }
}

fn address(pointer: *mut u8) -> u64 {
    pointer.expose_provenance() as u64
}

#[expect(unsafe_code, reason = "there is no safe interface to the guest device")]
fn call<T>(device: &File, request: libc::Ioctl, argument: &mut T) -> Result<(), Refusal> {
    // SAFETY: `request` encodes the size of `T`, so the driver reads and writes exactly `argument`; the buffers whose
    // addresses it holds live in the caller's frame until this returns, have the lengths the driver's interface demands,
    // and are not touched by anyone else meanwhile.
    let status = unsafe { libc::ioctl(device.as_raw_fd(), request, std::ptr::from_mut(argument)) };
    if status == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(match error.raw_os_error() {
        Some(libc::EINTR | libc::EAGAIN | libc::EBUSY) => Refusal::Busy(error),
        _ => Refusal::Ioctl(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidecar_http::Coded;

    const REPORT: &[u8] = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/attestation/snp_report.bin"
    ));

    #[test]
    fn the_requests_have_the_drivers_numbers() {
        assert_eq!(LCOW5_REPORT, 0xc028_5301);
        assert_eq!(SEV_GUEST_REPORT, 0xc020_5300);
        assert_eq!(std::mem::offset_of!(Lcow5Request, response), 24);
        assert_eq!(std::mem::offset_of!(Lcow5Request, error), 32);
    }

    #[tokio::test]
    async fn without_a_device_the_error_names_every_path_tried() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("sev"), dir.path().join("sev-guest"));
        let device = SnpDevice::at(vec![
            (one.clone(), DeviceKind::Lcow5),
            (two.clone(), DeviceKind::SevGuest),
        ]);
        let error = device.report([0; 64]).await.unwrap_err();
        assert_eq!(error.code(), "CR-SKR-0002");
        let text = error.to_string();
        assert!(text.contains(one.to_str().unwrap()), "{text}");
        assert!(text.contains(two.to_str().unwrap()), "{text}");
    }

    #[tokio::test]
    async fn a_file_that_is_no_device_gives_no_report() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sev-guest");
        std::fs::write(&path, REPORT).unwrap();
        for kind in [DeviceKind::SevGuest, DeviceKind::Lcow5] {
            let device = SnpDevice::at(vec![(path.clone(), kind)]);
            let error = device.report([0; 64]).await.unwrap_err();
            assert_eq!(error.code(), "CR-SKR-0003", "{error}");
        }
    }

    #[test]
    fn the_message_around_a_report_is_checked() {
        let message = |status: u32, length: u32| {
            let mut message = vec![0; SEV_GUEST_RESPONSE_LEN];
            message[..4].copy_from_slice(&status.to_le_bytes());
            message[4..8].copy_from_slice(&length.to_le_bytes());
            message[32..32 + REPORT_LEN].copy_from_slice(REPORT);
            message
        };
        let path = Path::new("/dev/sev-guest");
        let report = unwrap_message(&message(0, 1184), path).unwrap();
        assert_eq!(report.as_bytes(), REPORT);
        for (status, length) in [(0x16, 1184), (1, 1184), (0, 1183), (0, 0)] {
            let error = unwrap_message(&message(status, length), path).unwrap_err();
            assert_eq!(error.code(), "CR-SKR-0004");
        }
        assert!(unwrap_message(&message(0, 1184)[..1000], path).is_err());
    }
}
