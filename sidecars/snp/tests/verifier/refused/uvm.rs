//! Endorsements of the utility VM: header, payload, signature and certificates.

use ciborium::Value;
use snp::CheckId;

use super::{Twin, Vector, table, twin, vector};
use crate::forge::World;
use crate::forge::certificate::{EXTENDED_KEY_USAGE, constraints, date, extension, usage};
use crate::forge::keys::{Curve, Key, Scheme, fresh_spki};
use crate::forge::uvm::{FEED, SVN, Uvm, did, label, purposes, seconds, text};
use CheckId::*;

const MILAN: Twin = twin("utility VM", World::milan);

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = Vec::new();
    all.extend(algorithms());
    all.extend(header());
    all.extend(claims());
    all.extend(payload());
    all.extend(signature());
    all.extend(certificates());
    all.extend(malformed());
    all
}

/// Everything but PS384.
fn algorithms() -> Vec<Vector> {
    let mut all = Vec::new();
    for (name, id) in [
        ("PS256", -37),
        ("PS512", -39),
        ("ES256", -7),
        ("ES384", -35),
        ("RS256", -257),
        ("RS384", -258),
        ("EdDSA", -8),
        ("HMAC 256/256", 5),
        ("number 0", 0),
    ] {
        let change = move |w: &mut World| w.uvm().set(label(1), label(id));
        all.push(vector(
            MILAN,
            format!("algorithm {name}"),
            change,
            &[UvmFormat],
        ));
    }
    all
}

fn header() -> Vec<Vector> {
    table(
        MILAN,
        [
            ("no endorsement", |w| w.uvm = None, &[UvmFormat]),
            ("no algorithm", |w| w.uvm().remove(&label(1)), &[UvmFormat]),
            (
                "the algorithm in the open header",
                |w| {
                    w.uvm().remove(&label(1));
                    w.uvm().unprotected.push((label(1), label(-38)));
                },
                &[UvmFormat],
            ),
            (
                "the algorithm by its name",
                |w| w.uvm().set(label(1), text("PS384")),
                &[UvmFormat],
            ),
            (
                "a critical parameter",
                |w| {
                    w.uvm()
                        .set(label(2), Value::Array(vec![text("signingtime")]));
                },
                &[UvmFormat],
            ),
            (
                "an empty list of critical parameters",
                |w| w.uvm().set(label(2), Value::Array(Vec::new())),
                &[UvmFormat],
            ),
            (
                "no content type",
                |w| w.uvm().remove(&label(3)),
                &[UvmFormat],
            ),
            (
                "another content type",
                |w| w.uvm().set(label(3), text("application/json+x")),
                &[UvmFormat],
            ),
            (
                "content type by number",
                |w| w.uvm().set(label(3), label(50)),
                &[UvmFormat],
            ),
            (
                "a parameter twice",
                |w| w.uvm().header.push((text("feed"), text(FEED))),
                &[UvmFormat],
            ),
            (
                "no certificates",
                |w| w.uvm().certified = false,
                &[UvmFormat],
            ),
            (
                "an empty list of certificates",
                |w| w.uvm().set(label(33), Value::Array(Vec::new())),
                &[UvmFormat],
            ),
            (
                "certificates that are no bytes",
                |w| w.uvm().set(label(33), Value::Array(vec![text("x"); 3])),
                &[UvmFormat],
            ),
            (
                "certificates in the open header",
                |w| {
                    let chain = w.uvm().ders().into_iter().map(Value::Bytes).collect();
                    w.uvm().unprotected.push((label(33), Value::Array(chain)));
                    w.uvm().certified = false;
                },
                &[UvmFormat],
            ),
            (
                "nine certificates",
                |w| {
                    let root = w.uvm().chain[2].clone();
                    w.uvm().chain.resize(9, root);
                },
                &[UvmFormat],
            ),
            (
                "the thumbprint of another certificate",
                |w| {
                    let thumbprint = vec![label(-16), Value::Bytes(vec![7; 32])];
                    w.uvm().set(label(34), Value::Array(thumbprint));
                },
                &[UvmFormat],
            ),
            (
                "a thumbprint of another hash",
                |w| {
                    let thumbprint = vec![label(-43), Value::Bytes(vec![7; 48])];
                    w.uvm().set(label(34), Value::Array(thumbprint));
                },
                &[UvmFormat],
            ),
        ],
    )
}

