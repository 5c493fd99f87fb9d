//! Files that storage does not have as they should be: for the audit log.

use std::sync::Mutex;

use blob_format::FormatError;
use blob_store::StoreError;
use cleanroom_crypto::{Dek, Zeroizing, kdf, mac};
use serde::Serialize;
use sidecar_http::Coded;
use tokio::sync::watch;

use crate::inner::lock;
use crate::{FileSystem, FsError};

/// Findings of one mount that are told one by one; a hostile store must not fill the ledger.
const MOST: usize = 64;

/// One file that was refused.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// Which file: 32 hexadecimal digits of an HMAC of its path, under a key of the data key, as a name is the owner's
    /// secret. None says that further files were refused.
    pub file: Option<String>,
    /// Code of the error that the application got.
    pub code: String,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Mutex<Vec<Finding>>,
    news: watch::Sender<()>,
}

impl Findings {
    /// Takes note of an error, if it tells of content that is not what was written.
    pub(crate) fn report(&self, dek: &Dek, path: &str, error: &FsError) {
        if !is_tampering(error) {
            return;
        }
        let code = error.code().to_owned();
        let file = Some(file_id(dek, path).unwrap_or_default());
        let mut list = lock(&self.list);
        let mut finding = Finding { file, code };
        if list.len() > MOST || list.contains(&finding) {
            return;
        }
        if list.len() == MOST {
            finding.file = None;
        }
        tracing::warn!(
            file = finding.file,
            code = finding.code,
            "a file was refused"
        );
        list.push(finding);
        drop(list);
        self.news.send_replace(());
    }

    pub(crate) fn after(&self, seen: usize) -> Vec<Finding> {
        lock(&self.list).get(seen..).unwrap_or_default().to_vec()
    }
}

impl FileSystem {
    /// What was found, but for the first `seen`. Each file is told once for each reason.
    pub fn findings(&self, seen: usize) -> Vec<Finding> {
        self.0.findings.after(seen)
    }

    /// As [`FileSystem::findings`], once there is something.
    pub async fn next_findings(&self, seen: usize) -> Vec<Finding> {
        let mut news = self.0.findings.news.subscribe();
        loop {
            let found = self.findings(seen);
            // The sender lives as long as the file system.
            if !found.is_empty() || news.changed().await.is_err() {
                return found;
            }
        }
    }
}

/// Whether an error shows that storage, or whoever writes to it, changed what a writer made.
fn is_tampering(error: &FsError) -> bool {
    match error {
        FsError::Missing => true,
        // Under CPK the service tells: what it holds was written under another key, or under none.
        FsError::Store { code, .. } => {
            [StoreError::WrongKey.code(), StoreError::KeyNotUsed.code()].contains(&code.as_str())
        }
        FsError::Format(error) => !matches!(
            error,
            FormatError::NotAppend { .. }
                | FormatError::TooLarge
                | FormatError::Crypto(_)
                | FormatError::Buffer(_)
                | FormatError::Fetched { .. }
                | FormatError::Incomplete { .. }
                | FormatError::Contract(_)
                | FormatError::KeyWorn
                | FormatError::NotListed
        ),
        _ => false,
    }
}

/// `HMAC(HKDF-Expand(HKDF-Extract(no salt, DEK), "audit-path", 32), path)[0..16]`, hexadecimal.
fn file_id(dek: &Dek, path: &str) -> Result<String, FormatError> {
    let prk = kdf::hkdf_extract_sha256(&[], dek.expose());
    let mut key = Zeroizing::new([0; 32]);
    kdf::hkdf_expand_sha256(&prk, &[b"audit-path"], key.as_mut_slice())?;
    let mac = mac::hmac_sha256(key.as_slice(), path.as_bytes());
    let half = mac.iter().take(16);
    Ok(half.map(|byte| format!("{byte:02x}")).collect())
}
