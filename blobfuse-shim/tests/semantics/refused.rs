use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;

use nix::fcntl::{FallocateFlags, Flock, FlockArg, fallocate};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::mkfifo;

use crate::room::{errno, sink};

#[test]
fn refused_1_links_and_nodes() {
    let (memory, _, mount) = sink();
    fs::write(mount.at("a"), b"x").unwrap();
    let link = fs::hard_link(mount.at("a"), mount.at("b"));
    assert_eq!(errno(link), libc::ENOTSUP);
    let link = std::os::unix::fs::symlink("a", mount.at("b"));
    assert_eq!(errno(link), libc::ENOTSUP);
    let refused = Err(nix::errno::Errno::EOPNOTSUPP);
    assert_eq!(mkfifo(&mount.at("b"), Mode::S_IRUSR), refused);
    let device = mknod(&mount.at("b"), SFlag::S_IFCHR, Mode::S_IRUSR, 0);
    assert_eq!(device, refused);
    assert_eq!(memory.names(), ["a"]);
}

#[test]
#[allow(unsafe_code)]
fn refused_2_extended_attributes() {
    use std::os::unix::ffi::OsStrExt;
    let (_, _, mount) = sink();
    fs::write(mount.at("a"), b"x").unwrap();
    let path = std::ffi::CString::new(mount.at("a").as_os_str().as_bytes()).unwrap();
    // SAFETY: strings and a buffer that live longer than the calls.
    let (set, got) = unsafe {
        let name = c"user.x".as_ptr();
        let set = libc::setxattr(path.as_ptr(), name, c"v".as_ptr().cast(), 1, 0);
        let set = (set, nix::errno::Errno::last_raw());
        let got = libc::getxattr(path.as_ptr(), name, std::ptr::null_mut(), 0);
        (set, (got, nix::errno::Errno::last_raw()))
    };
    assert_eq!(set, (-1, libc::ENOTSUP));
    assert_eq!(got, (-1, libc::ENOTSUP));
}

#[test]
fn refused_3_preallocation() {
    let (_, _, mount) = sink();
    let file = File::create(mount.at("a")).unwrap();
    for flags in [FallocateFlags::empty(), FallocateFlags::FALLOC_FL_KEEP_SIZE] {
        let refused = fallocate(file.as_fd(), flags, 0, 4096);
        assert_eq!(refused, Err(nix::errno::Errno::EOPNOTSUPP));
    }
    assert_eq!(file.metadata().unwrap().len(), 0);
}

#[test]
fn refused_4_locks_are_local() {
    let (_, _, mount) = sink();
    fs::write(mount.at("a"), b"x").unwrap();
    let open = || OpenOptions::new().read(true).open(mount.at("a")).unwrap();
    let held = Flock::lock(open(), FlockArg::LockExclusiveNonblock).unwrap();
    let (_, error) = Flock::lock(open(), FlockArg::LockExclusiveNonblock).unwrap_err();
    assert_eq!(error, nix::errno::Errno::EWOULDBLOCK);
    drop(held);
    Flock::lock(open(), FlockArg::LockExclusiveNonblock).unwrap();
}
