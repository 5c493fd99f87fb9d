//! The report's signature, and reports changed after they were signed.

use snp::CheckId;

use super::{Twin, Vector, table, twin, vector};
use crate::forge::World;
use crate::forge::keys::{Curve, fresh_spki};
use CheckId::*;

const MILAN: Twin = twin("signature", World::milan);

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = signature();
    all.extend(changed_after_signing());
    all
}

fn signature() -> Vec<Vector> {
    let mut all = table(
        MILAN,
        [
            (
                "r of zero",
                |w| w.numbers.push((0x2a0, [0; 48])),
                &[ReportSignature],
            ),
            (
                "s of zero",
                |w| w.numbers.push((0x2e8, [0; 48])),
                &[ReportSignature],
            ),
            (
                "r past the curve's order",
                |w| w.numbers.push((0x2a0, [0xff; 48])),
                &[ReportSignature],
            ),
            (
                "s past the curve's order",
                |w| w.numbers.push((0x2e8, [0xff; 48])),
                &[ReportSignature],
            ),
            (
                "the signature of another chip",
                |w| w.signer = None,
                &[ReportSignature],
            ),
            (
                "a leaf of another key",
                |w| w.leaf().spki = fresh_spki(Curve::P384),
                &[ReportSignature],
            ),
        ],
    );
    for (name, offset, check) in [
        ("r flipped in its first byte", 0x2a0, ReportSignature),
        ("r flipped in its last byte", 0x2cf, ReportSignature),
        ("s flipped in its first byte", 0x2e8, ReportSignature),
        ("s flipped in its last byte", 0x317, ReportSignature),
        ("a 49th byte of r", 0x2d0, SignaturePadding),
        ("a 72nd byte of r", 0x2e7, SignaturePadding),
        ("a 49th byte of s", 0x318, SignaturePadding),
        ("a 72nd byte of s", 0x32f, SignaturePadding),
        ("a byte after the signature", 0x330, SignaturePadding),
        ("the report's last byte", 0x49f, SignaturePadding),
    ] {
        let change = move |w: &mut World| w.flips.push((offset, 1));
        all.push(vector(MILAN, name, change, &[check]));
    }
    all
}

/// Every field, also those that no requirement looks at: nothing of the signed part can be changed unseen.
fn changed_after_signing() -> Vec<Vector> {
    let fields: [(&str, usize, u8, &[CheckId]); 27] = [
        ("version", 0x00, 0x06, &[]),
        ("guest_svn", 0x04, 0x01, &[]),
        ("interface of the policy", 0x09, 0x01, &[]),
        ("SMT of the policy", 0x0a, 0x01, &[]),
        ("debugging", 0x0a, 0x08, &[Debug]),
        ("family_id", 0x10, 0x01, &[]),
        ("image_id", 0x20, 0x01, &[]),
        ("VMPL", 0x30, 0x01, &[Vmpl]),
        ("current_tcb", 0x38, 0x01, &[]),
        ("SMT of the platform", 0x40, 0x01, &[]),
        ("report_data", 0x50, 0x01, &[ReportData]),
        ("measurement", 0x90, 0x01, &[Measurement]),
        ("host_data", 0xc0, 0x01, &[HostData]),
        ("id_key_digest", 0xe0, 0x01, &[]),
        ("author_key_digest", 0x110, 0x01, &[AuthorKey]),
        ("report_id", 0x140, 0x01, &[]),
        ("report_id_ma", 0x160, 0x01, &[MigrationAgent]),
        ("reported_tcb", 0x180, 0x08, &[LeafTcb]),
        ("stepping", 0x18a, 0x02, &[]),
        ("chip_id", 0x1a0, 0x01, &[LeafChip]),
        ("committed_tcb", 0x1e0, 0x08, &[]),
        ("current build", 0x1e8, 0x01, &[]),
        ("current major", 0x1ea, 0x01, &[]),
        ("committed build", 0x1ec, 0x01, &[]),
        ("committed major", 0x1ee, 0x01, &[]),
        ("launch_tcb", 0x1f0, 0x08, &[]),
        ("last signed byte", 0x29f, 0x01, &[ReservedFields]),
    ];
    fields
        .into_iter()
        .map(|(name, offset, bits, own)| {
            let failed = [own, &[ReportSignature]].concat();
            let change = move |w: &mut World| w.flips.push((offset, bits));
            vector(
                MILAN,
                format!("{name} changed after signing"),
                change,
                &failed,
            )
        })
        .collect()
}
