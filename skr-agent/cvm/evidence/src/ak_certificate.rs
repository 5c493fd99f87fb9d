use cleanroom_crypto::rsa::PublicKey;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode, Header, Reader as _, SliceReader};

use crate::EvidenceError;

/// The certificate of the TPM's attestation key, which NV index `0x01C101D0` holds followed by zero bytes.
///
/// Its issuer is not judged: trust in the key comes from the SNP report.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AkCertificate(Vec<u8>);

impl AkCertificate {
    /// Cuts the certificate out of the index: as long as its outer SEQUENCE says, zero bytes behind it.
    ///
    /// # Errors
    /// [`EvidenceError::AkCertificate`]: empty, cut off, or other bytes behind it.
    pub fn trim(index: &[u8]) -> Result<Self, EvidenceError> {
        let bad = |reason: &str| EvidenceError::AkCertificate {
            reason: reason.to_owned(),
        };
        let mut reader = SliceReader::new(index).map_err(|_| bad("empty, or too long"))?;
        let header = Header::decode(&mut reader).map_err(|_| bad("no DER"))?;
        let length = [reader.position(), header.length()]
            .into_iter()
            .map(|part| usize::try_from(part).unwrap_or(usize::MAX))
            .fold(0, usize::saturating_add);
        let (der, behind) = index
            .split_at_checked(length)
            .ok_or_else(|| bad("it ends early"))?;
        if behind.iter().any(|byte| *byte != 0) {
            return Err(bad("other bytes than zero behind it"));
        }
        Ok(Self(der.to_vec()))
    }

    /// DER of the certificate.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// Whether the certificate is `ak`'s.
    ///
    /// # Errors
    /// [`EvidenceError::AkCertificate`]: no certificate, or one of another key.
    pub fn check_key(&self, ak: &PublicKey) -> Result<(), EvidenceError> {
        let bad = |reason| EvidenceError::AkCertificate { reason };
        let certificate =
            Certificate::from_der(&self.0).map_err(|error| bad(format!("not X.509: {error}")))?;
        let key = certificate.tbs_certificate().subject_public_key_info();
        let key = key
            .to_der()
            .map_err(|error| bad(format!("its key: {error}")))?;
        let key =
            PublicKey::from_spki_der(&key).map_err(|error| bad(format!("its key: {error}")))?;
        if (key.n_be(), key.e_be()) == (ak.n_be(), ak.e_be()) {
            return Ok(());
        }
        Err(bad("it is of another key than HCLAkPub".to_owned()))
    }
}

#[cfg(test)]
mod tests;