/// Issuer, feed and time of signing, as parameters and as claims.
fn claims() -> Vec<Vector> {
    let mut all = table(
        MILAN,
        [
            (
                "another issuer",
                |w| w.uvm().set(text("iss"), text("did:x509:0:sha256:x")),
                &[UvmIssuer],
            ),
            (
                "the issuer of another usage",
                |w| {
                    let issuer = did(&w.uvm().chain[2].clone(), "1.3.6.1.4.1.311.76.59.1.5");
                    w.uvm().set(text("iss"), text(&issuer));
                },
                &[UvmIssuer],
            ),
            (
                "the issuer with a space",
                |w| {
                    let issuer = format!("{} ", w.uvm_roots.issuer());
                    w.uvm().set(text("iss"), text(&issuer));
                },
                &[UvmIssuer],
            ),
            ("no issuer", |w| w.uvm().remove(&text("iss")), &[UvmFormat]),
            (
                "an issuer of bytes",
                |w| w.uvm().set(text("iss"), Value::Bytes(vec![7])),
                &[UvmFormat],
            ),
            (
                "the issuer in the open header",
                |w| {
                    let issuer = text(w.uvm_roots.issuer());
                    w.uvm().remove(&text("iss"));
                    w.uvm().unprotected.push((text("iss"), issuer));
                },
                &[UvmFormat],
            ),
            (
                "another feed",
                |w| w.uvm().set(text("feed"), text("ConfAKS-AMD-UVM")),
                &[UvmFeed],
            ),
            (
                "the feed in small letters",
                |w| w.uvm().set(text("feed"), text("containerplat-amd-uvm")),
                &[UvmFeed],
            ),
            ("no feed", |w| w.uvm().remove(&text("feed")), &[UvmFormat]),
            (
                "a time of signing that is text",
                |w| {
                    w.uvm()
                        .set(text("signingtime"), text("2025-09-30T00:00:00Z"))
                },
                &[UvmFormat],
            ),
            (
                "a time of signing before 1970",
                |w| {
                    w.uvm()
                        .set(text("signingtime"), Value::Tag(1, Box::new(label(-1))))
                },
                &[UvmFormat],
            ),
            (
                "claims that are no map",
                |w| w.uvm().set(label(15), Value::Array(Vec::new())),
                &[UvmFormat],
            ),
            (
                "a claim of another issuer",
                |w| claim(w, label(1), text("did:x509:0:sha256:x")),
                &[UvmFormat],
            ),
            (
                "a claim of another feed",
                |w| claim(w, label(2), text("ConfAKS-AMD-UVM")),
                &[UvmFormat],
            ),
            (
                "a claim of another version",
                |w| claim(w, text("svn"), label(105)),
                &[UvmSvn],
            ),
            (
                "a claim of a version in text",
                |w| claim(w, text("svn"), text("104")),
                &[UvmFormat],
            ),
        ],
    );
    all.extend(table(
        twin("endorsed with claims", with_claims),
        [
            (
                "another issuer",
                |w| claim(w, label(1), text("did:x509:0:sha256:x")),
                &[UvmIssuer],
            ),
            (
                "another feed",
                |w| claim(w, label(2), text("ConfAKS-AMD-UVM")),
                &[UvmFeed],
            ),
            ("no feed", |w| w.uvm().remove(&label(15)), &[UvmFormat]),
            (
                "a claim twice",
                |w| {
                    let one = (label(2), text(FEED));
                    let claims = vec![one.clone(), one, (label(1), text(w.uvm_roots.issuer()))];
                    w.uvm().set(label(15), Value::Map(claims));
                },
                &[UvmFormat],
            ),
        ],
    ));
    all
}

