//! Endorsements of the utility VM: header, payload, signature and certificates.

mod certificates;
mod claims;
mod content;
mod header;

use super::{Twin, Vector, twin};
use crate::forge::World;

const MILAN: Twin = twin("utility VM", World::milan);

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = Vec::new();
    all.extend(header::vectors());
    all.extend(claims::vectors());
    all.extend(content::vectors());
    all.extend(certificates::vectors());
    all
}
