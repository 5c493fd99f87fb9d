//! Revocation lists.

use snp::CheckId;

use super::{Vector, table, twin, vector};
use crate::forge::World;
use crate::forge::certificate::{amd, date, extension, usage};
use crate::forge::crl::Crl;
use crate::forge::keys::{Key, Scheme};
use CheckId::*;

pub(super) fn vectors() -> Vec<Vector> {
    let with_crl = twin("with a revocation list", World::with_crl);
    let mut all = table(
        with_crl,
        [
            (
                "the intermediate revoked",
                |w| w.crls[0].revoked = vec![vec![5], vec![1, 0, 1]],
                &[Revocation],
            ),
            (
                "the root revoked",
                |w| w.crls[0].revoked = vec![vec![1, 0, 0]],
                &[Revocation],
            ),
            (
                "the intermediate revoked by a second list",
                |w| {
                    w.crls.push(Crl::empty("Milan"));
                    w.crls[1].revoked = vec![vec![1, 0, 1]];
                },
                &[Revocation],
            ),
            (
                "a list that ended",
                |w| w.crls[0].next_update = Some(date(2025, 12, 31)),
                &[Revocation],
            ),
            (
                "a list not yet in force",
                |w| w.crls[0].this_update = date(2026, 1, 2),
                &[Revocation],
            ),
            (
                "a list without an end",
                |w| w.crls[0].next_update = None,
                &[Revocation],
            ),
            (
                "a list of another root",
                |w| w.crls[0].issuer = amd("ARK-Genoa"),
                &[Revocation],
            ),
            (
                "a list that another key signed",
                |w| w.crls[0].signer = Key::Ask,
                &[Revocation],
            ),
            (
                "a list signed with PKCS#1",
                |w| w.crls[0].scheme = Scheme::Pkcs1,
                &[Revocation],
            ),
            (
                "a list signed with SHA-256",
                |w| w.crls[0].scheme = Scheme::PssSha256,
                &[Revocation],
            ),
            (
                "a list of changes only",
                |w| {
                    w.crls[0]
                        .extensions
                        .push(extension("2.5.29.27", true, vec![2, 1, 1]))
                },
                &[Revocation],
            ),
            (
                "a root that may not sign lists",
                |w| w.root().set(usage(0x04)),
                &[Revocation],
            ),
            (
                "no list, garbage",
                |w| w.requirements.crls = vec![vec![0x30, 0x00]],
                &[Revocation],
            ),
            (
                "an empty list",
                |w| w.requirements.crls = vec![Vec::new()],
                &[Revocation],
            ),
        ],
    );
    for (name, edit) in [
        (
            "a list of a byte too many",
            (|list| list.push(0)) as fn(&mut Vec<u8>),
        ),
        ("a list of a byte too few", |list| {
            list.pop();
        }),
        ("a list with a flipped bit", |list| {
            *list.last_mut().unwrap() ^= 1
        }),
        ("a list past the cap", |list| list.resize((1 << 20) + 1, 0)),
    ] {
        let change = move |w: &mut World| {
            let mut list = w.crls.remove(0).der();
            edit(&mut list);
            w.requirements.crls.push(list);
        };
        all.push(vector(with_crl, name, change, &[Revocation]));
    }
    all
}