/// Issuer, feed and version as claims of a CWT.
fn with_claims() -> World {
    let mut world = World::milan();
    let issuer = text(world.uvm_roots.issuer());
    world.uvm().remove(&text("iss"));
    world.uvm().remove(&text("feed"));
    let claims = vec![
        (label(1), issuer),
        (label(2), text(FEED)),
        (text("svn"), Value::Integer(SVN.into())),
    ];
    world.uvm().set(label(15), Value::Map(claims));
    world
}

/// Sets a claim.
fn claim(world: &mut World, name: Value, value: Value) {
    let uvm = world.uvm();
    let old = uvm.header.iter().find(|(one, _)| *one == label(15));
    let mut claims = match old {
        Some((_, Value::Map(claims))) => claims.clone(),
        _ => Vec::new(),
    };
    claims.retain(|(one, _)| *one != name);
    claims.push((name, value));
    uvm.set(label(15), Value::Map(claims));
}

fn payload() -> Vec<Vector> {
    let mut all = Vec::new();
    for (name, from, to, failed) in [
        (
            "version 103",
            r#""104","x-ms-sevsnpvm-guestsvn-int":104"#,
            r#""103","x-ms-sevsnpvm-guestsvn-int":103"#,
            UvmSvn,
        ),
        (
            "a version in text older than in number",
            r#":"104""#,
            r#":"103""#,
            UvmSvn,
        ),
        (
            "a version in number older than in text",
            ":104",
            ":103",
            UvmSvn,
        ),
        (
            "a version with a leading zero",
            r#""104""#,
            r#""0104""#,
            UvmSvn,
        ),
        ("a version with a sign", r#""104""#, r#""+104""#, UvmSvn),
        ("a version with a space", r#""104""#, r#""104 ""#, UvmSvn),
        (
            "a version in hexadecimal digits",
            r#""104""#,
            r#""0x68""#,
            UvmSvn,
        ),
        ("an empty version", r#""104""#, r#""""#, UvmSvn),
        (
            "a version past 64 bits",
            r#""104""#,
            r#""18446744073709551616""#,
            UvmSvn,
        ),
        ("a version that is a number", r#""104""#, "104", UvmFormat),
        ("a number that is negative", ":104", ":-104", UvmFormat),
        ("no version", "guestsvn\"", "guestsv\"", UvmFormat),
        ("no measurement", "launchmeasurement", "launch", UvmFormat),
        (
            "a measurement with a line break",
            "launchmeasurement\":\"",
            "launchmeasurement\":\"\\n",
            Measurement,
        ),
        (
            "a measurement with a prefix",
            "launchmeasurement\":\"",
            "launchmeasurement\":\"0x",
            Measurement,
        ),
        (
            "a measurement twice",
            "{",
            r#"{"x-ms-sevsnpvm-launchmeasurement":"00","#,
            UvmFormat,
        ),
        ("a list", "{", "[{", UvmFormat),
        ("JSON and more", "}", "}{}", UvmFormat),
        ("no JSON", "{", "", UvmFormat),
    ] {
        let change = move |w: &mut World| w.uvm().replace(from, to);
        all.push(vector(MILAN, format!("payload: {name}"), change, &[failed]));
    }
    all.extend(table(
        MILAN,
        [
            (
                "an endorsement of another measurement",
                |w| w.uvm = Some(Uvm::of(&[7; 48])),
                &[Measurement],
            ),
            (
                "an endorsement of a cut measurement",
                |w| w.uvm = Some(Uvm::of(&w.report[0x90..0xbf])),
                &[Measurement],
            ),
            (
                "an endorsement of nothing",
                |w| w.uvm = Some(Uvm::of(&[])),
                &[Measurement],
            ),
            (
                "a measurement in capital letters",
                |w| {
                    let lower = hex::encode(&w.report[0x90..0xc0]);
                    w.uvm().replace(&lower, &lower.to_uppercase());
                },
                &[Measurement],
            ),
            (
                "a detached payload",
                |w| w.uvm().payload = Value::Null,
                &[UvmFormat],
            ),
            (
                "an empty payload",
                |w| w.uvm().payload = Value::Bytes(Vec::new()),
                &[UvmFormat],
            ),
            (
                "a payload of text",
                |w| w.uvm().payload = text("{}"),
                &[UvmFormat],
            ),
        ],
    ));
    all
}

fn signature() -> Vec<Vector> {
    table(
        MILAN,
        [
            (
                "signed by another key",
                |w| w.uvm().signer = Key::Ask,
                &[UvmSignature],
            ),
            (
                "signed by the root",
                |w| w.uvm().signer = Key::Ark,
                &[UvmSignature],
            ),
            (
                "signed with SHA-256",
                |w| w.uvm().scheme = Scheme::PssSha256,
                &[UvmSignature],
            ),
            (
                "signed with SHA-512",
                |w| w.uvm().scheme = Scheme::PssSha512,
                &[UvmSignature],
            ),
            (
                "signed with a short salt",
                |w| w.uvm().scheme = Scheme::PssShortSalt,
                &[UvmSignature],
            ),
            (
                "signed with PKCS#1",
                |w| w.uvm().scheme = Scheme::Pkcs1,
                &[UvmSignature],
            ),
            (
                "a flipped bit in the signature",
                |w| {
                    w.uvm().edit = |mut cose| {
                        *cose.last_mut().unwrap() ^= 1;
                        cose
                    };
                },
                &[UvmSignature],
            ),
            (
                "an endorsement changed after signing",
                |w| w.uvm().edit = |cose| replaced(cose, b"ContainerPlat", b"containerplat"),
                &[UvmFeed, UvmSignature],
            ),
            (
                "a measurement changed after signing",
                |w| {
                    w.uvm().edit = |cose| {
                        replaced(
                            cose,
                            b"launchmeasurement\":\"5f",
                            b"launchmeasurement\":\"00",
                        )
                    }
                },
                &[Measurement, UvmSignature],
            ),
        ],
    )
}

fn replaced(mut cose: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = cose
        .windows(from.len())
        .position(|part| part == from)
        .unwrap();
    cose[at..][..to.len()].copy_from_slice(to);
    cose
}

fn certificates() -> Vec<Vector> {
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

fn malformed() -> Vec<Vector> {
    let mut all = Vec::new();
    for (name, edit) in [
        ("empty", (|_| Vec::new()) as fn(Vec<u8>) -> Vec<u8>),
        ("the tag alone", |cose| cose[..1].to_vec()),
        ("tag and head", |cose| cose[..2].to_vec()),
        ("cut in its header", |cose| cose[..100].to_vec()),
        ("cut in its signature", |cose| {
            cose[..cose.len() - 1].to_vec()
        }),
        ("with a byte behind it", |cose| [&cose[..], &[0]].concat()),
        ("twice", |cose| cose.repeat(2)),
        ("under two tags", |cose| [&[0xd2], &cose[..]].concat()),
        ("under another tag", |cose| [&[0xd1], &cose[1..]].concat()),
        ("of three members", |cose| {
            [&[0xd2, 0x83], &cose[2..]].concat()
        }),
        ("as JSON", |_| b"{}".to_vec()),
        ("in hexadecimal digits", |cose| {
            hex::encode(cose).into_bytes()
        }),
        ("past the cap", |cose| [cose, vec![0; 256 << 10]].concat()),
    ] {
        let change = move |w: &mut World| w.uvm().edit = edit;
        all.push(vector(
            MILAN,
            format!("an endorsement {name}"),
            change,
            &[UvmFormat],
        ));
    }
    all
}
