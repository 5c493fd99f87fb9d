//! The signer's certificates, from the leaf to the authority that the issuer names.

use snp::CheckId;

use super::super::{Vector, table, vector};
use super::MILAN;
use crate::forge::World;
use crate::forge::certificate::{EXTENDED_KEY_USAGE, constraints, date, extension, usage};
use crate::forge::keys::{Curve, Key, fresh_spki};
use crate::forge::uvm::{purposes, seconds, text};
use CheckId::*;

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = table(
        MILAN,
        [
            ("the leaf alone", |w| w.uvm().chain.truncate(1), &[UvmChain]),
            ("no root", |w| w.uvm().chain.truncate(2), &[UvmChain]),
            (
                "no intermediate",
                |w| {
                    w.uvm().chain.remove(1);
                },
                &[UvmChain],
            ),
            (
                "another root of the same key",
                |w| w.uvm().chain[2].serial = vec![8],
                &[UvmChain],
            ),
            (
                "a root that somebody else made",
                |w| {
                    let [_, intermediate, root] = w.uvm().chain.as_mut_slice() else {
                        panic!()
                    };
                    root.spki = Key::Ask.spki();
                    root.signer = Key::Ask;
                    intermediate.signer = Key::Ask;
                },
                &[UvmChain],
            ),
            (
                "a leaf that somebody else made",
                |w| w.uvm().chain[0].signer = Key::UvmLeaf,
                &[UvmChain],
            ),
            (
                "an intermediate that somebody else made",
                |w| w.uvm().chain[1].signer = Key::UvmLeaf,
                &[UvmChain],
            ),
            (
                "an intermediate that is no authority",
                |w| w.uvm().chain[1].set(constraints(false, None)),
                &[UvmChain],
            ),
            (
                "an intermediate without basic constraints",
                |w| w.uvm().chain[1].remove("2.5.29.19"),
                &[UvmChain],
            ),
            (
                "a leaf that is an authority",
                |w| w.uvm().chain[0].set(constraints(true, None)),
                &[UvmChain],
            ),
            (
                "a leaf that names another issuer",
                |w| w.uvm().chain[0].issuer = "CN=x".to_owned(),
                &[UvmChain],
            ),
            (
                "a leaf with an unknown critical extension",
                |w| w.uvm().chain[0].set(extension("1.2.3.4", true, vec![5, 0])),
                &[UvmChain],
            ),
            (
                "a leaf without usage",
                |w| w.uvm().chain[0].remove(EXTENDED_KEY_USAGE),
                &[UvmChain],
            ),
            (
                "a leaf of another usage",
                |w| w.uvm().chain[0].set(purposes(&["1.3.6.1.4.1.311.76.59.1.5"])),
                &[UvmChain],
            ),
            (
                "a leaf of any usage",
                |w| w.uvm().chain[0].set(purposes(&["2.5.29.37.0"])),
                &[UvmChain],
            ),
            (
                "a leaf whose usage is unreadable",
                |w| w.uvm().chain[0].set(extension(EXTENDED_KEY_USAGE, false, vec![5, 0])),
                &[UvmChain],
            ),
            (
                "a leaf with its usage twice",
                |w| w.uvm().chain[0].double(EXTENDED_KEY_USAGE),
                &[UvmChain, UvmSignature],
            ),
            (
                "a leaf with a key on a curve",
                |w| w.uvm().chain[0].spki = fresh_spki(Curve::P384),
                &[UvmSignature],
            ),
            (
                "signed before the leaf was in force",
                |w| w.uvm().set(text("signingtime"), seconds(date(2025, 5, 31))),
                &[UvmChain],
            ),
            (
                "signed after the leaf was in force",
                |w| w.uvm().set(text("signingtime"), seconds(date(2026, 6, 2))),
                &[UvmChain],
            ),
            (
                "an intermediate that had ended",
                |w| w.uvm().chain[1].not_after = date(2025, 1, 1),
                &[UvmChain],
            ),
            (
                "the root as the leaf",
                |w| {
                    let root = w.uvm().chain[2].clone();
                    w.uvm().chain = vec![root.clone(), root];
                    w.uvm().signer = Key::Ark;
                },
                &[UvmChain],
            ),
            (
                "an intermediate that may sign lists only",
                |w| w.uvm().chain[1].set(usage(0x02)),
                &[UvmChain],
            ),
        ],
    );
    for (name, [first, second]) in [
        ("leaf and intermediate swapped", [0, 1]),
        ("leaf and root swapped", [0, 2]),
    ] {
        let change = move |w: &mut World| w.uvm().chain.swap(first, second);
        all.push(vector(MILAN, name, change, &[UvmChain, UvmSignature]));
    }
    all.extend(table(
        MILAN,
        [(
            "intermediate and root swapped",
            |w| w.uvm().chain.swap(1, 2),
            &[UvmChain],
        )],
    ));
    all
}
