//! `/dev/tpm0` over a real TPM: a FUSE file that behaves as the kernel's driver and hands whole commands to `swtpm`.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, Session, SessionACL, WriteFlags,
};
use tempfile::TempDir;

use crate::frames;
use crate::hcl::Firmware;

/// Group of the device, as `tss` is elsewhere.
pub(crate) const DEVICE_GROUP: u32 = 4242;
const NAME: &str = "tpm0";
const HCL_REPORT: u32 = 0x0140_0001;
pub(crate) const USER_DATA: u32 = 0x0140_0002;
/// Nothing is cached: every look is a question to the double.
const UNCACHED: Duration = Duration::ZERO;

/// A software TPM that ends with its connection.
pub(crate) struct Swtpm {
    connection: Option<UnixStream>,
    process: Child,
    _state: TempDir,
}

impl Swtpm {
    fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        // It takes no descriptor below 3.
        let process = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 </dev/null", "sh", "swtpm"])
            .args(["socket", "--tpm2", "--fd", "3"])
            .args(["--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", state.path().display()))
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            connection: Some(ours),
            process,
            _state: state,
        }
    }

    /// The answer to a command, or `None` once the TPM is gone.
    fn transmit(&mut self, command: &[u8]) -> Option<Vec<u8>> {
        let connection = self.connection.as_mut()?;
        connection.write_all(command).ok()?;
        let mut answer = vec![0; 10];
        connection.read_exact(&mut answer).ok()?;
        let length = usize::try_from(u32::from_be_bytes(answer[2..6].try_into().unwrap())).unwrap();
        assert!((10..=frames::LONGEST).contains(&length));
        answer.resize(length, 0);
        connection.read_exact(&mut answer[10..]).ok()?;
        Some(answer)
    }

    fn stop(&mut self) {
        self.connection = None;
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.stop();
    }
}

struct State {
    tpm: Swtpm,
    firmware: Firmware,
    held: bool,
    busy: u32,
    hangs: bool,
    answer: VecDeque<u8>,
    user_data_writes: u32,
    extends_after_quote: bool,
}

impl State {
    /// The paravisor's part: a report over the user data that was just written.
    fn write_report(&mut self, user_data: &[u8; 64]) {
        let mut report = self.firmware.hcl_report(user_data);
        assert!(report.len() <= 2048, "{}", report.len());
        report.resize(2048, 0);
        for (at, part) in (0..).step_by(1024).zip(report.chunks(1024)) {
            let written = self.tpm.transmit(&frames::nv_write(HCL_REPORT, at, part));
            assert!(frames::succeeded(&written.unwrap()));
        }
    }
}

/// The driver, shared with the tests, which are its firmware's hands.
#[derive(Clone)]
pub(crate) struct Driver(Arc<(Mutex<State>, Condvar)>);

impl Driver {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One command past the device file; it has to succeed.
    pub(crate) fn command(&self, command: &[u8]) -> Vec<u8> {
        let answer = self.state().tpm.transmit(command).unwrap();
        assert!(frames::succeeded(&answer), "{command:02x?}: {answer:02x?}");
        answer
    }

    /// Changes the firmware and lets it write a report.
    pub(crate) fn firmware(&self, change: impl FnOnce(&mut Firmware)) {
        let mut state = self.state();
        change(&mut state.firmware);
        state.write_report(&[0; 64]);
    }

    /// The next opens find the device busy.
    pub(crate) fn busy(&self, opens: u32) {
        self.state().busy = opens;
    }

    /// Commands get no answer until told otherwise.
    pub(crate) fn hang(&self, hangs: bool) {
        self.state().hangs = hangs;
        self.0.1.notify_all();
    }

    /// After the next quote a PCR is extended before its values are read.
    pub(crate) fn extend_after_quote(&self) {
        self.state().extends_after_quote = true;
    }

    pub(crate) fn stop_tpm(&self) {
        self.state().tpm.stop();
    }

    pub(crate) fn user_data_writes(&self) -> u32 {
        self.state().user_data_writes
    }
}

impl Filesystem for Driver {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name != NAME {
            return reply.error(Errno::ENOENT);
        }
        reply.entry(&UNCACHED, &attributes(INodeNo(2)), Generation(0));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&UNCACHED, &attributes(ino));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let mut state = self.state();
        if state.held || state.busy > 0 {
            state.busy = state.busy.saturating_sub(1);
            return reply.error(Errno::EBUSY);
        }
        state.held = true;
        state.answer.clear();
        reply.opened(
            FileHandle(0),
            FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_STREAM,
        );
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        command: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let state = self.state();
        let mut state = self.0.1.wait_while(state, |state| state.hangs).unwrap();
        let Some(answer) = state.tpm.transmit(command) else {
            return reply.error(Errno::EIO);
        };
        if frames::succeeded(&answer) {
            if let Some(user_data) = frames::written_to(command, USER_DATA) {
                state.user_data_writes += 1;
                if state.firmware.listens {
                    state.write_report(user_data.try_into().unwrap());
                }
            }
            if command[6..10] == [0, 0, 1, 0x58] && std::mem::take(&mut state.extends_after_quote) {
                let extend = frames::pcr_extend(16, &[5; 32]);
                assert!(frames::succeeded(&state.tpm.transmit(&extend).unwrap()));
            }
        }
        state.answer = answer.into();
        reply.written(u32::try_from(command.len()).unwrap());
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut state = self.state();
        let length = state.answer.len().min(usize::try_from(size).unwrap());
        let part: Vec<u8> = state.answer.drain(..length).collect();
        reply.data(&part);
    }

    /// The one step of closing that the closing process waits for.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        self.state().held = false;
        reply.ok();
    }
}

fn attributes(ino: INodeNo) -> FileAttr {
    let (kind, perm) = match ino {
        INodeNo::ROOT => (FileType::Directory, 0o755),
        _ => (FileType::RegularFile, 0o660),
    };
    FileAttr {
        ino,
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink: 1,
        uid: 0,
        gid: DEVICE_GROUP,
        rdev: 0,
        flags: 0,
        blksize: 4096,
    }
}

/// The mounted device; unmounted when dropped.
pub(crate) struct Device {
    pub(crate) driver: Driver,
    session: Option<BackgroundSession>,
    directory: TempDir,
}

impl Device {
    /// A TPM with nothing in it.
    pub(crate) fn new() -> Self {
        let driver = Driver(Arc::new((
            Mutex::new(State {
                tpm: Swtpm::start(),
                firmware: Firmware {
                    ak: Vec::new(),
                    listens: true,
                    tampers: false,
                },
                held: false,
                busy: 0,
                hangs: false,
                answer: VecDeque::new(),
                user_data_writes: 0,
                extends_after_quote: false,
            }),
            Condvar::new(),
        )));
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("tpm".to_owned()),
            MountOption::DefaultPermissions,
        ];
        config.acl = SessionACL::All;
        config.n_threads = Some(4);
        let session = Session::new(driver.clone(), directory.path(), &config).unwrap();
        Self {
            driver,
            session: Some(session.spawn().unwrap()),
            directory,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join(NAME)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.driver.hang(false);
        if let Some(session) = self.session.take() {
            let unmounted = session.umount_and_join();
            assert!(unmounted.is_ok() || std::thread::panicking());
        }
    }
}
