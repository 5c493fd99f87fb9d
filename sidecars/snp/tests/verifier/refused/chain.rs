//! Certificates: who signed them and how, what they are named, what they may do, and when.

use snp::CheckId;
use x509_cert::ext::Extension;

use super::{Twin, Vector, table, twin, vector};
use crate::forge::World;
use crate::forge::certificate::{
    BASIC_CONSTRAINTS, KEY_USAGE, amd, constraints, date, extension, usage,
};
use crate::forge::keys::{
    Curve, Key, Scheme, fresh_spki, pss_with_other_mask, pss_with_trailer, pss_without_parameters,
};
use CheckId::*;

const MILAN: Twin = twin("chain", World::milan);
const VLEK: Twin = twin("VLEK", World::vlek);

const NAMES: [&str; 3] = ["leaf", "intermediate", "root"];
const SIGNATURES: [CheckId; 3] = [LeafSignature, IntermediateSignature, RootSignature];
const VALIDITIES: [CheckId; 3] = [LeafValidity, IntermediateValidity, RootValidity];

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = Vec::new();
    all.extend(signers());
    all.extend(parameters());
    all.extend(names());
    all.extend(authority());
    all.extend(critical());
    all.extend(validity());
    all.extend(kinds());
    all
}

fn signers() -> Vec<Vector> {
    let mut all = table(
        MILAN,
        [
            (
                "a root that somebody else made",
                |w| {
                    w.root().spki = Key::Ask.spki();
                    w.root().signer = Key::Ask;
                    w.intermediate().signer = Key::Ask;
                },
                &[RootPinned],
            ),
            (
                "an intermediate that somebody else made",
                |w| {
                    w.intermediate().spki = Key::UvmLeaf.spki();
                    w.intermediate().signer = Key::UvmLeaf;
                    w.leaf().signer = Key::UvmLeaf;
                },
                &[IntermediateSignature],
            ),
            (
                "a leaf of another intermediate",
                |w| w.leaf().signer = Key::UvmLeaf,
                &[LeafSignature],
            ),
            (
                "an intermediate of another key",
                |w| w.intermediate().spki = Key::UvmLeaf.spki(),
                &[LeafSignature],
            ),
            (
                "a leaf signed by the root",
                |w| w.leaf().signer = Key::Ark,
                &[LeafSignature],
            ),
            (
                "an intermediate that signed itself",
                |w| w.intermediate().signer = Key::Ask,
                &[IntermediateSignature],
            ),
            (
                "an intermediate with a key on a curve",
                |w| w.intermediate().spki = fresh_spki(Curve::P384),
                &[LeafSignature],
            ),
            (
                "a leaf on P-256",
                |w| w.leaf().spki = fresh_spki(Curve::P256),
                &[LeafKey],
            ),
            (
                "a leaf with an RSA key",
                |w| w.leaf().spki = Key::Ask.spki(),
                &[LeafKey],
            ),
            (
                "a leaf with a point that is not on the curve",
                |w| *w.leaf().spki.last_mut().unwrap() ^= 1,
                &[LeafKey],
            ),
        ],
    );
    for (at, name) in NAMES.into_iter().enumerate() {
        let broken = move |w: &mut World| w.chain[at].broken = true;
        let name = format!("a flipped bit in the signature of the {name}");
        all.push(vector(MILAN, name, broken, &[SIGNATURES[at]]));
    }
    all
}

