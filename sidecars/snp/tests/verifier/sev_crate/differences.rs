//! What the `sev` crate accepts and is refused here, one change at a time.

use snp::CheckId;

use super::sev_verifies;
use crate::forge::World;
use crate::forge::certificate::{Cert, amd, amd_id, constraints, date, extension, ia5};
use crate::forge::keys::{Key, Scheme};
use crate::real::failed;
use crate::vectors;
use CheckId::*;

/// Something that the crate accepts and that is refused here, in the words of the page.
struct Difference {
    what: &'static str,
    base: fn() -> World,
    change: fn(&mut World),
    failed: &'static [CheckId],
}

const fn differs(
    what: &'static str,
    change: fn(&mut World),
    failed: &'static [CheckId],
) -> Difference {
    Difference {
        what,
        base: World::lenient,
        change,
        failed,
    }
}

const DIFFERENCES: [Difference; 45] = [
    // The report's layout.
    differs(
        "a report of an unknown version",
        |w| w.set(0, &[6]),
        &[ReportVersion],
    ),
    differs(
        "a report that states another signature algorithm",
        |w| w.set(0x34, &[2]),
        &[SignatureAlgorithm],
    ),
    differs(
        "bits of the signature's numbers past the 384th",
        |w| w.flips.push((0x2d0, 1)),
        &[SignaturePadding],
    ),
    differs(
        "bytes behind the signature",
        |w| w.flips.push((0x330, 1)),
        &[SignaturePadding],
    ),
    differs(
        "reserved bits of the guest policy",
        |w| w.flip(0x0f, 0x80),
        &[ReservedFields],
    ),
    differs(
        "reserved bits of the key information",
        |w| w.flip(0x4b, 0x80),
        &[ReservedFields],
    ),
    differs(
        "a report that says another kind of key signed it",
        |w| w.flip(0x48, 0x04),
        &[SigningKey, LeafName],
    ),
    differs(
        "a report that says no key signed it",
        |w| w.flip(0x48, 0x1c),
        &[SigningKey, LeafName],
    ),
    differs("a masked chip key", |w| w.flip(0x48, 0x02), &[SigningKey]),
    Difference {
        what: "a VLEK where none is permitted",
        base: World::vlek,
        change: |w| w.requirements.vlek = false,
        failed: &[SigningKey],
    },
    // The chain.
    differs(
        "a root that is not AMD's",
        |w| {
            w.root().spki = Key::Ask.spki();
            w.root().signer = Key::Ask;
            w.intermediate().signer = Key::Ask;
        },
        &[RootPinned],
    ),
    differs(
        "signature parameters that differ inside and outside the signed part",
        |w| w.leaf().stated_inside = Some(Scheme::PssSha256.algorithm()),
        &[SignatureParameters],
    ),
    differs(
        "signature parameters other than those signed with",
        |w| w.leaf().stated_outside = Some(Scheme::PssSha256.algorithm()),
        &[SignatureParameters],
    ),
    differs(
        "an intermediate of another product's name",
        |w| {
            w.intermediate().subject = amd("SEV-Genoa");
            w.leaf().issuer = amd("SEV-Genoa");
        },
        &[AuthorityNames],
    ),
    differs(
        "a certificate that names another issuer than its own",
        |w| w.leaf().issuer = amd("ARK-Milan"),
        &[AuthorityNames],
    ),
    differs(
        "an intermediate that may not issue certificates",
        |w| w.intermediate().set(constraints(false, None)),
        &[Authority],
    ),
    differs(
        "a leaf that may issue certificates",
        |w| w.leaf().set(constraints(true, None)),
        &[Authority],
    ),
    differs(
        "a critical extension that nobody understands",
        |w| w.leaf().set(extension("1.2.3.4", true, vec![5, 0])),
        &[CriticalExtensions],
    ),
    differs(
        "an expired root",
        |w| w.root().not_after = date(2025, 1, 1),
        &[RootValidity],
    ),
    differs(
        "an expired intermediate",
        |w| w.intermediate().not_after = date(2025, 1, 1),
        &[IntermediateValidity],
    ),
    differs(
        "an expired leaf",
        |w| w.leaf().not_after = date(2025, 12, 1),
        &[LeafValidity],
    ),
    differs(
        "a leaf that is not in force yet",
        |w| w.leaf().not_before = date(2026, 2, 1),
        &[LeafValidity],
    ),
    Difference {
        what: "a revoked intermediate",
        base: World::with_crl,
        change: |w| w.crls[0].revoked = vec![vec![1, 0, 1]],
        failed: &[Revocation],
    },
    differs(
        "a leaf of no known name",
        |w| w.leaf().subject = amd("x"),
        &[LeafName],
    ),
    differs(
        "a leaf without its chip",
        |w| w.leaf().remove(&amd_id("4")),
        &[LeafExtensions],
    ),
    differs(
        "a leaf without its TCB",
        |w| w.leaf().remove(&amd_id("3.8")),
        &[LeafExtensions],
    ),
    differs(
        "a leaf with one extension twice",
        |w| w.leaf().double(&amd_id("3.8")),
        &[ChainFormat],
    ),
    // What binds the two.
    differs(
        "a leaf of another TCB than the report's",
        |w| w.leaf().set_amd("3.8", &[2, 1, 7]),
        &[LeafTcb],
    ),
    differs(
        "a leaf of another chip than the report's",
        |w| w.leaf().set_amd("4", &[7; 64]),
        &[LeafChip],
    ),
    differs(
        "a report that masks its chip",
        |w| w.set(0x1a0, &[0; 64]),
        &[LeafChip],
    ),
    differs(
        "a leaf of another product than the root's",
        |w| w.leaf().set_amd("2", &ia5("Genoa")),
        &[Product],
    ),
    differs(
        "a report of another product than the root's",
        |w| w.set(0x188, &[0x19, 0x11]),
        &[Product],
    ),
    // What the report says.
    differs(
        "a guest that may be debugged",
        |w| w.flip(0x0a, 0x08),
        &[Debug],
    ),
    differs(
        "a guest that a migration agent may move",
        |w| w.flip(0x0a, 0x04),
        &[MigrationAgent],
    ),
    differs(
        "a guest with a migration agent",
        |w| w.set(0x160, &[7; 32]),
        &[MigrationAgent],
    ),
    differs(
        "a guest of an unexpected author",
        |w| w.flip(0x48, 0x01),
        &[AuthorKey],
    ),
    differs(
        "another privilege level than 0",
        |w| w.set(0x30, &[1]),
        &[Vmpl],
    ),
    differs(
        "a report that the host requested",
        |w| w.set(0x30, &[0xff; 4]),
        &[Vmpl],
    ),
    differs(
        "a guest content with an old interface",
        |w| w.set(0x08, &[0]),
        &[GuestAbi],
    ),
    Difference {
        what: "firmware below the minimum",
        base: World::milan,
        change: |w| {
            w.set_tcb(snp::Tcb::from_raw(
                0xdb17_0000_0000_0004,
                snp::Product::Milan,
            ))
        },
        failed: &[MinimumTcb, LaunchTcb],
    },
    differs(
        "a platform that did not check for aliases",
        |w| w.flip(0x40, 0x20),
        &[PlatformInfo],
    ),
    Difference {
        what: "a chip that is denied",
        base: World::with_chips,
        change: |w| {
            w.requirements
                .chips
                .denied
                .push(w.report[0x1a0..0x1e0].to_vec())
        },
        failed: &[Chip],
    },
    differs(
        "a policy that is not on the list",
        |w| w.flip(0xc0, 1),
        &[HostData],
    ),
    differs(
        "other data bound than asked for",
        |w| w.flip(0x50, 1),
        &[ReportData],
    ),
    differs(
        "a utility VM that nobody endorses",
        |w| w.uvm = None,
        &[UvmFormat],
    ),
];

