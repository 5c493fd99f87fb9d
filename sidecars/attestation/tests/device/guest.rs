//! Both drivers' ioctls, asked through the kernel.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use attestation::{Attester, DeviceKind, SnpDevice};
use fuser::{
    Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, IoctlFlags,
    OpenFlags, ReplyAttr, ReplyEntry, ReplyIoctl, ReplyOpen, Request,
};
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;
use sidecar_http::Coded;

use crate::answer;
use crate::mounted::{Mounted, UNCACHED, attributes};

const LCOW5_REPORT: u32 = 0xc028_5301;
const SEV_GUEST_REPORT: u32 = 0xc020_5300;

/// What the driver does with one request.
#[derive(Clone, Copy, Debug)]
enum Act {
    Answer,
    /// The call fails with this errno.
    Errno(i32),
    /// The call fails with EIO; the argument's error field says why.
    Error(u64),
    /// The message around the report has this status.
    Status(u32),
    /// A report for another question.
    Foreign,
}

#[derive(Clone, Default)]
struct Driver(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    acts: VecDeque<Act>,
    calls: u32,
    opens: u32,
}

impl Filesystem for Driver {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let ino = match name.to_str() {
            Some("sev") => 2,
            Some("sev-guest") => 3,
            _ => return reply.error(Errno::ENOENT),
        };
        reply.entry(
            &UNCACHED,
            &attributes(ino, FileType::RegularFile),
            Generation(0),
        );
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let kind = if ino == INodeNo::ROOT {
            FileType::Directory
        } else {
            FileType::RegularFile
        };
        reply.attr(&UNCACHED, &attributes(ino.0, kind));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.0.lock().unwrap().opens += 1;
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn ioctl(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        command: u32,
        argument: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        let mut argument = argument.to_vec();
        let number = |at: usize| u64::from_le_bytes(argument[at..at + 8].try_into().unwrap());
        // The drivers' layouts, from their headers.
        let (request, response, length, error_at, error_len) = match (ino.0, command) {
            (2, LCOW5_REPORT) => {
                assert_eq!(argument[..8], [5, 6, 1, 0, 96, 0, 0, 0]);
                assert_eq!(argument[16..18], 1280_u16.to_le_bytes());
                (number(8), number(24), 1280, 32, 4)
            }
            (3, SEV_GUEST_REPORT) => {
                assert_eq!(argument[..8], [1, 0, 0, 0, 0, 0, 0, 0]);
                (number(8), number(16), 4000, 24, 8)
            }
            _ => return reply.error(Errno::ENOTTY),
        };
        let act = {
            let mut state = self.0.lock().unwrap();
            state.calls += 1;
            state.acts.pop_front().unwrap_or(Act::Answer)
        };
        let asked = read(request, 96);
        // VMPL 0, whichever key is installed.
        assert_eq!(asked[64..], [0; 32]);
        let (status, report_data) = match act {
            Act::Errno(errno) => return reply.error(Errno::from_i32(errno)),
            Act::Error(error) => {
                argument[error_at..error_at + error_len]
                    .copy_from_slice(&error.to_le_bytes()[..error_len]);
                return reply.ioctl(-libc::EIO, &argument);
            }
            Act::Answer => (0, asked[..64].to_vec()),
            Act::Foreign => (0, vec![7; 64]),
            Act::Status(status) => (status, asked[..64].to_vec()),
        };
        let mut message = vec![0; length];
        message[..4].copy_from_slice(&status.to_le_bytes());
        message[4..8].copy_from_slice(&1184_u32.to_le_bytes());
        message[32..32 + 1184].copy_from_slice(&answer(&report_data));
        write(response, &message);
        reply.ioctl(0, &argument);
    }
}

/// The caller's memory, as a driver reaches it: the double runs in the same process.
fn read(address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let base = usize::try_from(address).unwrap();
    let remote = [RemoteIoVec { base, len: length }];
    let mut local = [std::io::IoSliceMut::new(&mut bytes)];
    assert_eq!(
        process_vm_readv(Pid::this(), &mut local, &remote),
        Ok(length)
    );
    bytes
}

fn write(address: u64, bytes: &[u8]) {
    let base = usize::try_from(address).unwrap();
    let remote = [RemoteIoVec {
        base,
        len: bytes.len(),
    }];
    let local = [IoSlice::new(bytes)];
    assert_eq!(
        process_vm_writev(Pid::this(), &local, &remote),
        Ok(bytes.len())
    );
}