/// Only AMD's parameters count, whatever is signed with them.
fn parameters() -> Vec<Vector> {
    let mut all = Vec::new();
    for (at, name) in NAMES.into_iter().enumerate() {
        let own = SIGNATURES[at];
        for scheme in [
            Scheme::PssSha256,
            Scheme::PssSha512,
            Scheme::PssShortSalt,
            Scheme::Pkcs1,
        ] {
            let change = move |w: &mut World| w.chain[at].scheme = scheme;
            let name = format!("{name} signed with {scheme:?}");
            all.push(vector(MILAN, name, change, &[SignatureParameters, own]));
        }
        let hidden = move |w: &mut World| {
            w.chain[at].scheme = Scheme::PssShortSalt;
            w.chain[at].stated_inside = Some(Scheme::Pss.algorithm());
            w.chain[at].stated_outside = Some(Scheme::Pss.algorithm());
        };
        let hidden_name = format!("{name} signed with a short salt, said to be AMD's");
        all.push(vector(MILAN, hidden_name, hidden, &[own]));
        for (stated, algorithm) in [
            ("PKCS#1", Scheme::Pkcs1.algorithm()),
            ("SHA-256", Scheme::PssSha256.algorithm()),
            ("a salt of 32 bytes", Scheme::PssShortSalt.algorithm()),
            ("a mask with SHA-256", pss_with_other_mask()),
            ("no parameters", pss_without_parameters()),
            ("trailer field 2", pss_with_trailer(2)),
        ] {
            let inside = algorithm.clone();
            let inside = move |w: &mut World| w.chain[at].stated_inside = Some(inside.clone());
            let outside = move |w: &mut World| w.chain[at].stated_outside = Some(algorithm.clone());
            let of = |place: &str| format!("{name} that states {stated} {place} its signed part");
            all.push(vector(MILAN, of("inside"), inside, &[SignatureParameters]));
            all.push(vector(
                MILAN,
                of("outside"),
                outside,
                &[SignatureParameters],
            ));
        }
    }
    all
}

fn names() -> Vec<Vector> {
    table(
        MILAN,
        [
            (
                "a root named after another product",
                |w| {
                    w.root().subject = amd("ARK-Genoa");
                    w.root().issuer = amd("ARK-Genoa");
                    w.intermediate().issuer = amd("ARK-Genoa");
                },
                &[AuthorityNames],
            ),
            (
                "an intermediate named after another product",
                |w| {
                    w.intermediate().subject = amd("SEV-Genoa");
                    w.leaf().issuer = amd("SEV-Genoa");
                },
                &[AuthorityNames],
            ),
            (
                "the intermediate of VLEKs",
                |w| {
                    w.intermediate().subject = amd("SEV-VLEK-Milan");
                    w.leaf().issuer = amd("SEV-VLEK-Milan");
                },
                &[AuthorityNames],
            ),
            (
                "a root that names another issuer",
                |w| w.root().issuer = amd("ARK-Genoa"),
                &[AuthorityNames],
            ),
            (
                "an intermediate that names another issuer",
                |w| w.intermediate().issuer = amd("SEV-Milan"),
                &[AuthorityNames],
            ),
            (
                "a leaf that names another issuer",
                |w| w.leaf().issuer = amd("ARK-Milan"),
                &[AuthorityNames],
            ),
            (
                "a leaf that names its issuer without the organisation",
                |w| w.leaf().issuer = "CN=SEV-Milan".to_owned(),
                &[AuthorityNames],
            ),
        ],
    )
}

fn authority() -> Vec<Vector> {
    let mut all = table(
        MILAN,
        [
            (
                "a root that may issue leaves only",
                |w| w.root().set(constraints(true, Some(0))),
                &[Authority],
            ),
            (
                "an intermediate without path length",
                |w| w.intermediate().set(constraints(true, None)),
                &[Authority],
            ),
            (
                "an intermediate of path length 1",
                |w| w.intermediate().set(constraints(true, Some(1))),
                &[Authority],
            ),
            (
                "a leaf that is an authority",
                |w| w.leaf().set(constraints(true, None)),
                &[Authority],
            ),
            (
                "a leaf that may sign certificates",
                |w| w.leaf().set(usage(0x04)),
                &[Authority],
            ),
            (
                "a leaf whose basic constraints are unreadable",
                |w| {
                    w.leaf()
                        .set(extension(BASIC_CONSTRAINTS, true, vec![0x30, 0x05]))
                },
                &[Authority],
            ),
        ],
    );
    for (at, name) in NAMES.into_iter().enumerate().skip(1) {
        for (what, change) in [
            ("no authority", constraints(false, None)),
            ("for signatures on revocation lists only", usage(0x02)),
            (
                "with unreadable basic constraints",
                extension(BASIC_CONSTRAINTS, true, vec![0]),
            ),
            (
                "with unreadable key usage",
                extension(KEY_USAGE, true, vec![0x03, 0x01, 0x09]),
            ),
        ] {
            let change = move |w: &mut World| w.chain[at].set(change.clone());
            all.push(vector(
                MILAN,
                format!("{name} {what}"),
                change,
                &[Authority],
            ));
        }
        for (what, id) in [
            ("basic constraints", BASIC_CONSTRAINTS),
            ("key usage", KEY_USAGE),
        ] {
            let change = move |w: &mut World| w.chain[at].remove(id);
            all.push(vector(
                MILAN,
                format!("{name} without {what}"),
                change,
                &[Authority],
            ));
        }
    }
    all
}

