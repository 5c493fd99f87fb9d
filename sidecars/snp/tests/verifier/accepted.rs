//! Evidence that is unusual and still good: what is not asked for is not refused.

use ciborium::Value;
use snp::Chips;

use crate::forge::World;
use crate::forge::certificate::{amd_id, date, extension, ia5};
use crate::forge::keys::pss_with_trailer;
use crate::forge::uvm::{label, text};

type Line = (&'static str, fn() -> World, fn(&mut World));

#[test]
fn unusual_evidence_is_accepted() {
    for (name, base, change) in report()
        .into_iter()
        .chain(chain())
        .chain(requirements())
        .chain(uvm())
    {
        let mut world = base();
        change(&mut world);
        let verification = world.verify();
        assert!(verification.accepted(), "{name}:\n{verification}");
        verification.into_verified().unwrap();
    }
}

/// Fields that no requirement looks at.
fn report() -> Vec<Line> {
    vec![
        ("version 4", World::milan, |w| w.set(0, &[4])),
        ("version 5", World::milan, |w| w.set(0, &[5])),
        ("mitigation vectors", World::version_5, |w| {
            w.set(0x1f8, &[0xff; 16])
        }),
        ("guest_svn", World::milan, |w| w.set(0x04, &[0xff; 4])),
        ("a newer interface", World::milan, |w| w.set(0x08, &[55, 1])),
        ("no sibling threads", World::milan, |w| w.flip(0x0a, 0x01)),
        ("one socket and all that follows", World::milan, |w| {
            w.flip(0x0a, 0xf0);
            w.flip(0x0b, 0x03);
        }),
        ("family and image", World::milan, |w| w.set(0x10, &[7; 32])),
        ("a newer current TCB", World::milan, |w| {
            w.set(0x3f, &[0xff])
        }),
        ("an unknown platform bit", World::milan, |w| {
            w.set(0x47, &[0x80])
        }),
        ("an identity key", World::milan, |w| w.set(0xe0, &[7; 48])),
        ("another instance", World::milan, |w| w.set(0x140, &[7; 32])),
        ("another stepping", World::milan, |w| w.set(0x18a, &[7])),
        ("a newer committed TCB", World::milan, |w| {
            w.set(0x1e7, &[0xff])
        }),
        ("other builds", World::milan, |w| {
            w.set(0x1e8, &[7; 3]);
            w.set(0x1ec, &[7; 3]);
        }),
        ("newer firmware at launch", World::milan, |w| {
            w.set(0x1f7, &[0xff])
        }),
    ]
}

fn chain() -> Vec<Line> {
    vec![
        ("the trailer field that AMD states", World::milan, |w| {
            for certificate in &mut w.chain {
                certificate.stated_inside = Some(pss_with_trailer(1));
                certificate.stated_outside = Some(pss_with_trailer(1));
            }
        }),
        ("a chip in an OCTET STRING", World::milan, |w| {
            let chip = [&[4, 64], &w.report[0x1a0..0x1e0]].concat();
            w.leaf().set_amd("4", &chip);
        }),
        ("a product with its stepping", World::milan, |w| {
            w.leaf().set_amd("2", &ia5("Milan-B0"))
        }),
        ("no spare extensions", World::milan, |w| {
            for spare in ["3.4", "3.5", "3.6", "3.7"] {
                w.leaf().remove(&amd_id(spare));
            }
        }),
        ("an extension that is not critical", World::milan, |w| {
            w.leaf().set(extension("1.2.3.4", false, vec![5, 0]));
        }),
        ("the last second of the leaf", World::milan, |w| {
            w.requirements.now = date(2032, 1, 1).to_system_time();
        }),
        ("the first second of the leaf", World::milan, |w| {
            w.requirements.now = date(2025, 1, 1).to_system_time();
        }),
        ("text around the certificates", World::milan, |w| {
            w.pem = |pem| format!("subject=leaf\n{pem}\nand so on");
        }),
        ("Windows' line ends", World::milan, |w| {
            w.pem = |pem| pem.replace('\n', "\r\n")
        }),
        ("no last line end", World::milan, |w| {
            w.pem = |pem| pem.trim_end().to_owned()
        }),
        ("somebody else revoked", World::with_crl, |w| {
            w.crls[0].revoked = vec![vec![7]]
        }),
        (
            "a list of another root beside the own",
            World::with_crl,
            |w| {
                w.crls.push(crate::forge::crl::Crl::empty("Genoa"));
            },
        ),
    ]
}

fn requirements() -> Vec<Line> {
    vec![
        ("a masked chip, permitted", World::milan, |w| {
            w.set(0x1a0, &[0; 64]);
            w.requirements.masked_chip = true;
        }),
        ("a chip by its 8 bytes", World::turin, |w| {
            let chip = w.report[0x1a0..0x1a8].to_vec();
            w.requirements.chips = Chips {
                allowed: Some(vec![chip]),
                denied: Vec::new(),
            };
        }),
        ("another chip denied", World::milan, |w| {
            w.requirements.chips.denied = vec![vec![7; 64]]
        }),
        (
            "a measurement of a list, and no endorsement",
            World::milan,
            |w| {
                let measurement = w.report[0x90..0xc0].try_into().unwrap();
                w.requirements.measurement = snp::Measurement::OneOf(vec![[7; 48], measurement]);
                w.uvm = None;
            },
        ),
        ("no measurement judged", World::milan, |w| {
            w.requirements.measurement = snp::Measurement::Unjudged;
            w.uvm = None;
        }),
        ("one policy of several", World::milan, |w| {
            w.requirements.host_data.insert(0, [7; 32]);
        }),
    ]
}

fn uvm() -> Vec<Line> {
    vec![
        ("without its tag", World::milan, |w| w.uvm().tagged = false),
        ("without a time of signing", World::milan, |w| {
            w.uvm().remove(&text("signingtime"))
        }),
        ("with an unknown parameter", World::milan, |w| {
            w.uvm().set(text("x"), label(1))
        }),
        ("with an empty open header", World::milan, |w| {
            w.uvm().unprotected.clear()
        }),
        ("without a thumbprint", World::milan, |w| {
            let chain = w.uvm().ders().into_iter().map(Value::Bytes).collect();
            w.uvm().set(label(33), Value::Array(chain));
            w.uvm().certified = false;
        }),
        ("with claims that say the same", World::milan, |w| {
            let issuer = text(w.uvm_roots.issuer());
            w.uvm().set(label(15), Value::Map(vec![(label(1), issuer)]));
        }),
        ("with another member", World::milan, |w| {
            w.uvm().replace("{", r#"{"x":1,"#)
        }),
        ("without the version as number", World::milan, |w| {
            w.uvm().replace(r#""x-ms-sevsnpvm-guestsvn-int":104,"#, "");
        }),
        (
            "with its authority's certificate again",
            World::milan,
            |w| {
                let root = w.uvm().chain[2].clone();
                w.uvm().chain.push(root);
            },
        ),
    ]
}
