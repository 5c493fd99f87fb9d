mod chain;
mod guest;
mod platform;
mod report;
mod uvm;

use std::time::{Duration, UNIX_EPOCH};

use crate::table::Table;
use crate::{Requirements, Roots, UvmRoots, Verification};

/// The evidence to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Material<'a> {
    /// The report as it was received.
    pub report: &'a [u8],
    /// PEM of leaf, intermediate and root.
    pub chain_pem: &'a str,
    /// The utility VM's endorsement: COSE_Sign1.
    pub uvm_endorsement: Option<&'a [u8]>,
}

/// Judges evidence. Every check that can be made is made, so that the table shows all that is wrong and not only the first.
///
/// This takes about a millisecond, most of it RSA: it needs no thread of its own.
pub fn verify(
    material: Material<'_>,
    requirements: &Requirements,
    roots: &Roots,
    uvm_roots: &UvmRoots,
) -> Verification {
    // A clock before 1970 finds every certificate not yet in force.
    let now = requirements
        .now
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    let mut table = Table::default();
    let report = report::judge(&mut table, material.report, requirements);
    let endorser = chain::judge(&mut table, material.chain_pem, requirements, roots, now);
    if let (Some(report), Some(endorser)) = (&report, &endorser) {
        report::judge_signature(&mut table, report, endorser);
        chain::judge_product(&mut table, report, endorser);
    }
    if let Some(report) = &report {
        guest::judge(&mut table, report, requirements);
        let leaf = endorser.as_ref().and_then(|one| one.endorsement.as_ref());
        platform::judge(&mut table, report, leaf, requirements);
    }
    let uvm = uvm::judge(
        &mut table,
        report.as_ref(),
        material.uvm_endorsement,
        requirements,
        uvm_roots,
    );
    let endorsement = endorser.and_then(|one| one.endorsement);
    Verification::new(table.finish(), report, endorsement, uvm)
}
