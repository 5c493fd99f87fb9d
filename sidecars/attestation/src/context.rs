//! What the utility VM gives every container beside the device: the policy, the certificates of the host's processor, and
//! the utility VM's endorsement. Files of the security context directory, before 2023 environment variables.
//!
//! The host writes all of it. Nothing here is believed: the policy is compared with what the hardware measured, the rest is
//! judged by its signatures.

mod artefact;
mod host_cert;
mod locate;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use host_cert::HostAmdCert;
pub use locate::locate_context;

use crate::AttestError;
use artefact::Missing;

/// Longer than any policy that a container group accepts.
const POLICY_CAP: u64 = 16 << 20;
/// Real certificates and endorsements have less than 10 KiB.
const ARTEFACT_CAP: u64 = 1 << 20;

/// Name of an artefact's file, and of the variable that carried it before there was a directory.
struct Name {
    file: &'static str,
    variable: &'static str,
}

const POLICY: Name = Name {
    file: "security-policy-base64",
    variable: "UVM_SECURITY_POLICY",
};
const UVM: Name = Name {
    file: "reference-info-base64",
    variable: "UVM_REFERENCE_INFO",
};
const HOST_CERT: Name = Name {
    file: "host-amd-cert-base64",
    variable: "UVM_HOST_AMD_CERTIFICATE",
};

/// The predecessors of the directory: values of environment variables with the same encodings. Empty means not set.
#[derive(Clone, Debug, Default)]
pub struct ContextVariables {
    /// `UVM_SECURITY_POLICY`.
    pub security_policy: Option<String>,
    /// `UVM_REFERENCE_INFO`.
    pub reference_info: Option<String>,
    /// `UVM_HOST_AMD_CERTIFICATE`.
    pub host_amd_certificate: Option<String>,
}

/// Where a group's artefacts may be.
#[derive(Clone, Debug)]
pub struct ContextPlace {
    /// The value of `UVM_SECURITY_CONTEXT_DIR`.
    pub directory: Option<PathBuf>,
    /// Where to look for the only `security-context-*` directory if no directory is given: `/`.
    pub root: PathBuf,
    /// What is read where the directory has nothing usable.
    pub variables: ContextVariables,
}

impl Default for ContextPlace {
    fn default() -> Self {
        Self {
            directory: None,
            root: "/".into(),
            variables: ContextVariables::default(),
        }
    }
}

/// Artefacts that newer utility VMs add. They reach a group while it runs, through a channel that checks no more than that
/// they are consistent in themselves: nothing in them is authenticated until their signatures are verified.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Supplement {
    /// The utility VM's endorsement as a COSE hash envelope with receipts: `transparent-reference-info-base64`.
    TransparentReferenceInfo,
    /// `application/vnd.tcb-reference-info.v1+cose`: `tcb-reference-info-base64`.
    TcbReferenceInfo,
    /// `application/vnd.platform-reference-info.v1+cose`: `platform-reference-info-base64`.
    PlatformReferenceInfo,
}

impl Supplement {
    /// Every supplement.
    pub const ALL: [Self; 3] = [
        Self::TransparentReferenceInfo,
        Self::TcbReferenceInfo,
        Self::PlatformReferenceInfo,
    ];

    /// Name of its file in the security context directory.
    pub const fn file(self) -> &'static str {
        match self {
            Self::TransparentReferenceInfo => "transparent-reference-info-base64",
            Self::TcbReferenceInfo => "tcb-reference-info-base64",
            Self::PlatformReferenceInfo => "platform-reference-info-base64",
        }
    }
}

/// The artefacts of a group as they are now, each on its own: one that is missing spoils only what needs it.
#[derive(Debug)]
pub struct SecurityContext {
    directory: Result<PathBuf, String>,
    policy: Result<Vec<u8>, String>,
    uvm: Result<Vec<u8>, String>,
    host: Result<HostAmdCert, String>,
    supplements: Vec<(Supplement, Result<Vec<u8>, Missing>)>,
}

impl SecurityContext {
    /// Reads a directory. Never fails: what is wrong with an artefact is told by its accessor.
    pub async fn read(directory: &Path) -> Self {
        Self::find(&ContextPlace {
            directory: Some(directory.to_owned()),
            ..ContextPlace::default()
        })
        .await
    }

    /// Reads what is at `place`: each artefact from the directory, else from its variable. Never fails: what is wrong with
    /// an artefact is told by its accessor.
    pub async fn find(place: &ContextPlace) -> Self {
        let place = place.clone();
        let read = tokio::task::spawn_blocking(move || Self::find_now(&place)).await;
        read.unwrap_or_else(|_| {
            let unread = || "not read: the process is stopping".to_owned();
            Self {
                directory: Err(unread()),
                policy: Err(unread()),
                uvm: Err(unread()),
                host: Err(unread()),
                supplements: Vec::new(),
            }
        })
    }

