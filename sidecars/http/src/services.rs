//! Who is who inside a group: names, users and sockets (`docs/architecture.md`).
//!
//! The CCE policy pins user and group of every image, so a uid is a measured identity.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Where the socket directories are, one per callee.
pub const SOCKET_DIR: &str = "/run/cleanroom/sockets";
/// Where `init` leaves the boot trace.
pub const BOOT_DIR: &str = "/run/cleanroom/boot";
/// The customer's application.
pub const APPLICATION_UID: u32 = 1000;

/// A process of the group that others call, and the user it runs as.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Service {
    /// Name of the service, of its socket directory and of its telemetry files.
    pub name: Cow<'static, str>,
    /// User and group id.
    pub uid: u32,
}

const fn fixed(name: &'static str, uid: u32) -> Service {
    Service {
        name: Cow::Borrowed(name),
        uid,
    }
}

/// Evidence, MAA tokens, key release.
pub const SKR_AGENT: Service = fixed("skr-agent", 10084);
/// Evidence of a confidential virtual machine: what skr-agent is in a container group.
pub const CVM_ATTESTATION_AGENT: Service = fixed("cvm-attestation-agent", 10089);
/// Unwraps data encryption keys.
pub const SECRETS: Service = fixed("secrets", 10093);
/// Entra ID tokens.
pub const IDENTITY: Service = fixed("identity", 10029);
/// Consent, audit events and ID tokens from CGS.
pub const GOVERNANCE: Service = fixed("governance", 10030);
/// OTLP receiver.
pub const OTEL_COLLECTOR: Service = fixed("otel-collector", 10001);
/// Starts the application.
pub const CODE_LAUNCHER: Service = fixed("code-launcher", 10031);
/// Set aside for the proxy of an application with network access; there is none yet.
pub const PROXY: Service = fixed("proxy", 10015);

/// The services that exist at most once per group.
pub const FIXED: [Service; 8] = [
    SKR_AGENT,
    CVM_ATTESTATION_AGENT,
    SECRETS,
    IDENTITY,
    GOVERNANCE,
    OTEL_COLLECTOR,
    CODE_LAUNCHER,
    PROXY,
];

const FIRST_SHIMS: std::ops::RangeInclusive<u32> = 10020..=10028;
const MORE_SHIMS: std::ops::Range<u32> = 10200..11000;

/// How many shims a group can have.
pub const SHIMS: usize = 809;

/// The shim of one access point.
pub fn shim(access_name: &str, uid: u32) -> Service {
    Service {
        name: Cow::Owned(access_name.to_owned()),
        uid,
    }
}

/// The uid of the `index`-th access point of a group: 10020 to 10028, then from 10200; `None` past the last of them.
pub fn shim_uid(index: usize) -> Option<u32> {
    FIRST_SHIMS.chain(MORE_SHIMS).nth(index)
}

/// Whether a uid belongs to a shim.
pub fn is_shim(uid: u32) -> bool {
    FIRST_SHIMS.contains(&uid) || MORE_SHIMS.contains(&uid)
}

/// Whether a uid belongs to any sidecar. Root and the application are none.
pub fn is_sidecar(uid: u32) -> bool {
    is_shim(uid) || FIXED.iter().any(|service| service.uid == uid)
}

impl Service {
    /// The socket's path: `<dir>/<name>/<name>.sock`.
    pub fn socket(&self, socket_dir: &Path) -> PathBuf {
        socket_dir
            .join(&*self.name)
            .join(format!("{}.sock", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_root_nor_the_application_is_a_sidecar() {
        assert!(!is_sidecar(0));
        assert!(!is_sidecar(APPLICATION_UID));
        assert!(is_sidecar(SECRETS.uid));
    }

    #[test]
    fn shims_continue_past_the_first_nine() {
        assert_eq!(shim_uid(0), Some(10020));
        assert_eq!(shim_uid(8), Some(10028));
        assert_eq!(shim_uid(9), Some(10200));
        assert!(shim_uid(SHIMS - 1).is_some());
        assert_eq!(shim_uid(SHIMS), None);
        assert!(!is_shim(IDENTITY.uid));
    }
}
