use cleanroom_crypto::rsa::PublicKey;

use crate::pcrs::digest;
use crate::reader::Reader;
use crate::{EvidenceError, PcrSelection, PcrValues};

const TPM_GENERATED: u32 = 0xff54_4347;
const ST_ATTEST_QUOTE: u16 = 0x8018;
const ALG_RSASSA: u16 = 0x0014;
const ALG_SHA256: u16 = 0x000b;
/// TPMS_CLOCK_INFO and the firmware version.
const CLOCK_AND_FIRMWARE: usize = 17 + 8;

/// A TPM's signed statement about a nonce and its PCRs: TPMS_ATTEST of type TPM_ST_ATTEST_QUOTE with an RSASSA signature
/// over SHA-256 (TPM 2.0 Part 2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Quote {
    message: Vec<u8>,
    signature: Vec<u8>,
    extra_data: Vec<u8>,
    selection: PcrSelection,
    pcr_digest: [u8; 32],
}

impl Quote {
    /// Reads TPM2B_ATTEST followed by TPMT_SIGNATURE.
    ///
    /// # Errors
    /// [`EvidenceError::Quote`]: cut off, followed by more, or no such statement.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let mut reader = Reader::new(bytes);
        let ends_early = || bad("length", "more bytes", bytes.len());
        let message = reader.sized_be().ok_or_else(ends_early)?;
        let scheme = reader.u16_be().ok_or_else(ends_early)?;
        let hash = reader.u16_be().ok_or_else(ends_early)?;
        if (scheme, hash) != (ALG_RSASSA, ALG_SHA256) {
            return Err(bad(
                "signature scheme",
                "RSASSA with SHA-256 (0x14, 0xb)",
                format!("{scheme:#x}, {hash:#x}"),
            ));
        }
        let signature = reader.sized_be().ok_or_else(ends_early)?;
        no_more(reader)?;
        Self::of_parts(message, signature)
    }

    /// Takes TPMS_ATTEST and the bytes of its signature.
    ///
    /// # Errors
    /// [`EvidenceError::Quote`].
    pub fn of_parts(message: &[u8], signature: &[u8]) -> Result<Self, EvidenceError> {
        let mut reader = Reader::new(message);
        let ends_early = || bad("length", "more bytes", message.len());
        let magic = reader.u32_be().ok_or_else(ends_early)?;
        if magic != TPM_GENERATED {
            return Err(bad("magic", "0xff544347", format!("{magic:#x}")));
        }
        let kind = reader.u16_be().ok_or_else(ends_early)?;
        if kind != ST_ATTEST_QUOTE {
            return Err(bad("type", "0x8018 (quote)", format!("{kind:#x}")));
        }
        let _qualified_signer = reader.sized_be().ok_or_else(ends_early)?;
        let extra_data = reader.sized_be().ok_or_else(ends_early)?;
        reader.bytes(CLOCK_AND_FIRMWARE).ok_or_else(ends_early)?;
        let banks = reader.u32_be().ok_or_else(ends_early)?;
        if banks != 1 {
            return Err(bad("PCR banks", "1", banks));
        }
        let bank = reader.u16_be().ok_or_else(ends_early)?;
        if bank != ALG_SHA256 {
            return Err(bad("PCR bank", "0xb (SHA-256)", format!("{bank:#x}")));
        }
        let selection = selection(&mut reader).ok_or_else(ends_early)??;
        let pcr_digest = reader.sized_be().ok_or_else(ends_early)?;
        let pcr_digest = pcr_digest
            .try_into()
            .map_err(|_| bad("PCR digest", "32 bytes", pcr_digest.len()))?;
        no_more(reader)?;
        Ok(Self {
            message: message.to_vec(),
            signature: signature.to_vec(),
            extra_data: extra_data.to_vec(),
            selection,
            pcr_digest,
        })
    }

    /// TPM2B_ATTEST followed by TPMT_SIGNATURE; what [`Quote::parse`] reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let sized = |bytes: &[u8]| {
            let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
            [&length.to_be_bytes(), bytes].concat()
        };
        [
            sized(&self.message),
            ALG_RSASSA.to_be_bytes().to_vec(),
            ALG_SHA256.to_be_bytes().to_vec(),
            sized(&self.signature),
        ]
        .concat()
    }

    /// What the requester had the TPM sign.
    pub fn extra_data(&self) -> &[u8] {
        &self.extra_data
    }

    /// The PCRs that the quote is about.
    pub const fn selection(&self) -> PcrSelection {
        self.selection
    }

    /// Whether `ak` signed the statement.
    ///
    /// # Errors
    /// [`EvidenceError::QuoteSignature`].
    pub fn check_signature(&self, ak: &PublicKey) -> Result<(), EvidenceError> {
        ak.verify_pkcs1_sha256(&self.message, &self.signature)
            .map_err(|_| EvidenceError::QuoteSignature)
    }

    /// Whether the quote was made for `nonce`.
    ///
    /// # Errors
    /// [`EvidenceError::Nonce`].
    pub fn check_nonce(&self, nonce: &[u8]) -> Result<(), EvidenceError> {
        if self.extra_data == nonce {
            return Ok(());
        }
        Err(EvidenceError::Nonce {
            expected: hex::encode(nonce),
            actual: hex::encode(&self.extra_data),
        })
    }

    /// Whether the quote is about exactly these PCRs and values.
    ///
    /// # Errors
    /// [`EvidenceError::PcrSelection`] and [`EvidenceError::PcrDigest`].
    pub fn check_pcrs(&self, values: &PcrValues) -> Result<(), EvidenceError> {
        let given = PcrSelection::of_values(values);
        if self.selection != given {
            return Err(EvidenceError::PcrSelection {
                expected: self.selection,
                actual: given,
            });
        }
        let actual = digest(values);
        if self.pcr_digest == actual {
            return Ok(());
        }
        Err(EvidenceError::PcrDigest {
            expected: hex::encode(self.pcr_digest),
            actual: hex::encode(actual),
        })
    }
}

/// TPMS_PCR_SELECTION behind its algorithm: a length and that many bytes of bits, lowest index first.
fn selection(reader: &mut Reader<'_>) -> Option<Result<PcrSelection, EvidenceError>> {
    let length = reader.u8()?;
    if length > 4 {
        return Some(Err(bad("PCR selection", "at most 4 bytes", length)));
    }
    let mut bits = [0; 4];
    let given = reader.bytes(usize::from(length))?;
    for (to, from) in bits.iter_mut().zip(given) {
        *to = *from;
    }
    let bits = u32::from_le_bytes(bits);
    Some(
        PcrSelection::of_bits(bits)
            .ok_or_else(|| bad("PCR selection", "PCRs 0 to 23", format!("{bits:#x}"))),
    )
}

fn no_more(reader: Reader<'_>) -> Result<(), EvidenceError> {
    match reader.rest() {
        [] => Ok(()),
        more => Err(bad("bytes behind it", "none", more.len())),
    }
}

fn bad(field: &'static str, expected: impl ToString, actual: impl ToString) -> EvidenceError {
    EvidenceError::Quote {
        field,
        expected: expected.to_string(),
        actual: actual.to_string(),
    }
}

#[cfg(test)]
mod tests;