#[test]
fn what_the_sev_crate_accepts_and_is_refused_here() {
    for Difference {
        what,
        base,
        change,
        failed: expected,
    } in DIFFERENCES
    {
        let good = base();
        assert!(good.verify().accepted(), "{what}");
        let mut world = base();
        change(&mut world);
        let evidence = world.evidence();
        let chain: Vec<Vec<u8>> = world.chain.iter().map(Cert::der).collect();
        let chain = [&chain[0], &chain[1], &chain[2]].map(Vec::as_slice);
        if let Err(error) = sev_verifies(&evidence.report, chain) {
            panic!("{what}: the crate refuses it: {error}");
        }
        let ours = evidence.verify(&world.roots, &world.uvm_roots);
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(failed(&ours), expected, "{what}");
    }
}

#[test]
fn the_page_lists_every_difference() {
    let page = vectors::page();
    let section = page
        .split("\n## ")
        .find(|part| part.starts_with("What the `sev` crate"));
    let listed: Vec<&str> = section
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("- "))
        .collect();
    let lines: Vec<String> = DIFFERENCES
        .iter()
        .map(|one| {
            let checks: Vec<_> = one.failed.iter().map(|id| format!("`{id}`")).collect();
            format!("{}: {}", one.what, checks.join(", "))
        })
        .collect();
    assert_eq!(
        listed,
        lines,
        "the section should have these lines:\n- {}",
        lines.join("\n- ")
    );
}
