//! What a process gives up before it reads an outside byte (`docs/architecture.md`).

use std::collections::BTreeMap;

use caps::{CapSet, Capability, CapsHashSet};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use nix::unistd::{Gid, Uid};

use crate::KitError;

/// What a process keeps.
#[derive(Clone, Debug, Default)]
pub struct Privileges {
    keep: CapsHashSet,
    snp: bool,
}

impl Privileges {
    /// Nothing: the rule for every sidecar.
    pub fn none() -> Self {
        Self::default()
    }

    /// The SNP report ioctls: `skr-agent` only. The guest agent gives every container the device, so this is what keeps
    /// the others from it.
    #[must_use]
    pub const fn snp_ioctls(mut self) -> Self {
        self.snp = true;
        self
    }

    /// Further capabilities to keep.
    #[must_use]
    pub fn keep(mut self, capabilities: &[Capability]) -> Self {
        self.keep.extend(capabilities);
        self
    }
}

/// `_IOWR('S', 1, 40)` of the 5.x driver, and the three requests of the 6.x driver (`include/uapi/linux/sev-guest.h`).
const SNP_IOCTLS: [u32; 6] = [
    0xC028_5300,
    0xC028_5301,
    0xC028_5302,
    0xC020_5300,
    0xC020_5301,
    0xC020_5302,
];

/// System calls that no sidecar needs and that reach into other processes or widen the kernel's surface.
const DENIED: [libc::c_long; 13] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_io_uring_setup,
];

/// Hardens the calling process: no new privileges, not dumpable, no core files, capabilities dropped, SNP ioctls and
/// cross-process system calls denied. Call it before the first thread starts: threads inherit, they do not follow.
///
/// # Errors
/// [`KitError::Harden`] naming the step. Nothing is undone; the caller must exit.
pub fn harden(privileges: &Privileges) -> Result<(), KitError> {
    nix::sys::prctl::set_no_new_privs().map_err(|errno| failed("no_new_privs", errno))?;
    nix::sys::prctl::set_dumpable(false).map_err(|errno| failed("not dumpable", errno))?;
    let none = nix::sys::resource::Resource::RLIMIT_CORE;
    nix::sys::resource::setrlimit(none, 0, 0).map_err(|errno| failed("no core files", errno))?;
    drop_capabilities(privileges)?;
    let filter = filter(privileges).map_err(|error| failed("seccomp", error))?;
    seccompiler::apply_filter(&filter).map_err(|error| failed("seccomp", error))
}

/// Becomes the user and group `id` for good: no further groups, no way back. Nothing to do if the process is that user.
///
/// For a process that starts as root because it opens something that only root may: before [`harden`] and before any
/// thread.
///
/// # Errors
/// [`KitError::Harden`] naming the step; the caller must exit.
pub fn become_user(id: u32) -> Result<(), KitError> {
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    if Uid::effective() == user {
        return Ok(());
    }
    nix::unistd::setgroups(&[]).map_err(|errno| failed("dropping groups", errno))?;
    nix::unistd::setresgid(group, group, group)
        .map_err(|errno| failed("changing the group", errno))?;
    nix::unistd::setresuid(user, user, user).map_err(|errno| failed("changing the user", errno))?;
    if nix::unistd::setuid(Uid::from_raw(0)).is_ok() {
        return Err(failed("giving root up", "there is a way back"));
    }
    Ok(())
}

fn failed(step: &'static str, reason: impl ToString) -> KitError {
    KitError::Harden {
        step,
        reason: reason.to_string(),
    }
}

