//! Evidence that is refused, each for its own reason: one line is one thing wrong with evidence that is otherwise accepted.
//!
//! A line names every check that fails and no other. What cannot be read for it is not evaluated, as [`unread`] says.

mod chain;
mod extensions;
mod inputs;
mod report;
mod requirements;
mod revocation;
mod signature;
mod tcb;
mod uvm;

use std::collections::{BTreeMap, BTreeSet};

use snp::{CheckId, EndorsementChain, Report, SnpError, UvmEndorsement, Verdict, Verification};

use crate::forge::{Evidence, World};

/// What a vector spoils.
#[derive(Clone, Copy)]
struct Twin {
    name: &'static str,
    world: fn() -> World,
}

struct Vector {
    name: String,
    twin: Twin,
    change: Box<dyn Fn(&mut World)>,
    failed: Vec<CheckId>,
    unread: BTreeSet<CheckId>,
}

type Line = (&'static str, fn(&mut World), &'static [CheckId]);

const fn twin(name: &'static str, world: fn() -> World) -> Twin {
    Twin { name, world }
}

fn table<const N: usize>(twin: Twin, lines: [Line; N]) -> Vec<Vector> {
    lines
        .into_iter()
        .map(|(name, change, failed)| vector(twin, name, change, failed))
        .collect()
}

fn vector(
    twin: Twin,
    name: impl Into<String>,
    change: impl Fn(&mut World) + 'static,
    failed: &[CheckId],
) -> Vector {
    Vector {
        name: name.into(),
        twin,
        change: Box::new(change),
        failed: failed.to_vec(),
        unread: failed.iter().flat_map(|id| unread(*id)).copied().collect(),
    }
}

/// What cannot be evaluated where a check failed, for a report that names its product.
fn unread(failed: CheckId) -> &'static [CheckId] {
    use CheckId::*;
    match failed {
        ReportLength | ReportVersion => &[
            ReportVersion,
            SignatureAlgorithm,
            SignaturePadding,
            ReservedFields,
            SigningKey,
            LeafName,
            LeafTcb,
            LeafChip,
            Product,
            LeafKey,
            ReportSignature,
            Debug,
            MigrationAgent,
            AuthorKey,
            Vmpl,
            GuestAbi,
            MinimumTcb,
            LaunchTcb,
            PlatformInfo,
            Chip,
            AllowAll,
            HostData,
            ReportData,
            Measurement,
        ],
        SignatureAlgorithm | SignaturePadding | LeafKey => &[ReportSignature],
        ChainFormat => &[
            RootPinned,
            SignatureParameters,
            RootSignature,
            IntermediateSignature,
            LeafSignature,
            LeafName,
            AuthorityNames,
            Authority,
            CriticalExtensions,
            RootValidity,
            IntermediateValidity,
            LeafValidity,
            Revocation,
            LeafExtensions,
            LeafTcb,
            LeafChip,
            Product,
            LeafKey,
            ReportSignature,
            Chip,
        ],
        LeafExtensions => &[LeafName, LeafTcb, LeafChip, Product, Chip],
        RootPinned => &[Product],
        UvmFormat => &[
            UvmChain,
            UvmIssuer,
            UvmSignature,
            UvmFeed,
            UvmSvn,
            Measurement,
        ],
        _ => &[],
    }
}

fn with(verification: &Verification, verdict: Verdict) -> Vec<CheckId> {
    let all = verification.checks().iter();
    all.filter(|check| check.verdict == verdict)
        .map(|check| check.id)
        .collect()
}