fn critical() -> Vec<Vector> {
    let mut all = Vec::new();
    let unknown = |id: &str| extension(id, true, vec![0x05, 0x00]);
    let extensions: [(&str, Extension); 3] = [
        ("name constraints", unknown("2.5.29.30")),
        ("extended key usage", unknown("2.5.29.37")),
        ("an unknown extension", unknown("1.2.3.4")),
    ];
    for (at, name) in NAMES.into_iter().enumerate() {
        for (what, extension) in extensions.clone() {
            let change = move |w: &mut World| w.chain[at].set(extension.clone());
            all.push(vector(
                MILAN,
                format!("{name} with critical {what}"),
                change,
                &[CriticalExtensions],
            ));
        }
    }
    all.extend(table(
        MILAN,
        [(
            "a leaf whose chip is critical",
            |w| {
                w.leaf()
                    .extensions
                    .iter_mut()
                    .for_each(|one| one.critical = true)
            },
            &[CriticalExtensions],
        )],
    ));
    all
}

fn validity() -> Vec<Vector> {
    let mut all = Vec::new();
    for (at, name) in NAMES.into_iter().enumerate() {
        let over = move |w: &mut World| w.chain[at].not_after = date(2025, 12, 31);
        let early = move |w: &mut World| w.chain[at].not_before = date(2026, 1, 2);
        let name = |what: &str| format!("{name} {what}");
        all.push(vector(
            MILAN,
            name("that ended the day before"),
            over,
            &[VALIDITIES[at]],
        ));
        all.push(vector(
            MILAN,
            name("that begins the day after"),
            early,
            &[VALIDITIES[at]],
        ));
    }
    all.extend(table(
        MILAN,
        [
            (
                "a second after the leaf's end",
                |w| w.requirements.now = date(2032, 1, 1).to_system_time() + SECOND,
                &[LeafValidity],
            ),
            (
                "a second before the leaf's beginning",
                |w| w.requirements.now = date(2025, 1, 1).to_system_time() - SECOND,
                &[LeafValidity],
            ),
            (
                "before there were such certificates",
                |w| w.requirements.now = std::time::UNIX_EPOCH - SECOND,
                &[RootValidity, IntermediateValidity, LeafValidity],
            ),
        ],
    ));
    all
}

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

/// VCEK and VLEK.
fn kinds() -> Vec<Vector> {
    let mut all = table(
        MILAN,
        [(
            "a VLEK for a report that a VCEK signed",
            |w| w.chain = World::vlek().chain,
            &[LeafName, LeafTcb],
        )],
    );
    all.extend(table(
        VLEK,
        [
            (
                "not permitted",
                |w| w.requirements.vlek = false,
                &[SigningKey],
            ),
            (
                "said to be signed by a VCEK",
                |w| w.flip(0x48, 0x04),
                &[LeafName],
            ),
            (
                "a VCEK for a report that a VLEK signed",
                |w| w.leaf().subject = amd("SEV-VCEK"),
                &[LeafExtensions, AuthorityNames],
            ),
            (
                "the intermediate of VCEKs",
                |w| {
                    w.intermediate().subject = amd("SEV-Milan");
                    w.leaf().issuer = amd("SEV-Milan");
                },
                &[AuthorityNames],
            ),
            (
                "without its provider",
                |w| w.leaf().remove("1.3.6.1.4.1.3704.1.5"),
                &[LeafExtensions],
            ),
            (
                "with a provider that is no text",
                |w| w.leaf().set_amd("5", &[4, 0]),
                &[LeafExtensions],
            ),
            (
                "with a chip",
                |w| w.leaf().set_amd("4", &[7; 64]),
                &[LeafExtensions],
            ),
            (
                "expired",
                |w| w.leaf().not_after = date(2025, 12, 10),
                &[LeafValidity],
            ),
        ],
    ));
    all
}
