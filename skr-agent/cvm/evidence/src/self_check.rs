use crate::{AkCertificate, EvidenceError, HclReport, PcrSelection, PcrValues, Quote};

/// What evidence was asked to bind.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
    /// What the quote has to be about.
    pub nonce: &'a [u8],
    /// What the claims have to carry.
    pub user_data: &'a [u8; 64],
    /// The PCRs that have to be quoted.
    pub pcrs: PcrSelection,
}

/// Whether evidence holds together and binds what was asked for; everything but AMD's side, which needs certificates.
///
/// An attester calls this before evidence leaves it: another process may have written `user-data` meanwhile, and a report
/// that the paravisor is rewriting may be read half old and half new.
///
/// # Errors
/// The first thing that does not hold.
pub fn self_check(
    hcl: &HclReport,
    quote: &Quote,
    pcrs: &PcrValues,
    ak_certificate: &AkCertificate,
    bound: Bound<'_>,
) -> Result<(), EvidenceError> {
    let claims = hcl.claims()?;
    claims.check_user_data(bound.user_data)?;
    quote.check_signature(claims.ak())?;
    quote.check_nonce(bound.nonce)?;
    if quote.selection() != bound.pcrs {
        return Err(EvidenceError::PcrSelection {
            expected: bound.pcrs,
            actual: quote.selection(),
        });
    }
    quote.check_pcrs(pcrs)?;
    ak_certificate.check_key(claims.ak())
}

#[cfg(test)]
mod tests;
