//! Reports changed field by field and signed again by the test root.

use snp::{ALLOW_ALL_HOST_DATA, CheckId};

use super::{Twin, Vector, table, twin, vector};
use crate::forge::World;
use CheckId::*;

const MILAN: Twin = twin("Milan", World::milan);
const VERSION_2: Twin = twin("version 2", World::version_2);
const VERSION_5: Twin = twin("version 5", World::version_5);
const GENOA: Twin = twin("Genoa", World::genoa);
const TURIN: Twin = twin("Turin", World::turin);
const LENIENT: Twin = twin("any firmware", World::lenient);

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = Vec::new();
    all.extend(layout());
    all.extend(reserved());
    all.extend(signing_key());
    all.extend(guest());
    all.extend(platform());
    all.extend(bound());
    all
}

fn layout() -> Vec<Vector> {
    table(
        MILAN,
        [
            ("version 0", |w| w.set(0, &[0]), &[ReportVersion]),
            ("version 1", |w| w.set(0, &[1]), &[ReportVersion]),
            ("version 6", |w| w.set(0, &[6]), &[ReportVersion]),
            (
                "version 3 in the wrong byte order",
                |w| w.set(0, &[0, 0, 0, 3]),
                &[ReportVersion],
            ),
            ("version 0x00010003", |w| w.set(2, &[1]), &[ReportVersion]),
            (
                "version 2 that tells its processor",
                |w| w.set(0, &[2]),
                &[ReservedFields],
            ),
            (
                "no signature algorithm",
                |w| w.set(0x34, &[0]),
                &[SignatureAlgorithm],
            ),
            (
                "signature algorithm 2",
                |w| w.set(0x34, &[2]),
                &[SignatureAlgorithm],
            ),
            (
                "signature algorithm 0x0101",
                |w| w.set(0x35, &[1]),
                &[SignatureAlgorithm],
            ),
        ],
    )
}

fn reserved() -> Vec<Vector> {
    let mut all = table(
        MILAN,
        [
            (
                "guest policy bit 17 clear",
                |w| w.flip(0x0a, 0x02),
                &[ReservedFields],
            ),
            (
                "guest policy bit 26",
                |w| w.flip(0x0b, 0x04),
                &[ReservedFields],
            ),
            (
                "guest policy bit 63",
                |w| w.flip(0x0f, 0x80),
                &[ReservedFields],
            ),
            ("key info bit 5", |w| w.flip(0x48, 0x20), &[ReservedFields]),
            ("key info bit 31", |w| w.flip(0x4b, 0x80), &[ReservedFields]),
        ],
    );
    for offset in [
        0x04c, 0x04f, 0x18b, 0x19f, 0x1eb, 0x1ef, 0x1f8, 0x1ff, 0x200, 0x207, 0x208, 0x29f,
    ] {
        let name = format!("reserved byte {offset:#x}");
        all.push(vector(
            MILAN,
            name,
            move |w| w.set(offset, &[1]),
            &[ReservedFields],
        ));
    }
    for offset in [0x188, 0x189, 0x18a, 0x18b] {
        let name = format!("reserved byte {offset:#x}");
        all.push(vector(
            VERSION_2,
            name,
            move |w| w.set(offset, &[1]),
            &[ReservedFields],
        ));
    }
    // Version 5 has the mitigation vectors where older ones are reserved.
    for offset in [0x04c, 0x18b, 0x1eb, 0x208, 0x29f] {
        let name = format!("reserved byte {offset:#x}");
        all.push(vector(
            VERSION_5,
            name,
            move |w| w.set(offset, &[1]),
            &[ReservedFields],
        ));
    }
    all
}

fn signing_key() -> Vec<Vector> {
    let mut all = table(
        MILAN,
        [
            ("chip key masked", |w| w.flip(0x48, 0x02), &[SigningKey]),
            (
                "said to be signed by a VLEK",
                |w| w.flip(0x48, 0x04),
                &[SigningKey, LeafName],
            ),
            (
                "said to be signed by no key",
                |w| w.flip(0x48, 0x1c),
                &[SigningKey, LeafName],
            ),
            (
                "said to be signed by a VLEK, which is permitted",
                |w| {
                    w.flip(0x48, 0x04);
                    w.requirements.vlek = true;
                },
                &[LeafName],
            ),
        ],
    );
    for kind in 2_u8..7 {
        let name = format!("said to be signed by key kind {kind}");
        let change = move |w: &mut World| w.set(0x48, &[kind << 2]);
        all.push(vector(MILAN, name, change, &[SigningKey, LeafName]));
    }
    all
}

