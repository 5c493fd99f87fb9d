use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cvm_evidence::{AttestRequest, PcrSelection};

use crate::CvmError;

const REPORT_DATA: &str = "reportData";
const NONCE: &str = "nonce";
/// The limit of the interface; a TPM takes up to 66 bytes.
const LONGEST_NONCE: usize = 32;

/// A request that was found good.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    /// What the SNP report has to bind, by way of the runtime claims.
    pub user_data: [u8; 64],
    /// What the quote has to bind: 1 to 32 bytes.
    pub nonce: Vec<u8>,
    /// The PCRs to quote.
    pub pcrs: PcrSelection,
}

impl Asked {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`CvmError`] that names the member which is wrong.
    pub fn read(body: &[u8]) -> Result<Self, CvmError> {
        let wire: AttestRequest = serde_json::from_slice(body).map_err(|error| CvmError::Body {
            reason: error.to_string(),
        })?;
        let report_data = decoded(REPORT_DATA, &wire.report_data)?;
        let user_data = report_data
            .try_into()
            .map_err(|given: Vec<u8>| CvmError::Length {
                member: REPORT_DATA,
                expected: "64 bytes",
                actual: given.len(),
            })?;
        let nonce = decoded(NONCE, &wire.nonce)?;
        if nonce.is_empty() || nonce.len() > LONGEST_NONCE {
            return Err(CvmError::Length {
                member: NONCE,
                expected: "1 to 32 bytes",
                actual: nonce.len(),
            });
        }
        Ok(Self {
            user_data,
            nonce,
            pcrs: PcrSelection::of(&wire.pcr_selection.unwrap_or_default())?,
        })
    }
}

fn decoded(member: &'static str, text: &str) -> Result<Vec<u8>, CvmError> {
    if text.is_empty() {
        return Err(CvmError::Missing { member });
    }
    BASE64_STANDARD
        .decode(text)
        .map_err(|error| CvmError::Base64 {
            member,
            reason: error.to_string(),
        })
}

#[cfg(test)]
mod tests;