fn drop_capabilities(privileges: &Privileges) -> Result<(), KitError> {
    let held =
        caps::read(None, CapSet::Permitted).map_err(|error| failed("capabilities", error))?;
    // Without CAP_SETPCAP the bounding set stays, which changes nothing: with no_new_privs it can never be gained.
    if held.contains(&Capability::CAP_SETPCAP) {
        let bounding =
            caps::read(None, CapSet::Bounding).map_err(|error| failed("capabilities", error))?;
        for capability in bounding.difference(&privileges.keep) {
            caps::drop(None, CapSet::Bounding, *capability)
                .map_err(|error| failed("bounding set", error))?;
        }
    }
    let keep: CapsHashSet = held.intersection(&privileges.keep).copied().collect();
    caps::clear(None, CapSet::Ambient).map_err(|error| failed("ambient set", error))?;
    caps::clear(None, CapSet::Inheritable).map_err(|error| failed("inheritable set", error))?;
    caps::set(None, CapSet::Effective, &keep).map_err(|error| failed("effective set", error))?;
    caps::set(None, CapSet::Permitted, &keep).map_err(|error| failed("permitted set", error))
}

fn filter(privileges: &Privileges) -> Result<BpfProgram, seccompiler::Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        DENIED.iter().map(|call| (*call, Vec::new())).collect();
    if !privileges.snp {
        let requests = SNP_IOCTLS
            .iter()
            .map(|request| {
                SeccompRule::new(vec![SeccompCondition::new(
                    1,
                    SeccompCmpArgLen::Dword,
                    SeccompCmpOp::Eq,
                    u64::from(*request),
                )?])
            })
            .collect::<Result<Vec<_>, _>>()?;
        rules.insert(libc::SYS_ioctl, requests);
    }
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        TargetArch::x86_64,
    )?;
    Ok(filter.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hardens a forked child and lets it report by its exit code, since hardening cannot be undone.
    #[allow(unsafe_code)]
    fn in_child(check: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child only makes system calls and exits without returning to the test harness.
        match unsafe { libc::fork() } {
            0 => {
                let code = i32::from(!check());
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(code) }
            }
            child => {
                let mut status = 0;
                // SAFETY: waits for the child made above; `status` outlives the call.
                let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
                waited == child && libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
            }
        }
    }

    #[allow(unsafe_code)]
    fn ioctl_errno(request: u32) -> i32 {
        // SAFETY: an ioctl on an invalid descriptor reads no memory; the kernel answers EBADF, the filter EPERM.
        unsafe { libc::ioctl(-1, libc::c_ulong::from(request), 0) };
        std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
    }

    #[test]
    fn the_snp_ioctls_are_denied_to_everyone_but_skr_agent() {
        assert!(in_child(|| harden(&Privileges::none()).is_ok()
            && SNP_IOCTLS.iter().all(|r| ioctl_errno(*r) == libc::EPERM)));
        assert!(in_child(|| harden(&Privileges::none().snp_ioctls())
            .is_ok()
            && SNP_IOCTLS.iter().all(|r| ioctl_errno(*r) == libc::EBADF)));
    }

    #[test]
    fn a_user_that_was_become_is_the_only_one_left() {
        assert!(in_child(|| {
            let us = Uid::effective();
            let other = if us.is_root() { 10084 } else { us.as_raw() };
            become_user(other).is_ok()
                && nix::unistd::getresuid().is_ok_and(|ids| {
                    [ids.real, ids.effective, ids.saved] == [Uid::from_raw(other); 3]
                })
                && (!us.is_root() || nix::unistd::getgroups().is_ok_and(|all| all.is_empty()))
                && become_user(other + 1).is_err()
        }));
    }

    #[test]
    fn other_ioctls_pass() {
        assert!(in_child(
            || harden(&Privileges::none()).is_ok() && ioctl_errno(0x5401) == libc::EBADF
        ));
    }

    #[test]
    fn no_capability_remains_and_none_can_be_gained() {
        assert!(in_child(|| {
            harden(&Privileges::none()).is_ok()
                && caps::read(None, CapSet::Permitted).is_ok_and(|set| set.is_empty())
                && nix::sys::prctl::get_no_new_privs().is_ok_and(|set| set)
                && nix::sys::prctl::get_dumpable().is_ok_and(|set| !set)
        }));
    }
}
