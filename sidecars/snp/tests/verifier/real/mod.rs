//! Evidence that real hosts gave, and that its owners published: what each passes and what it fails, by name.

mod bound;
mod certificates;
mod endorsements;
mod evidence;
mod statements;
mod test_root;

pub(crate) use evidence::{Real, all};

use snp::{CheckId, Verdict, Verification};

pub(crate) fn failed(verification: &Verification) -> Vec<CheckId> {
    let all = verification.checks().iter();
    all.filter(|check| check.verdict == Verdict::Failed)
        .map(|check| check.id)
        .collect()
}
