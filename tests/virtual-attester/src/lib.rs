//! The virtual attester: reports without hardware, signed by a test root that only the emulators believe.
//!
//! It is given no hash: it computes host_data from the policy in the security context directory, as the host of a real
//! group does, so what runs under another policy gets another identity here too.

use std::path::{Path, PathBuf};

use attestation::{AttestError, Attester, Report, Verifier, locate_context};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use snp::{Roots, UvmRoots};

/// The policy's file in the security context directory.
const POLICY: &str = "security-policy-base64";

/// Issuer of the utility VM that the reports claim: a did:x509.
const UVM_ISSUER: &str = include_str!("../../vectors/attestation-mock/uvm-did.txt");
/// The version that the test root endorses it as.
const UVM_SVN: u64 = 100;

/// The verifier that believes the test root, and nobody else. No binary but the virtual agent's is linked with it.
///
/// # Errors
/// None: the roots are compiled in.
pub fn verifier() -> Result<Verifier, AttestError> {
    let feed = UvmRoots::microsoft()?.feed().to_owned();
    let uvm_roots = UvmRoots::custom(UVM_ISSUER.trim(), &feed, UVM_SVN)?;
    let roots = Roots::from_pem(&emulators::amd::ark_pem())?;
    Ok(Verifier::with_roots(roots, uvm_roots))
}

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