struct World {
    driver: Driver,
    mounted: Mounted,
}

impl World {
    fn new(acts: &[Act]) -> Self {
        let driver = Driver::default();
        driver.0.lock().unwrap().acts = acts.iter().copied().collect();
        Self {
            mounted: Mounted::new(driver.clone()),
            driver,
        }
    }

    fn path(&self, kind: DeviceKind) -> PathBuf {
        let name = match kind {
            DeviceKind::Lcow5 => "sev",
            _ => "sev-guest",
        };
        self.mounted.path().join(name)
    }

    fn device(&self, kind: DeviceKind) -> SnpDevice {
        SnpDevice::at(vec![(self.path(kind), kind)])
    }

    fn calls(&self) -> u32 {
        self.driver.0.lock().unwrap().calls
    }
}

const BOTH: [DeviceKind; 2] = [DeviceKind::Lcow5, DeviceKind::SevGuest];

#[tokio::test]
async fn both_drivers_give_the_report_that_was_asked_for() {
    for kind in BOTH {
        let world = World::new(&[]);
        let device = world.device(kind);
        for n in 0..3 {
            let report = device.report([n; 64]).await.unwrap();
            assert_eq!(report.report_data(), &[n; 64], "{kind:?}");
        }
        // One descriptor serves every request.
        assert_eq!(world.driver.0.lock().unwrap().opens, 1);
    }
}

#[tokio::test]
async fn busy_interrupted_and_try_again_are_asked_again() {
    for kind in BOTH {
        let busy = [libc::EBUSY, libc::EAGAIN].map(Act::Errno);
        let world = World::new(&busy);
        let report = world.device(kind).report([1; 64]).await.unwrap();
        assert_eq!(report.report_data(), &[1; 64]);
        assert_eq!(world.calls(), 3, "{kind:?}");
    }
    let world = World::new(&[Act::Error(2 << 32)]);
    let device = world.device(DeviceKind::SevGuest);
    device.report([1; 64]).await.unwrap();
    assert_eq!(world.calls(), 2);
}

#[tokio::test]
async fn a_device_that_stays_busy_is_given_up() {
    let world = World::new(&[Act::Errno(libc::EBUSY); 500]);
    let started = std::time::Instant::now();
    let error = world.device(DeviceKind::SevGuest).report([1; 64]).await;
    assert_eq!(error.unwrap_err().code(), "CR-SKR-0003");
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
    assert!(world.calls() > 5);
}

#[tokio::test]
async fn other_errors_are_told_at_once() {
    for kind in BOTH {
        for (act, code, text) in [
            (Act::Errno(libc::ENOTTY), "CR-SKR-0003", "ioctl"),
            (Act::Errno(libc::EINVAL), "CR-SKR-0003", "Invalid argument"),
            (Act::Error(0x17), "CR-SKR-0004", "0x17"),
            (Act::Status(0x16), "CR-SKR-0004", "invalid parameters"),
            (Act::Foreign, "CR-SKR-0011", "report_data"),
        ] {
            let world = World::new(&[act]);
            let error = world.device(kind).report([1; 64]).await.unwrap_err();
            assert_eq!(error.code(), code, "{kind:?} {act:?}: {error}");
            let chain = sidecar_http::chain(&error);
            assert!(chain.contains(text), "{chain}");
            assert_eq!(world.calls(), 1, "{kind:?} {act:?}");
        }
    }
}

#[tokio::test]
async fn a_descriptor_that_was_opened_before_is_used_when_the_path_no_longer_opens() {
    for kind in BOTH {
        let world = World::new(&[]);
        let path = world.path(kind);
        let opened = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path);
        let device =
            SnpDevice::from_fd(kind, "/dev/nowhere".into(), OwnedFd::from(opened.unwrap()));
        let report = device.report([5; 64]).await.unwrap();
        assert_eq!(report.report_data(), &[5; 64]);
        drop(device);
    }
}

#[tokio::test]
async fn requests_go_one_at_a_time() {
    let world = World::new(&[]);
    let device = Arc::new(world.device(DeviceKind::SevGuest));
    let mut tasks = Vec::new();
    for n in 0..16 {
        let device = Arc::clone(&device);
        tasks.push(tokio::spawn(async move { device.report([n; 64]).await }));
    }
    for (n, task) in (0..).zip(tasks) {
        let report = task.await.unwrap().unwrap();
        assert_eq!(report.report_data(), &[n; 64]);
    }
    assert_eq!(world.calls(), 16);
}
