//! Firmware: every component of every product, in the report, in the leaf and at launch.

use snp::{CheckId, MinimumTcb as Minimum, Product, Tcb};

use super::{Twin, Vector, table, twin, vector};
use crate::forge::World;
use CheckId::*;

const LENIENT: Twin = twin("any firmware", World::lenient);
const PRODUCTS: [(Twin, Product); 3] = [
    (
        twin("components of Milan", || {
            World::with_components(Product::Milan)
        }),
        Product::Milan,
    ),
    (
        twin("components of Genoa", || {
            World::with_components(Product::Genoa)
        }),
        Product::Genoa,
    ),
    (
        twin("components of Turin", || {
            World::with_components(Product::Turin)
        }),
        Product::Turin,
    ),
];

/// Where a component is in the number, and which extension has it.
fn components(product: Product) -> &'static [(&'static str, usize, &'static str)] {
    match product {
        Product::Milan | Product::Genoa => &[
            ("boot loader", 0, "3.1"),
            ("TEE", 1, "3.2"),
            ("SNP firmware", 6, "3.3"),
            ("microcode", 7, "3.8"),
        ],
        Product::Turin => &[
            ("FMC", 0, "3.9"),
            ("boot loader", 1, "3.1"),
            ("TEE", 2, "3.2"),
            ("SNP firmware", 3, "3.3"),
            ("microcode", 7, "3.8"),
        ],
    }
}

pub(super) fn vectors() -> Vec<Vector> {
    let mut all = Vec::new();
    for (twin, product) in PRODUCTS {
        for (name, byte, suffix) in components(product) {
            all.extend(component(twin, product, name, *byte, suffix));
        }
        let unknown = |w: &mut World| w.requirements.minimum_tcb = Minimum::none();
        all.push(vector(
            twin,
            "a product without a minimum",
            unknown,
            &[MinimumTcb, LaunchTcb],
        ));
    }
    all.extend(shipped());
    all
}

fn component(
    twin: Twin,
    product: Product,
    name: &str,
    byte: usize,
    suffix: &'static str,
) -> [Vector; 5] {
    let older = move |tcb: u64| {
        let mut bytes = tcb.to_le_bytes();
        bytes[byte] -= 1;
        Tcb::from_raw(u64::from_le_bytes(bytes), product)
    };
    let report_and_leaf = move |w: &mut World| {
        let tcb = older(w.reported_tcb());
        w.set(0x180, &tcb.raw().to_le_bytes());
        w.certify(tcb);
    };
    let leaf = move |w: &mut World| w.certify(older(w.reported_tcb()));
    let at_launch = move |w: &mut World| {
        let tcb = older(w.reported_tcb());
        w.set(0x1f0, &tcb.raw().to_le_bytes());
    };
    let newer = move |w: &mut World| w.report[0x180 + byte] += 1;
    let missing = move |w: &mut World| w.leaf().remove(&format!("1.3.6.1.4.1.3704.1.{suffix}"));
    [
        vector(
            twin,
            format!("older {name}"),
            report_and_leaf,
            &[MinimumTcb],
        ),
        vector(twin, format!("a leaf of an older {name}"), leaf, &[LeafTcb]),
        vector(
            twin,
            format!("a report of a newer {name}"),
            newer,
            &[LeafTcb],
        ),
        vector(
            twin,
            format!("older {name} at launch"),
            at_launch,
            &[LaunchTcb],
        ),
        vector(
            twin,
            format!("a leaf without {name}"),
            missing,
            &[LeafExtensions],
        ),
    ]
}

/// The minima that are shipped, from both sides.
fn shipped() -> Vec<Vector> {
    let mut all = table(
        LENIENT,
        [(
            "a TCB with a reserved byte",
            |w| w.set(0x182, &[1]),
            &[LeafTcb],
        )],
    );
    for (twin, product) in PRODUCTS {
        let Some(minimum) = Minimum::shipped().of(product) else {
            let change = |w: &mut World| w.requirements.minimum_tcb = Minimum::shipped();
            let failed = &[MinimumTcb, LaunchTcb];
            all.push(vector(twin, "under the shipped minimum", change, failed));
            continue;
        };
        for (name, byte, _) in components(product) {
            let mut bytes = minimum.raw().to_le_bytes();
            if bytes[*byte] == 0 {
                continue;
            }
            bytes[*byte] -= 1;
            let older = Tcb::from_raw(u64::from_le_bytes(bytes), product);
            let change = move |w: &mut World| {
                w.set_tcb(older);
                w.requirements.minimum_tcb = Minimum::shipped();
            };
            let name = format!("{name} below the shipped minimum");
            all.push(vector(twin, name, change, &[MinimumTcb, LaunchTcb]));
        }
    }
    all
}
