use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::chain::{authorities_pem, vcek_pem};
use super::{AmdError, uvm_endorsement};

/// THIM's JSON for the chip and TCB of every issued report.
pub fn host_amd_cert() -> Value {
    json!({
        "vcekCert": vcek_pem(),
        "tcbm": "DB18000000000004",
        "certificateChain": authorities_pem(),
        "cacheControl": "86400",
    })
}

/// Writes the security context directory of a group launched under `policy`, as a utility VM does.
///
/// # Errors
/// A policy that allows everything, or a file that cannot be written.
pub fn write_context(directory: &Path, policy: &[u8]) -> Result<(), AmdError> {
    super::refuse_allow_all(&Sha256::digest(policy))?;
    std::fs::create_dir_all(directory).map_err(|source| at(directory, source))?;
    for (name, content) in [
        ("security-policy-base64", policy),
        (
            "host-amd-cert-base64",
            host_amd_cert().to_string().as_bytes(),
        ),
        ("reference-info-base64", &uvm_endorsement()),
    ] {
        let path = directory.join(name);
        std::fs::write(&path, STANDARD.encode(content)).map_err(|source| at(&path, source))?;
    }
    Ok(())
}

fn at(path: &Path, source: std::io::Error) -> AmdError {
    AmdError::Io {
        path: path.display().to_string(),
        source,
    }
}
