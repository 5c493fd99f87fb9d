use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::AttestError;
use crate::error::shown;

const POLICY: &str = "security-policy-base64";
const UVM: &str = "reference-info-base64";
const HOST_CERT: &str = "host-amd-cert-base64";
const PREFIX: &str = "security-context-";
/// Larger than any policy that a container group accepts.
const FILE_CAP: u64 = 16 << 20;

/// Finds the directory that the utility VM gives to every container: `configured` (the value of
/// `UVM_SECURITY_CONTEXT_DIR`), else the only `security-context-*` directory below `root`.
///
/// # Errors
/// [`AttestError::NoContext`] if there is none, or more than one to choose from.
pub fn locate_context(configured: Option<&Path>, root: &Path) -> Result<PathBuf, AttestError> {
    if let Some(directory) = configured {
        return Ok(directory.to_owned());
    }
    let none = |reason| AttestError::NoContext { reason };
    let entries =
        std::fs::read_dir(root).map_err(|error| none(format!("{}: {error}", root.display())))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(none(format!(
            "UVM_SECURITY_CONTEXT_DIR is not set and {} has no {PREFIX}* directory",
            root.display()
        ))),
        (Some(_), false) => Err(none(format!(
            "{} has several {PREFIX}* directories",
            root.display()
        ))),
    }
}

/// THIM's certificates of the host's processor.
#[derive(Clone, Debug, Deserialize)]
pub struct HostAmdCert {
    /// PEM of the VCEK.
    #[serde(rename = "vcekCert")]
    pub vcek_cert: String,
    /// TCB of the VCEK: 16 upper-case hex digits.
    pub tcbm: String,
    /// PEM of ASK and ARK.
    #[serde(rename = "certificateChain")]
    pub certificate_chain: String,
}

impl HostAmdCert {
    /// VCEK, ASK, ARK in one PEM text.
    pub fn chain_pem(&self) -> String {
        let separator = if self.vcek_cert.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        format!("{}{separator}{}", self.vcek_cert, self.certificate_chain)
    }

    /// Compares with a report's TCB. Some hosts write the bytes in the other order.
    ///
    /// # Errors
    /// [`AttestError::TcbMismatch`]: the host's firmware changed after these certificates were fetched.
    pub fn check_tcb(&self, reported: u64) -> Result<(), AttestError> {
        match u64::from_str_radix(&self.tcbm, 16) {
            Ok(tcb) if tcb == reported || tcb.swap_bytes() == reported => Ok(()),
            _ => Err(AttestError::TcbMismatch {
                endorsed: shown(&self.tcbm),
                reported: format!("{reported:016X}"),
            }),
        }
    }
}

/// The files of the security context directory, each on its own: one that is missing spoils only what needs it.
#[derive(Debug)]
pub struct SecurityContext {
    directory: PathBuf,
    policy: Result<Vec<u8>, String>,
    uvm: Result<Vec<u8>, String>,
    host: Result<HostAmdCert, String>,
}

impl SecurityContext {
    /// Reads the directory. Never fails: what is wrong with a file is told by its accessor.
    pub async fn read(directory: &Path) -> Self {
        let directory = directory.to_owned();
        let fallback = directory.clone();
        tokio::task::spawn_blocking(move || Self::read_now(directory))
            .await
            .unwrap_or_else(|_| Self {
                directory: fallback,
                policy: Err("not read".to_owned()),
                uvm: Err("not read".to_owned()),
                host: Err("not read".to_owned()),
            })
    }

    fn read_now(directory: PathBuf) -> Self {
        let host = artefact(&directory.join(HOST_CERT)).and_then(|bytes| {
            serde_json::from_slice(&bytes).map_err(|error| format!("not THIM's JSON: {error}"))
        });
        Self {
            policy: artefact(&directory.join(POLICY)),
            uvm: artefact(&directory.join(UVM)),
            host,
            directory,
        }
    }

    /// The policy, decoded.
    ///
    /// # Errors
    /// [`AttestError::Artefact`].
    pub fn policy(&self) -> Result<&[u8], AttestError> {
        self.named(POLICY, &self.policy).map(Vec::as_slice)
    }

    /// The utility VM's endorsement: COSE_Sign1 bytes.
    ///
    /// # Errors
    /// [`AttestError::Artefact`].
    pub fn uvm_endorsements(&self) -> Result<&[u8], AttestError> {
        self.named(UVM, &self.uvm).map(Vec::as_slice)
    }

    /// The host's certificates.
    ///
    /// # Errors
    /// [`AttestError::Artefact`].
    pub fn host_amd_cert(&self) -> Result<&HostAmdCert, AttestError> {
        self.named(HOST_CERT, &self.host)
    }

    fn named<'a, T>(
        &self,
        name: &str,
        artefact: &'a Result<T, String>,
    ) -> Result<&'a T, AttestError> {
        artefact.as_ref().map_err(|reason| AttestError::Artefact {
            path: self.directory.join(name),
            reason: reason.clone(),
        })
    }
}

fn artefact(path: &Path) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = Vec::new();
    file.take(FILE_CAP + 1)
        .read_to_end(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_CAP {
        return Err(format!("more than {FILE_CAP} bytes"));
    }
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err("empty".to_owned());
    }
    STANDARD
        .decode(text)
        .map_err(|error| format!("not base64: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidecar_http::Coded;

    #[tokio::test]
    async fn a_missing_file_spoils_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(POLICY), "  cG9saWN5\n").unwrap();
        std::fs::write(dir.path().join(UVM), "not base64!").unwrap();
        let context = SecurityContext::read(dir.path()).await;
        assert_eq!(context.policy().unwrap(), b"policy");
        let uvm = context.uvm_endorsements().unwrap_err();
        assert_eq!(uvm.code(), "CR-SKR-0006");
        assert!(uvm.to_string().contains(UVM), "{uvm}");
        let host = context.host_amd_cert().unwrap_err().to_string();
        assert!(host.contains(HOST_CERT), "{host}");
    }

    #[test]
    fn the_directory_is_found_only_when_there_is_no_choice() {
        let root = tempfile::tempdir().unwrap();
        assert!(locate_context(None, root.path()).is_err());
        let one = root.path().join("security-context-17");
        std::fs::create_dir(&one).unwrap();
        assert_eq!(locate_context(None, root.path()).unwrap(), one);
        std::fs::create_dir(root.path().join("security-context-18")).unwrap();
        assert!(locate_context(None, root.path()).is_err());
        assert_eq!(locate_context(Some(&one), root.path()).unwrap(), one);
    }

    #[test]
    fn the_tcb_may_be_written_in_either_byte_order() {
        let cert = |tcbm: &str| HostAmdCert {
            vcek_cert: String::new(),
            tcbm: tcbm.to_owned(),
            certificate_chain: String::new(),
        };
        cert("7308000000000003")
            .check_tcb(0x7308_0000_0000_0003)
            .unwrap();
        cert("0300000000000873")
            .check_tcb(0x7308_0000_0000_0003)
            .unwrap();
        let error = cert("7308000000000004")
            .check_tcb(0x7308_0000_0000_0003)
            .unwrap_err();
        assert_eq!(error.code(), "CR-SKR-0010");
    }
}