    fn find_now(place: &ContextPlace) -> Self {
        let directory = locate_context(place.directory.as_deref(), &place.root)
            .map_err(|error| error.to_string());
        let variables = &place.variables;
        let artefact = |name: &Name, variable: &Option<String>, cap| {
            either(name, directory.as_deref(), variable.as_deref(), cap)
        };
        Self {
            policy: artefact(&POLICY, &variables.security_policy, POLICY_CAP),
            uvm: artefact(&UVM, &variables.reference_info, ARTEFACT_CAP),
            host: host(
                directory.as_deref(),
                variables.host_amd_certificate.as_deref(),
            ),
            supplements: Supplement::ALL
                .iter()
                .filter_map(|which| {
                    let path = directory.as_ref().ok()?.join(which.file());
                    Some((*which, artefact::of_file(&path, ARTEFACT_CAP)))
                })
                .collect(),
            directory,
        }
    }

    /// The policy, decoded.
    ///
    /// # Errors
    /// [`AttestError::Artefact`].
    pub fn policy(&self) -> Result<&[u8], AttestError> {
        self.named(POLICY.file, &self.policy).map(Vec::as_slice)
    }

    /// The utility VM's endorsement: COSE_Sign1 bytes.
    ///
    /// # Errors
    /// [`AttestError::Artefact`].
    pub fn uvm_endorsements(&self) -> Result<&[u8], AttestError> {
        self.named(UVM.file, &self.uvm).map(Vec::as_slice)
    }

    /// The host's certificates.
    ///
    /// # Errors
    /// [`AttestError::Artefact`].
    pub fn host_amd_cert(&self) -> Result<&HostAmdCert, AttestError> {
        self.named(HOST_CERT.file, &self.host)
    }

    /// A supplement, **unauthenticated**: COSE bytes that anybody may have written. `None` if the utility VM gave none.
    ///
    /// # Errors
    /// [`AttestError::Artefact`]: there is one, and it is unusable.
    pub fn unauthenticated_supplement(
        &self,
        which: Supplement,
    ) -> Result<Option<&[u8]>, AttestError> {
        let found = self.supplements.iter().find(|(name, _)| *name == which);
        match found.map(|(_, artefact)| artefact) {
            None | Some(Err(Missing::Absent)) => Ok(None),
            Some(Ok(bytes)) => Ok(Some(bytes)),
            Some(Err(Missing::Unusable(reason))) => Err(self.unusable(which.file(), reason)),
        }
    }

    fn named<'a, T>(
        &self,
        file: &str,
        artefact: &'a Result<T, String>,
    ) -> Result<&'a T, AttestError> {
        artefact
            .as_ref()
            .map_err(|reason| self.unusable(file, reason))
    }

    fn unusable(&self, file: &str, reason: &str) -> AttestError {
        let directory = self.directory.as_deref().unwrap_or_else(|_| Path::new(""));
        AttestError::Artefact {
            path: directory.join(file),
            reason: reason.to_owned(),
        }
    }
}

/// The artefact's bytes from the directory, else from the variable; or why neither has it.
fn either(
    name: &Name,
    directory: Result<&Path, &String>,
    variable: Option<&str>,
    cap: u64,
) -> Result<Vec<u8>, String> {
    let reason = match in_directory(name, directory, cap) {
        Ok(bytes) => return Ok(bytes),
        Err(reason) => reason,
    };
    in_variable(name, variable, cap).map_err(|other| format!("{reason}; {other}"))
}

/// As [`either`], where a file that is base64 but no certificates is as good as none.
fn host(directory: Result<&Path, &String>, variable: Option<&str>) -> Result<HostAmdCert, String> {
    let reason = match in_directory(&HOST_CERT, directory, ARTEFACT_CAP)
        .and_then(|bytes| HostAmdCert::parse(&bytes))
    {
        Ok(certificates) => return Ok(certificates),
        Err(reason) => reason,
    };
    in_variable(&HOST_CERT, variable, ARTEFACT_CAP)
        .and_then(|bytes| {
            HostAmdCert::parse(&bytes).map_err(|other| format!("{}: {other}", HOST_CERT.variable))
        })
        .map_err(|other| format!("{reason}; {other}"))
}

fn in_directory(
    name: &Name,
    directory: Result<&Path, &String>,
    cap: u64,
) -> Result<Vec<u8>, String> {
    let directory = directory.map_err(Clone::clone)?;
    artefact::of_file(&directory.join(name.file), cap).map_err(|missing| match missing {
        Missing::Absent => "there is no such file".to_owned(),
        Missing::Unusable(reason) => reason,
    })
}

fn in_variable(name: &Name, variable: Option<&str>, cap: u64) -> Result<Vec<u8>, String> {
    let Some(text) = variable.filter(|text| !text.is_empty()) else {
        return Err(format!("{} is not set", name.variable));
    };
    artefact::of_text(text.as_bytes(), cap).map_err(|missing| match missing {
        Missing::Absent => format!("{} is not set", name.variable),
        Missing::Unusable(reason) => format!("{}: {reason}", name.variable),
    })
}
