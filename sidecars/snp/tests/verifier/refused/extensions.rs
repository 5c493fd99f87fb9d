//! The leaf's name and AMD's extensions of it: missing, doubled, malformed and wrong ones.

use snp::CheckId;

use super::{Twin, Vector, table, twin, vector};
use crate::forge::World;
use crate::forge::certificate::{amd, amd_id, ia5};
use CheckId::*;

const LENIENT: Twin = twin("any firmware", World::lenient);
const TURIN: Twin = twin("Turin", World::turin);

/// A leaf of neither kind: its extensions are not read, since their meaning depends on it.
const UNNAMED: [CheckId; 5] = [LeafExtensions, LeafTcb, LeafChip, Product, Chip];

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = Vec::new();
    all.extend(names());
    all.extend(missing_and_doubled());
    all.extend(numbers());
    all.extend(products());
    all.extend(chips());
    all
}

fn names() -> Vec<Vector> {
    let mut all: Vec<Vector> = table(
        LENIENT,
        [
            (
                "a leaf of no known kind",
                |w| w.leaf().subject = amd("SEV-VCEK2"),
                &[LeafName],
            ),
            (
                "a leaf named VCEK",
                |w| w.leaf().subject = amd("VCEK"),
                &[LeafName],
            ),
            (
                "a leaf in small letters",
                |w| w.leaf().subject = amd("sev-vcek"),
                &[LeafName],
            ),
            (
                "a leaf without a common name",
                |w| w.leaf().subject = "O=AMD".to_owned(),
                &[LeafName],
            ),
            (
                "a leaf with two common names",
                |w| w.leaf().subject = amd("SEV-VCEK,CN=SEV-VCEK"),
                &[LeafName],
            ),
            (
                "a leaf with a line break in its name",
                |w| w.leaf().subject = amd("SEV-VCEK\\0A"),
                &[LeafName],
            ),
            (
                "a leaf named as its issuer",
                |w| w.leaf().subject = amd("SEV-Milan"),
                &[LeafName],
            ),
        ],
    );
    for vector in &mut all {
        vector.unread.extend(UNNAMED);
    }
    all
}

fn missing_and_doubled() -> Vec<Vector> {
    let mut all = Vec::new();
    for suffix in ["1", "2", "3.1", "3.2", "3.3", "3.8", "4"] {
        let missing = move |w: &mut World| w.leaf().remove(&amd_id(suffix));
        let name = format!("a leaf without extension .{suffix}");
        all.push(vector(LENIENT, name, missing, &[LeafExtensions]));
        let doubled = move |w: &mut World| w.leaf().double(&amd_id(suffix));
        let name = format!("a leaf with extension .{suffix} twice");
        all.push(vector(LENIENT, name, doubled, &[ChainFormat]));
    }
    for (at, name) in [(1, "intermediate"), (2, "root")] {
        let doubled = move |w: &mut World| w.chain[at].double("2.5.29.19");
        let name = format!("{name} with basic constraints twice");
        all.push(vector(LENIENT, name, doubled, &[ChainFormat]));
    }
    all
}