fn guest() -> Vec<Vector> {
    let mut all = table(
        MILAN,
        [
            ("debugging allowed", |w| w.flip(0x0a, 0x08), &[Debug]),
            (
                "migration agent allowed",
                |w| w.flip(0x0a, 0x04),
                &[MigrationAgent],
            ),
            (
                "a migration agent",
                |w| w.set(0x160, &[0xfe]),
                &[MigrationAgent],
            ),
            (
                "a migration agent by its last byte",
                |w| w.set(0x17f, &[0]),
                &[MigrationAgent],
            ),
            (
                "all migration agents",
                |w| w.set(0x160, &[0; 32]),
                &[MigrationAgent],
            ),
            (
                "interface 0.30 is enough",
                |w| w.set(0x08, &[30]),
                &[GuestAbi],
            ),
            (
                "interface 0.0 is enough",
                |w| w.set(0x08, &[0]),
                &[GuestAbi],
            ),
            (
                "an author key enabled, not stated",
                |w| w.flip(0x48, 0x01),
                &[AuthorKey],
            ),
            (
                "an author key stated, not enabled",
                |w| w.set(0x110, &[1]),
                &[AuthorKey],
            ),
            (
                "an author key stated in its last byte",
                |w| w.set(0x13f, &[1]),
                &[AuthorKey],
            ),
            (
                "an author key",
                |w| {
                    w.flip(0x48, 0x01);
                    w.set(0x110, &[7; 48]);
                },
                &[AuthorKey],
            ),
            (
                "requested by the host",
                |w| w.set(0x30, &[0xff; 4]),
                &[Vmpl],
            ),
            ("privilege level 0x0100", |w| w.set(0x31, &[1]), &[Vmpl]),
        ],
    );
    for level in 1_u8..=3 {
        let name = format!("privilege level {level}");
        all.push(vector(MILAN, name, move |w| w.set(0x30, &[level]), &[Vmpl]));
    }
    all.extend(table(
        twin("of a known author", known_author),
        [
            ("another author", |w| w.flip(0x110, 0x01), &[AuthorKey]),
            (
                "another author by the last byte",
                |w| w.flip(0x13f, 0x80),
                &[AuthorKey],
            ),
            (
                "its author key not enabled",
                |w| w.flip(0x48, 0x01),
                &[AuthorKey],
            ),
            ("no author key", |w| w.set(0x110, &[0; 48]), &[AuthorKey]),
        ],
    ));
    all
}

fn known_author() -> World {
    let mut world = World::milan();
    world.flip(0x48, 0x01);
    world.set(0x110, &[7; 48]);
    world.requirements.author_key = snp::AuthorKey::OneOf(vec![[6; 48], [7; 48]]);
    world
}

fn platform() -> Vec<Vector> {
    let mut all = table(
        MILAN,
        [
            (
                "memory not checked for aliases",
                |w| w.flip(0x40, 0x20),
                &[PlatformInfo],
            ),
            ("another chip", |w| w.flip(0x1a0, 0x01), &[LeafChip]),
            (
                "another chip by its last byte",
                |w| w.flip(0x1df, 0x80),
                &[LeafChip],
            ),
            ("a masked chip", |w| w.set(0x1a0, &[0; 64]), &[LeafChip]),
            (
                "the first bytes of its chip",
                |w| w.set(0x1a8, &[0; 56]),
                &[LeafChip],
            ),
        ],
    );
    all.extend(table(
        TURIN,
        [
            ("another chip", |w| w.flip(0x1a7, 0x01), &[LeafChip]),
            ("a chip id of 9 bytes", |w| w.set(0x1a8, &[1]), &[LeafChip]),
            (
                "a chip id with a last byte",
                |w| w.set(0x1df, &[1]),
                &[LeafChip],
            ),
            ("a masked chip", |w| w.set(0x1a0, &[0; 64]), &[LeafChip]),
        ],
    ));
    all.extend(table(
        GENOA,
        [
            ("another chip", |w| w.flip(0x1a0, 0x01), &[LeafChip]),
            (
                "written on Milan",
                |w| w.set(0x188, &[0x19, 0x01]),
                &[Product],
            ),
        ],
    ));
    for (name, family, model) in [
        ("written on Genoa", 0x19, 0x11),
        ("written on Bergamo", 0x19, 0xa0),
        ("written on Turin", 0x1a, 0x02),
        ("written between Milan and Genoa", 0x19, 0x20),
        ("written on Naples", 0x17, 0x01),
        ("written on no processor", 0, 0),
    ] {
        let change = move |w: &mut World| w.set(0x188, &[family, model]);
        all.push(vector(LENIENT, name, change, &[Product]));
    }
    all
}

fn bound() -> Vec<Vector> {
    let mut all = Vec::new();
    for (field, from, to, check) in [
        ("report_data", 0x50, 0x90, ReportData),
        ("host_data", 0xc0, 0xe0, HostData),
        ("measurement", 0x90, 0xc0, Measurement),
    ] {
        for (name, offset) in [("first", from), ("last", to - 1)] {
            let name = format!("{field} with another {name} byte");
            all.push(vector(MILAN, name, move |w| w.flip(offset, 1), &[check]));
        }
    }
    all.push(vector(
        MILAN,
        "report_data with a tail",
        |w| w.set(0x70, &[1]),
        &[ReportData],
    ));
    for (name, host_data) in ["first", "second"].into_iter().zip(ALLOW_ALL_HOST_DATA) {
        let bytes: [u8; 32] = hex::decode(host_data).unwrap().try_into().unwrap();
        let foreign = move |w: &mut World| w.set(0xc0, &bytes);
        let permitted = move |w: &mut World| {
            w.set(0xc0, &bytes);
            w.requirements.host_data = vec![bytes];
        };
        all.push(vector(
            MILAN,
            format!("host_data of the {name} policy that allows everything"),
            foreign,
            &[AllowAll, HostData],
        ));
        all.push(vector(
            MILAN,
            format!("host_data of the {name} policy that allows everything, permitted"),
            permitted,
            &[AllowAll],
        ));
    }
    all
}
