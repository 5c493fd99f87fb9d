//! A container's user and capabilities for a process of this machine.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::str::FromStr;

use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use super::DeployError;
use super::supervisor::Process;

/// Who a process is, parsed before the fork.
pub(super) struct Identity {
    uid: u32,
    gid: u32,
    keep: CapsHashSet,
    drop: CapsHashSet,
}

impl Identity {
    pub(super) fn of(process: &Process) -> Result<Self, DeployError> {
        let keep = process
            .capabilities
            .iter()
            .map(|name| {
                Capability::from_str(&caps::to_canonical(name))
                    .map_err(|_| DeployError::Capability { name: name.clone() })
            })
            .collect::<Result<CapsHashSet, _>>()?;
        let bounding =
            caps::read(None, CapSet::Bounding).map_err(|error| DeployError::Namespace {
                step: "capabilities",
                reason: error.to_string(),
            })?;
        Ok(Self {
            uid: process.uid,
            gid: process.gid,
            drop: bounding.difference(&keep).copied().collect(),
            keep,
        })
    }

    /// Runs in the child, between fork and exec.
    fn assume(&self) -> std::io::Result<()> {
        let failed = |error: caps::errors::CapsError| std::io::Error::other(error.to_string());
        nix::sys::signal::SigSet::empty().thread_set_mask()?;
        nix::sys::prctl::set_no_new_privs()?;
        for capability in &self.drop {
            caps::drop(None, CapSet::Bounding, *capability).map_err(failed)?;
        }
        setgroups(&[])?;
        setgid(Gid::from_raw(self.gid))?;
        setuid(Uid::from_raw(self.uid))?;
        if self.uid == 0 {
            // exec recomputes root's capabilities from the bounding set; this narrows what is held until then.
            let held = caps::read(None, CapSet::Permitted).map_err(failed)?;
            let keep: CapsHashSet = held.intersection(&self.keep).copied().collect();
            caps::set(None, CapSet::Effective, &keep).map_err(failed)?;
            caps::set(None, CapSet::Permitted, &keep).map_err(failed)?;
        }
        Ok(())
    }
}

/// Makes the command start as `identity`.
#[expect(unsafe_code, reason = "code between fork and exec")]
pub(super) fn apply(command: &mut Command, identity: Identity) {
    // SAFETY: the supervisor has one thread, so no lock can be held by another at the fork.
    unsafe { command.pre_exec(move || identity.assume()) };
}
