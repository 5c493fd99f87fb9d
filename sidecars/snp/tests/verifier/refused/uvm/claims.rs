//! Issuer, feed, version and time of signing, as header parameters and as claims of a CWT (RFC 9597).

use ciborium::Value;
use snp::CheckId;

use super::super::{Vector, table, twin};
use super::MILAN;
use crate::forge::World;
use crate::forge::uvm::{FEED, SVN, did, label, text};
use CheckId::*;

pub(super) fn vectors() -> Vec<Vector> {
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
