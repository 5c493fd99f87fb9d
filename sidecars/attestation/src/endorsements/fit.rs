use snp::{EndorsementChain, Product, Report};

use crate::error::shown;

/// Longer than any honest chain.
pub(super) const CHAIN_CAP: usize = 64 << 10;

/// Why a chain is not for a report.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Misfit {
    Unreadable(String),
    /// Another chip's, or of another kind of key.
    Chip(String),
    /// This chip's under another TCB.
    Tcb(u64, Product),
}

/// Checks kind of key, chip id and TCB, no signatures: those are the verifier's.
pub(super) fn check(pem: &str, report: &Report) -> Result<(), Misfit> {
    let chain = EndorsementChain::from_pem(pem)
        .map_err(|error| Misfit::Unreadable(shown(&error.to_string())))?;
    chain.fits(report).map_err(|error| {
        let leaf = chain.leaf();
        if leaf.kind() == report.signing_key() && is_of_chip(leaf.hwid(), report) {
            Misfit::Tcb(leaf.tcb().raw(), leaf.product())
        } else {
            Misfit::Chip(error.to_string())
        }
    })
}

/// A short id is filled up with zeros in the report.
fn is_of_chip(hwid: &[u8], report: &Report) -> bool {
    let rest = report.chip_id().strip_prefix(hwid);
    !hwid.is_empty() && rest.is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
}
