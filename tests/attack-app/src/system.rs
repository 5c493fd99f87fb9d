//! System calls that change what the kernel does, or for whom.

use nix::errno::Errno;

use crate::report::Report;

/// One system call with numbers for arguments, or null pointers.
#[expect(
    unsafe_code,
    reason = "calls that no library offers, made to be refused"
)]
pub(crate) fn call(number: libc::c_long, args: [u64; 5]) -> Result<i64, Errno> {
    let [a, b, c, d, e] = args;
    // SAFETY: every pointer that a caller passes is null or points to a static string; the kernel answers EFAULT for what it
    // cannot use and writes nothing into this process.
    let result = unsafe { libc::syscall(number, a, b, c, d, e) };
    Errno::result(result)
}

fn text(text: &'static std::ffi::CStr) -> u64 {
    text.as_ptr().addr() as u64
}

pub(crate) fn calls(report: &mut Report) {
    let (root, tmp, tmpfs) = (text(c"/"), text(c"/tmp"), text(c"tmpfs"));
    let device = text(c"/tmp/device");
    let new = |flag: libc::c_int| [u64::from(flag.cast_unsigned()), 0, 0, 0, 0];
    // `clone` would make a process if it worked; with CLONE_THREAD but without CLONE_SIGHAND no kernel makes one.
    let clone = (libc::CLONE_NEWUSER | libc::CLONE_THREAD).cast_unsigned();
    let block = u64::from(libc::S_IFBLK | 0o600);
    let attempts = [
        ("mount", libc::SYS_mount, [tmpfs, tmp, tmpfs, 0, 0]),
        ("umount", libc::SYS_umount2, [tmp, 0, 0, 0, 0]),
        ("chroot", libc::SYS_chroot, [root, 0, 0, 0, 0]),
        ("pivot_root", libc::SYS_pivot_root, [root, root, 0, 0, 0]),
        ("unshare_user", libc::SYS_unshare, new(libc::CLONE_NEWUSER)),
        (
            "unshare_network",
            libc::SYS_unshare,
            new(libc::CLONE_NEWNET),
        ),
        ("clone_user", libc::SYS_clone, [clone.into(), 0, 0, 0, 0]),
        ("setns", libc::SYS_setns, [0, 0, 0, 0, 0]),
        ("setuid_root", libc::SYS_setuid, [0, 0, 0, 0, 0]),
        ("device_node", libc::SYS_mknod, [device, block, 0x800, 0, 0]),
        ("io_uring", libc::SYS_io_uring_setup, [8, 0, 0, 0, 0]),
        ("bpf", libc::SYS_bpf, [0, 0, 0, 0, 0]),
        ("keyctl", libc::SYS_keyctl, [0, 0, 1, 0, 0]),
        ("userfaultfd", libc::SYS_userfaultfd, [0, 0, 0, 0, 0]),
        ("perf_event", libc::SYS_perf_event_open, [0, 0, 0, 0, 0]),
        (
            "open_by_handle",
            libc::SYS_open_by_handle_at,
            [0, 0, 0, 0, 0],
        ),
        ("syslog", libc::SYS_syslog, [10, 0, 0, 0, 0]),
    ];
    for (name, number, args) in attempts {
        report.tried(name, call(number, args));
    }
}
