//! What the caller asks for, changed: evidence that was good enough is so no longer.

use snp::{CheckId, PlatformInfo as Bits, Roots, UvmRoots};

use super::{Vector, table, twin, vector};
use crate::forge::World;
use crate::forge::certificate::amd;
use crate::forge::uvm::{FEED, SVN, did};
use CheckId::*;

pub(super) fn vectors() -> Vec<Vector> {
    let milan = twin("requirement", World::milan);
    let mut all = table(
        milan,
        [
            (
                "other data to be bound",
                |w| w.requirements.report_data[63] = 1,
                &[ReportData],
            ),
            (
                "no policy permitted",
                |w| w.requirements.host_data.clear(),
                &[HostData],
            ),
            ("privilege level 1", |w| w.requirements.vmpl = 1, &[Vmpl]),
            (
                "interface 0.32",
                |w| w.requirements.guest_abi = (0, 32),
                &[GuestAbi],
            ),
            (
                "interface 1.0",
                |w| w.requirements.guest_abi = (1, 0),
                &[GuestAbi],
            ),
            (
                "an author",
                |w| w.requirements.author_key = snp::AuthorKey::OneOf(vec![[7; 48]]),
                &[AuthorKey],
            ),
            (
                "no author, of an empty list",
                |w| w.requirements.author_key = snp::AuthorKey::OneOf(Vec::new()),
                &[AuthorKey],
            ),
            (
                "the absent author, enabled",
                |w| w.requirements.author_key = snp::AuthorKey::OneOf(vec![[0; 48]]),
                &[AuthorKey],
            ),
            (
                "another measurement of a list",
                |w| w.requirements.measurement = snp::Measurement::OneOf(vec![[7; 48]]),
                &[Measurement],
            ),
            (
                "no measurement, of an empty list",
                |w| w.requirements.measurement = snp::Measurement::OneOf(Vec::new()),
                &[Measurement],
            ),
            ("AMD's own roots", |w| w.roots = Roots::amd(), &[RootPinned]),
            (
                "Microsoft's own issuer",
                |w| w.uvm_roots = UvmRoots::microsoft().unwrap(),
                &[UvmChain, UvmIssuer],
            ),
            (
                "a newer utility VM",
                |w| w.uvm_roots = w.uvm_roots.clone().with_minimum_svn(SVN + 1),
                &[UvmSvn],
            ),
            (
                "another kind of utility VM",
                |w| {
                    let issuer = w.uvm_roots.issuer().to_owned();
                    w.uvm_roots = UvmRoots::custom(&issuer, "ConfAKS-AMD-UVM", SVN).unwrap();
                },
                &[UvmFeed],
            ),
            (
                "another usage of the leaf",
                |w| {
                    let issuer = did(&w.uvm().chain[2].clone(), "1.3.6.1.4.1.311.76.59.1.5");
                    w.uvm_roots = UvmRoots::custom(&issuer, FEED, SVN).unwrap();
                },
                &[UvmChain, UvmIssuer],
            ),
        ],
    );
    all.extend(platform());
    all.extend(chips());
    all
}

/// The report's platform has SMT, ECC and the alias check.
fn platform() -> Vec<Vector> {
    let milan = twin("requirement", World::milan);
    let mut all = Vec::new();
    for (name, bit) in [
        ("TSME", Bits::TSME),
        ("RAPL_DISABLED", Bits::RAPL_DISABLED),
        ("CIPHERTEXT_HIDING", Bits::CIPHERTEXT_HIDING),
        ("bit 7", 1 << 7),
        ("bit 63", 1 << 63),
    ] {
        let change = move |w: &mut World| w.requirements.platform.required |= bit;
        all.push(vector(
            milan,
            format!("platform with {name}"),
            change,
            &[PlatformInfo],
        ));
    }
    for (name, bit) in [
        ("SMT", Bits::SMT),
        ("ECC", Bits::ECC),
        ("ALIAS_CHECK", Bits::ALIAS_CHECK),
    ] {
        let change = move |w: &mut World| w.requirements.platform.forbidden |= bit;
        all.push(vector(
            milan,
            format!("platform without {name}"),
            change,
            &[PlatformInfo],
        ));
    }
    all
}

fn chips() -> Vec<Vector> {
    let mut all = table(
        twin("with lists of chips", World::with_chips),
        [
            (
                "the chip denied as well",
                |w| {
                    let chip = w.report[0x1a0..0x1e0].to_vec();
                    w.requirements.chips.denied.push(chip);
                },
                &[Chip],
            ),
            (
                "another chip allowed",
                |w| w.requirements.chips.allowed = Some(vec![vec![7; 64]]),
                &[Chip],
            ),
            (
                "no chip allowed",
                |w| w.requirements.chips.allowed = Some(Vec::new()),
                &[Chip],
            ),
            (
                "the beginning of the chip allowed",
                |w| {
                    let chip = w.report[0x1a0..0x1a8].to_vec();
                    w.requirements.chips.allowed = Some(vec![chip]);
                },
                &[Chip],
            ),
            (
                "the empty chip allowed",
                |w| w.requirements.chips.allowed = Some(vec![Vec::new()]),
                &[Chip],
            ),
        ],
    );
    all.extend(table(
        twin("Turin", World::turin),
        [
            (
                "the chip denied by its 8 bytes",
                |w| w.requirements.chips.denied = vec![w.report[0x1a0..0x1a8].to_vec()],
                &[Chip],
            ),
            (
                "the chip denied by 64 bytes",
                |w| w.requirements.chips.denied = vec![w.report[0x1a0..0x1e0].to_vec()],
                &[Chip],
            ),
        ],
    ));
    all.extend(table(
        twin("VLEK", World::vlek),
        [
            (
                "some chip denied, which a VLEK does not tell",
                |w| w.requirements.chips.denied = vec![vec![7; 64]],
                &[Chip],
            ),
            (
                "the empty chip allowed, which a VLEK does not tell",
                |w| w.requirements.chips.allowed = Some(vec![Vec::new()]),
                &[Chip],
            ),
        ],
    ));
    all.extend(table(
        twin("with a masked chip", masked),
        [
            (
                "which is not permitted",
                |w| w.requirements.masked_chip = false,
                &[LeafChip],
            ),
            (
                "which the leaf tells and which is denied",
                |w| w.requirements.chips.denied = vec![vec![7; 64]],
                &[Chip],
            ),
            (
                "under a leaf of another issuer",
                |w| w.leaf().issuer = amd("x"),
                &[AuthorityNames],
            ),
        ],
    ));
    all
}

fn masked() -> World {
    let mut world = World::milan();
    world.set(0x1a0, &[0; 64]);
    world.leaf().set_amd("4", &[7; 64]);
    world.requirements.masked_chip = true;
    world
}
