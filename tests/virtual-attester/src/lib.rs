//! The virtual attester: reports without hardware, signed by a test root that only the emulators believe.
//!
//! It is given no hash: it computes host_data from the policy in the security context directory, as the host of a real
//! group does, so what runs under another policy gets another identity here too.

use std::path::{Path, PathBuf};

use attestation::{AttestError, Attester, Report, locate_context};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The policy's file in the security context directory.
const POLICY: &str = "security-policy-base64";

/// An [`Attester`] that signs with the test root's VCEK.
#[derive(Clone, Debug)]
pub struct VirtualAttester {
    context_dir: Option<PathBuf>,
}

impl VirtualAttester {
    /// Attests for the policy in `context_dir`, or in the only `/security-context-*`.
    pub fn new(context_dir: Option<PathBuf>) -> Self {
        Self { context_dir }
    }
}

impl Attester for VirtualAttester {
    async fn report(&self, report_data: [u8; 64]) -> Result<Report, AttestError> {
        let path = locate_context(self.context_dir.as_deref(), Path::new("/"))?.join(POLICY);
        let unusable = |reason: String| AttestError::Artefact {
            path: path.clone(),
            reason,
        };
        let text = tokio::fs::read(&path)
            .await
            .map_err(|error| unusable(error.to_string()))?;
        let policy = STANDARD
            .decode(text.trim_ascii())
            .map_err(|error| unusable(format!("not base64: {error}")))?;
        let host_data: [u8; 32] = Sha256::digest(&policy).into();
        let report = emulators::amd::issue_report(&host_data, &report_data)
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Report::parse(&report)?)
    }
}