fn vectors() -> Vec<Vector> {
    [
        report::vectors(),
        signature::vectors(),
        tcb::vectors(),
        chain::vectors(),
        extensions::vectors(),
        revocation::vectors(),
        uvm::vectors(),
        requirements::vectors(),
        inputs::vectors(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The spoilt evidence of every vector that fails one of some checks.
pub(crate) fn worlds(checks: &[CheckId]) -> impl Iterator<Item = (String, World)> {
    let fails = |vector: &Vector| vector.failed.iter().any(|id| checks.contains(id));
    vectors().into_iter().filter(fails).map(|vector| {
        let mut world = (vector.twin.world)();
        (vector.change)(&mut world);
        (format!("{}, {}", vector.twin.name, vector.name), world)
    })
}

#[test]
fn every_vector_is_refused_for_its_own_reason() {
    let vectors = vectors();
    let mut names = BTreeSet::new();
    for Vector { twin, name, .. } in &vectors {
        assert!(
            names.insert((twin.name, name)),
            "{}, {name} twice",
            twin.name
        );
    }

    let mut twins = BTreeMap::new();
    let mut wrong = Vec::new();
    for vector in &vectors {
        let world = twins.entry(vector.twin.name).or_insert_with(|| {
            let world = (vector.twin.world)();
            let verification = world.verify();
            assert!(
                verification.accepted(),
                "{}:\n{verification}",
                vector.twin.name
            );
            world
        });
        let mut world = world.clone();
        (vector.change)(&mut world);
        wrong.extend(mistakes(vector, &world));
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );

    let reasons: BTreeSet<CheckId> = vectors
        .iter()
        .flat_map(|one| &one.failed)
        .copied()
        .collect();
    let missing: Vec<_> = CheckId::ALL
        .iter()
        .filter(|id| !reasons.contains(id))
        .collect();
    assert!(missing.is_empty(), "no vector fails {missing:?}");
    println!("{} vectors refused, each for its own reason", vectors.len());
    assert!(vectors.len() >= 100);
}

/// What the verifier or the parsers make of a vector, other than its line says.
fn mistakes(vector: &Vector, world: &World) -> Vec<String> {
    let evidence = world.evidence();
    let verification = evidence.verify(&world.roots, &world.uvm_roots);
    let mut failed = vector.failed.clone();
    failed.sort();
    let unread: Vec<_> = vector
        .unread
        .iter()
        .copied()
        .filter(|id| !failed.contains(id))
        .collect();
    let mut wrong = Vec::new();
    let mut expect = |what: &str, expected: &[CheckId], actual: &[CheckId]| {
        if expected != actual {
            let (twin, name) = (vector.twin.name, &vector.name);
            wrong.push(format!(
                "{twin}, {name}: {what} {actual:?}, expected {expected:?}"
            ));
        }
    };
    expect("failed", &failed, &with(&verification, Verdict::Failed));
    expect(
        "unread",
        &unread,
        &with(&verification, Verdict::NotEvaluated),
    );
    let first = failed.first().copied().as_slice().to_vec();
    let parsed = parsers(&evidence);
    let parsers: Vec<_> = failed
        .iter()
        .copied()
        .filter(|id| parser(vector, *id))
        .take(1)
        .collect();
    expect("parsers refuse", &parsers, &parsed);
    let refused = verification.into_verified().err();
    expect(
        "refused",
        &first,
        refused.as_ref().and_then(SnpError::check).as_slice(),
    );
    wrong
}

/// Whether a check is made by a parser.
fn parser(vector: &Vector, id: CheckId) -> bool {
    use CheckId::*;
    match id {
        ReportLength | ReportVersion | SignatureAlgorithm | SignaturePadding => true,
        ChainFormat | LeafExtensions | UvmFormat => true,
        // A name of neither kind.
        LeafName => vector.unread.contains(&LeafExtensions),
        _ => false,
    }
}

/// The check that the first refusing parser names.
fn parsers(evidence: &Evidence) -> Vec<CheckId> {
    let report = Report::parse(&evidence.report).err();
    let chain = EndorsementChain::from_pem(&evidence.chain_pem).err();
    let uvm = evidence.uvm_endorsement.as_deref();
    let uvm = uvm.and_then(|cose| UvmEndorsement::parse(cose).err());
    let missing = evidence
        .uvm_endorsement
        .is_none()
        .then_some(CheckId::UvmFormat);
    let first = report.or(chain).or(uvm);
    first
        .and_then(|error| error.check())
        .or(missing)
        .into_iter()
        .collect()
}
