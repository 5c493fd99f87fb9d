//! Inputs that are cut, filled up, swapped or not what they should be; and the caps from both sides.

use snp::{CheckId, Roots, SnpError, UvmEndorsement, UvmRoots};

use super::{Twin, Vector, table, twin, vector};
use crate::forge::World;
use crate::forge::certificate::pem;
use crate::vectors;
use CheckId::*;

const MILAN: Twin = twin("input", World::milan);
const PEM_CAP: usize = 64 << 10;
const UVM_CAP: usize = 256 << 10;

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = Vec::new();
    for length in [
        0,
        1,
        4,
        0x50,
        0x180,
        0x29f,
        0x2a0,
        0x330,
        1183,
        1185,
        1200,
        2368,
        1 << 20,
    ] {
        let change = move |w: &mut World| w.length = length;
        all.push(vector(
            MILAN,
            format!("a report of {length} bytes"),
            change,
            &[ReportLength],
        ));
    }
    all.extend(order());
    all.extend(text());
    all
}

fn order() -> Vec<Vector> {
    table(
        MILAN,
        [
            ("no certificates", |w| w.chain.clear(), &[ChainFormat]),
            ("the leaf alone", |w| w.chain.truncate(1), &[ChainFormat]),
            ("no root", |w| w.chain.truncate(2), &[ChainFormat]),
            (
                "no intermediate",
                |w| {
                    w.chain.remove(1);
                },
                &[ChainFormat],
            ),
            (
                "no leaf",
                |w| {
                    w.chain.remove(0);
                },
                &[ChainFormat],
            ),
            (
                "the root twice",
                |w| {
                    let root = w.chain[2].clone();
                    w.chain.push(root);
                },
                &[ChainFormat],
            ),
            (
                "intermediate and root swapped",
                |w| w.chain.swap(1, 2),
                &[
                    RootPinned,
                    RootSignature,
                    IntermediateSignature,
                    LeafSignature,
                    AuthorityNames,
                    Authority,
                ],
            ),
            (
                "the root as intermediate",
                |w| w.chain[1] = w.chain[2].clone(),
                &[LeafSignature, AuthorityNames, Authority],
            ),
            (
                "the intermediate as root",
                |w| w.chain[2] = w.chain[1].clone(),
                &[
                    RootPinned,
                    RootSignature,
                    IntermediateSignature,
                    AuthorityNames,
                    Authority,
                ],
            ),
        ],
    )
}

fn text() -> Vec<Vector> {
    let mut all = Vec::new();
    for (name, edit) in [
        (
            "a chain that is empty",
            (|_| String::new()) as fn(String) -> String,
        ),
        ("a chain in DER", |_| "0\u{82}".to_owned()),
        ("a chain cut in its base64", |pem| {
            pem[..pem.len() / 2].to_owned()
        }),
        ("a chain cut before its last line", |pem| {
            pem.replacen("-----END CERTIFICATE-----\n", "", 3)
        }),
        ("a chain without its last hyphen", |pem| {
            pem.trim_end().trim_end_matches('-').to_owned()
        }),
        ("a chain with a character that is no base64", |pem| {
            pem.replacen("\nMII", "\n!II", 1)
        }),
        ("a chain in one line", |pem| pem.replace('\n', "")),
        ("a chain of requests", |pem| {
            pem.replace("CERTIFICATE", "CERTIFICATE REQUEST")
        }),
        ("a chain of unknown things", |pem| {
            pem.replace("CERTIFICATE", "THING")
        }),
        ("a chain with a private key", |pem| {
            pem + &vectors::mock_text("vcek.key.pem")
        }),
        ("a chain past the cap", |pem| filled(pem, PEM_CAP + 1)),
        ("a chain of nothing but text, past the cap", |_| {
            "a".repeat(PEM_CAP + 1)
        }),
        ("a leaf of a byte too few", |chain| {
            cut(&chain, |der| {
                der.pop();
            })
        }),
        ("a leaf of a byte too many", |chain| {
            cut(&chain, |der| der.push(0))
        }),
        ("a leaf that is a list", |chain| {
            cut(&chain, |der| *der = vec![0x30, 0x00])
        }),
        ("a leaf that is empty", |chain| cut(&chain, Vec::clear)),
        ("a leaf in an endless length", |chain| {
            cut(&chain, |der| der[1] = 0x80)
        }),
    ] {
        let change = move |w: &mut World| w.pem = edit;
        all.push(vector(MILAN, name, change, &[ChainFormat]));
    }
    all
}

