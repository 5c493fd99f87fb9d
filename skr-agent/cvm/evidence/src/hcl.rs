use cleanroom_crypto::digest::sha256;

use crate::reader::Reader;
use crate::{EvidenceError, RuntimeClaims};

/// Length of an SNP attestation report in bytes.
pub const SNP_REPORT_LEN: usize = 1184;

const SIGNATURE: &[u8; 4] = b"HCLA";
const HEADER_LEN: u32 = 32;
const CLAIMS_HEADER_LEN: u32 = 20;
/// Current hosts keep 2600 bytes, older ones 2048; the index of a TPM holds less than 64 KiB.
const LONGEST: usize = 8 << 10;
/// Where ATTESTATION_REPORT keeps REPORT_DATA.
const REPORT_DATA: std::ops::Range<usize> = 0x50..0x90;

/// What the paravisor keeps in the TPM's NV index `0x01400001`: a header, the SNP report, and the runtime claims that the
/// report's `report_data` is the hash of (Microsoft, "Guest attestation for confidential VMs", design).
///
/// The claims are kept as received, because the hash covers these bytes and no re-serialisation of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HclReport {
    snp: Box<[u8; SNP_REPORT_LEN]>,
    claims: Vec<u8>,
}

impl HclReport {
    /// Takes the blob apart.
    ///
    /// # Errors
    /// [`EvidenceError::Hcl`]: cut off, lengths that contradict each other, an unknown layout, no SNP report, another hash
    /// than SHA-256, or bytes behind the claims that are not zero.
    pub fn parse(blob: &[u8]) -> Result<Self, EvidenceError> {
        if blob.len() > LONGEST {
            return Err(bad(
                "length",
                format!("at most {LONGEST} bytes"),
                blob.len(),
            ));
        }
        let mut reader = Reader::new(blob);
        let ends_early = || bad("length", "more bytes", blob.len());
        let signature = reader.array::<4>().ok_or_else(ends_early)?;
        if signature != SIGNATURE {
            let actual = signature.escape_ascii();
            return Err(bad("signature", "HCLA", actual));
        }
        let mut number = || reader.u32_le().ok_or_else(ends_early);
        let (version, report_size, _request_type, status) =
            (number()?, number()?, number()?, number()?);
        if !(1..=2).contains(&version) {
            return Err(bad("header version", "1 or 2", version));
        }
        if status != 0 {
            return Err(bad("status", "0", status));
        }
        reader.array::<12>().ok_or_else(ends_early)?;
        let snp = reader.array::<SNP_REPORT_LEN>().ok_or_else(ends_early)?;
        let mut number = || reader.u32_le().ok_or_else(ends_early);
        let (data_size, data_version) = (number()?, number()?);
        let (report_type, hash_type, length) = (number()?, number()?, number()?);
        let claims_size = CLAIMS_HEADER_LEN.saturating_add(length);
        let whole = HEADER_LEN
            .saturating_add(u32::try_from(SNP_REPORT_LEN).unwrap_or(u32::MAX))
            .saturating_add(data_size);
        for (field, expected, actual) in [
            ("claims version", 1, data_version),
            ("report type", 2, report_type),
            ("hash type", 1, hash_type),
            ("claims size", claims_size, data_size),
            ("report size", whole, report_size),
        ] {
            if expected != actual {
                return Err(bad(field, expected, actual));
            }
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let claims = reader.bytes(length).ok_or_else(ends_early)?;
        if reader.rest().iter().any(|byte| *byte != 0) {
            return Err(bad("bytes behind the claims", "zero", "others"));
        }
        Ok(Self {
            snp: Box::new(*snp),
            claims: claims.to_vec(),
        })
    }

    /// The SNP report inside, as the hardware wrote it.
    pub fn snp_report(&self) -> &[u8; SNP_REPORT_LEN] {
        &self.snp
    }

    /// The JSON of the runtime claims, as the paravisor wrote it.
    pub fn claims_json(&self) -> &[u8] {
        &self.claims
    }

    /// The runtime claims, if the report inside binds them: its `report_data` is their SHA-256 and 32 zero bytes.
    ///
    /// # Errors
    /// [`EvidenceError::Unbound`], or [`EvidenceError::Claims`] if what is bound cannot be read.
    pub fn claims(&self) -> Result<RuntimeClaims, EvidenceError> {
        self.check_binding(self.snp.as_slice())?;
        RuntimeClaims::parse(&self.claims)
    }

    /// Whether `report`'s `report_data` is the SHA-256 of the claims and 32 zero bytes.
    pub(crate) fn check_binding(&self, report: &[u8]) -> Result<(), EvidenceError> {
        let mut expected = sha256(&self.claims).to_vec();
        expected.resize(REPORT_DATA.len(), 0);
        let actual = report.get(REPORT_DATA).unwrap_or_default();
        if expected == actual {
            return Ok(());
        }
        Err(EvidenceError::Unbound {
            expected: hex::encode(expected),
            actual: hex::encode(actual),
        })
    }
}

fn bad(field: &'static str, expected: impl ToString, actual: impl ToString) -> EvidenceError {
    EvidenceError::Hcl {
        field,
        expected: expected.to_string(),
        actual: actual.to_string(),
    }
}

#[cfg(test)]
mod tests;
