//! The protected header: algorithm, content type, certificates; and bytes that are no COSE_Sign1.

use ciborium::Value;
use snp::CheckId;

use super::super::{Vector, table, vector};
use super::MILAN;
use crate::forge::World;
use crate::forge::uvm::{FEED, label, text};
use CheckId::*;

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = algorithms();
    all.extend(header());
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
