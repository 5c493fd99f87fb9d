//! What is endorsed, and the signature over it.

use ciborium::Value;
use snp::CheckId;

use super::super::{Vector, table, vector};
use super::MILAN;
use crate::forge::World;
use crate::forge::keys::{Key, Scheme};
use crate::forge::uvm::{Uvm, text};
use CheckId::*;

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = payload();
    all.extend(signature());
    all
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