fn numbers() -> Vec<Vector> {
    let mut all = Vec::new();
    for suffix in ["3.1", "3.2", "3.3", "3.8"] {
        let another = move |w: &mut World| w.leaf().set_amd(suffix, &[2, 1, 0x11]);
        let name = format!("a leaf of another number in .{suffix}");
        all.push(vector(LENIENT, name, another, &[LeafTcb]));
    }
    for suffix in ["1", "3.1", "3.2", "3.3", "3.8", "3.4", "3.5", "3.6", "3.7"] {
        for (what, value) in [
            ("256", &[2, 2, 1, 0][..]),
            ("a negative number", &[2, 1, 0x80]),
            ("a number with a leading zero", &[2, 2, 0, 5]),
            ("an empty number", &[2, 0]),
            ("a cut number", &[2, 1]),
            ("a number and a byte", &[2, 1, 4, 0]),
            ("a byte string", &[4, 1, 4]),
            ("nothing", &[]),
        ] {
            let change = move |w: &mut World| w.leaf().set_amd(suffix, value);
            let name = format!("a leaf with {what} in .{suffix}");
            all.push(vector(LENIENT, name, change, &[LeafExtensions]));
        }
    }
    for suffix in ["3.4", "3.5", "3.6", "3.7"] {
        let change = move |w: &mut World| w.leaf().set_amd(suffix, &[2, 1, 1]);
        let name = format!("a leaf with a number in spare .{suffix}");
        all.push(vector(LENIENT, name, change, &[LeafExtensions]));
    }
    all.extend(table(
        LENIENT,
        [
            (
                "a leaf of structure version 2",
                |w| w.leaf().set_amd("1", &[2, 1, 2]),
                &[LeafExtensions],
            ),
            (
                "a leaf with Turin's FMC",
                |w| w.leaf().set_amd("3.9", &[2, 1, 0]),
                &[LeafExtensions],
            ),
        ],
    ));
    all.extend(table(
        TURIN,
        [
            (
                "a leaf without FMC",
                |w| w.leaf().remove(&amd_id("3.9")),
                &[LeafExtensions],
            ),
            (
                "a leaf of another FMC",
                |w| w.leaf().set_amd("3.9", &[2, 1, 0x11]),
                &[LeafTcb],
            ),
            (
                "a leaf with a number in spare .3.5",
                |w| w.leaf().set_amd("3.5", &[2, 1, 1]),
                &[LeafExtensions],
            ),
        ],
    ));
    all
}

fn products() -> Vec<Vector> {
    let mut all = Vec::new();
    for name in ["Venice", "Milanese", "milan", "", "B0-Milan", "Milan B0"] {
        let change = move |w: &mut World| w.leaf().set_amd("2", &ia5(name));
        all.push(vector(
            LENIENT,
            format!("a leaf of {name:?}"),
            change,
            &[LeafExtensions],
        ));
    }
    all.extend(table(
        LENIENT,
        [
            (
                "a leaf of Genoa",
                |w| w.leaf().set_amd("2", &ia5("Genoa")),
                &[Product],
            ),
            (
                "a leaf of Genoa-B1",
                |w| w.leaf().set_amd("2", &ia5("Genoa-B1")),
                &[Product],
            ),
            (
                "a product in another kind of text",
                |w| w.leaf().set_amd("2", b"\x0c\x05Milan"),
                &[LeafExtensions],
            ),
            (
                "a product of bare bytes",
                |w| w.leaf().set_amd("2", b"Milan"),
                &[LeafExtensions],
            ),
        ],
    ));
    all
}

fn chips() -> Vec<Vector> {
    let mut all = table(
        LENIENT,
        [
            (
                "a leaf of another chip",
                |w| w.leaf().set_amd("4", &[7; 64]),
                &[LeafChip],
            ),
            (
                "a leaf of another chip in an OCTET STRING",
                |w| w.leaf().set_amd("4", &[&[4, 64][..], &[7; 64]].concat()),
                &[LeafChip],
            ),
            (
                "a chip of 63 bytes in an OCTET STRING",
                |w| w.leaf().set_amd("4", &[&[4, 63][..], &[7; 63]].concat()),
                &[LeafExtensions],
            ),
            (
                "a chip of 64 bytes in a BIT STRING",
                |w| w.leaf().set_amd("4", &[&[3, 65, 0][..], &[7; 64]].concat()),
                &[LeafExtensions],
            ),
        ],
    );
    for length in [0, 8, 63, 65, 66, 128] {
        let change = move |w: &mut World| w.leaf().set_amd("4", &vec![7; length]);
        let name = format!("a chip of {length} bytes");
        all.push(vector(LENIENT, name, change, &[LeafExtensions]));
    }
    for length in [0, 7, 9, 64] {
        let change = move |w: &mut World| w.leaf().set_amd("4", &vec![7; length]);
        let name = format!("a chip of {length} bytes");
        all.push(vector(TURIN, name, change, &[LeafExtensions]));
    }
    all
}
