use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The kernel's notice that a directory changed.
pub(crate) struct Watch {
    inotify: AsyncFd<Owned>,
}

struct Owned(Inotify);

impl AsRawFd for Owned {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl AsFd for Owned {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Watch {
    /// Watches the nearest existing directory above `path`, so that a missing parent is noticed as well.
    pub(crate) fn above(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_ONLYDIR;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for directory in path.ancestors().skip(1) {
            match inotify.add_watch(directory, flags) {
                Ok(_) => {
                    return Self::register(Owned(inotify));
                }
                Err(errno) => last = errno.into(),
            }
        }
        Err(last)
    }

    #[expect(unsafe_code, reason = "registration with the reactor")]
    fn register(inotify: Owned) -> io::Result<Self> {
        // SAFETY: `Owned` owns one descriptor, always returns the same, and closes it only when dropped, which `AsyncFd`
        // does after deregistering.
        let inotify = unsafe { AsyncFd::register_with_interest(inotify, Interest::READABLE) };
        inotify
            .map(|inotify| Self { inotify })
            .map_err(io::Error::from)
    }

    /// Returns after the next change.
    pub(crate) async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.inotify.readable().await?;
            let read =
                ready.try_io(|owned| owned.get_ref().0.read_events().map_err(io::Error::from));
            match read {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }
}

/// Returns once `path` exists, told by the kernel rather than by looking again and again.
///
/// # Errors
/// No directory above the path can be watched. There is no deadline here: wrap it in one.
pub async fn wait_for_path(path: &Path) -> io::Result<()> {
    loop {
        // The watch comes before the look, so nothing that happens between them is missed.
        let mut watch = Watch::above(path)?;
        if path.exists() {
            return Ok(());
        }
        watch.changed().await?;
    }
}
