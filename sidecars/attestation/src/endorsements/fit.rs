//! Whether a chain belongs to a report: what its leaf vouches for is the report's chip and reported TCB.

use snp::{CheckId, EndorsementChain, Product, Report};

/// A real chain has less than 8 KiB.
pub(super) const CHAIN_CAP: usize = 64 << 10;

/// Why a chain is not for a report.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Misfit {
    Unreadable(String),
    /// Another chip's, or of another kind of key.
    Chip,
    /// This chip's under another TCB.
    Tcb(u64, Product),
}

/// Checks chip id and TCB, no signatures: those are the verifier's.
pub(super) fn check(pem: &str, report: &Report) -> Result<(), Misfit> {
    let chain =
        EndorsementChain::from_pem(pem).map_err(|error| Misfit::Unreadable(error.to_string()))?;
    match chain.fits(report) {
        Ok(()) => Ok(()),
        Err(error) if error.check() == Some(CheckId::LeafTcb) => {
            let leaf = chain.leaf();
            Err(Misfit::Tcb(leaf.tcb().raw(), leaf.product()))
        }
        Err(_) => Err(Misfit::Chip),
    }
}