/// Text of a length: what is outside the certificates is ignored.
fn filled(pem: String, length: usize) -> String {
    let missing = length - pem.len();
    pem + &"\n".repeat(missing)
}

/// The chain with other bytes of its leaf.
fn cut(chain: &str, edit: fn(&mut Vec<u8>)) -> String {
    let chain = snp::EndorsementChain::from_pem(chain).unwrap();
    let [leaf, intermediate, root] = chain.ders();
    let mut leaf = leaf.to_vec();
    edit(&mut leaf);
    [&leaf, intermediate, root].map(pem).concat()
}

#[test]
fn what_is_as_long_as_the_cap_is_read() {
    let mut world = World::milan();
    world.pem = |pem| filled(pem, PEM_CAP);
    world.uvm().edit = |cose| {
        assert!(cose.len() < UVM_CAP);
        cose
    };
    assert!(world.verify().accepted());

    // White space in the payload fills the endorsement up; how much of it the cap leaves room for is found by measuring.
    let fill = |world: &mut World, spaces: usize| {
        world
            .uvm()
            .replace("}", &format!("{}}}", " ".repeat(spaces)));
        world.uvm().cose()
    };
    let some = fill(&mut World::milan(), 100_000);
    let room = 100_000 + UVM_CAP - some.len();
    let full = fill(&mut World::milan(), room);
    assert_eq!(full.len(), UVM_CAP);
    UvmEndorsement::parse(&full).unwrap();
    let over = fill(&mut World::milan(), room + 1);
    let error = UvmEndorsement::parse(&over).unwrap_err();
    assert_eq!(error.check(), Some(UvmFormat));

    let mut world = World::with_crl();
    let mut list = world.crls.remove(0).der();
    list.resize(1 << 20, 0);
    world.requirements.crls.push(list);
    let refusal = world.verify().check(Revocation).unwrap().actual.clone();
    assert!(refusal.contains("not a revocation list"), "{refusal}");
}

/// Every prefix of a well-formed input is refused by its parser, which reads none of it as the whole.
#[test]
fn no_prefix_of_an_input_is_the_input() {
    let evidence = World::milan().evidence();
    for length in 0..evidence.report.len() {
        let error = snp::Report::parse(&evidence.report[..length]).unwrap_err();
        assert_eq!(error.check(), Some(ReportLength), "{length}");
    }
    let cose = evidence.uvm_endorsement.unwrap();
    for length in 0..cose.len() {
        let error = UvmEndorsement::parse(&cose[..length]).unwrap_err();
        assert_eq!(error.check(), Some(UvmFormat), "{length}");
    }
    // The last line break may be missing.
    let pem = evidence.chain_pem.trim_end();
    for length in 0..pem.len() {
        let error = snp::EndorsementChain::from_pem(&pem[..length]).unwrap_err();
        assert_eq!(error.check(), Some(ChainFormat), "{length}");
    }
}

#[test]
fn unusable_roots_and_issuers_are_told_from_refused_evidence() {
    let unusable = |error: SnpError| match error {
        SnpError::Unusable { what, .. } => what,
        SnpError::Refused { .. } => panic!("{error}"),
    };
    let ark = vectors::mock_text("ark-milan.pem");
    for pem in [
        "",
        "text",
        &ark.replacen("MII", "!II", 1),
        &ark[..ark.len() / 2],
        &vectors::mock_text("ask-milan.pem"),
        &filled(ark.clone(), PEM_CAP + 1),
    ] {
        assert_eq!(unusable(Roots::from_pem(pem).unwrap_err()), "trusted roots");
    }
    let good = World::milan().uvm_roots.issuer().to_owned();
    UvmRoots::custom(&good, "feed", 1).unwrap();
    for issuer in [
        String::new(),
        "https://example.org".to_owned(),
        good.replace("x509:0", "x509:1"),
        good.replace("sha256", "sha512"),
        good.replace("::eku:", "::subject:"),
        good.replacen("sha256:", "sha256:A", 1),
        good.replacen("::eku:", "=::eku:", 1),
        format!("{good}.x"),
        format!("{good}::eku:1.2.3"),
        format!("{good} "),
    ] {
        let error = UvmRoots::custom(&issuer, "feed", 1).unwrap_err();
        assert_eq!(unusable(error), "issuer of utility VMs", "{issuer}");
    }
}
