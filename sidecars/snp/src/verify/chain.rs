//! The endorsements: from the leaf to a pinned root.

use std::time::Duration;

use crate::certificate::{Authority, Certificate};
use crate::chain::Certificates;
use crate::error::shown;
use crate::table::Table;
use crate::{CheckId, Endorsement, Product, Requirements, Roots, SigningKey, crl};

/// What vouches for the report, as far as it could be read.
pub(super) struct Endorser {
    pub(super) leaf: Certificate,
    pub(super) endorsement: Option<Endorsement>,
    pub(super) masked_chip: bool,
    /// The product of the pinned root.
    pub(super) root: Option<Product>,
}

pub(super) fn judge(
    table: &mut Table,
    pem: &str,
    requirements: &Requirements,
    roots: &Roots,
    now: Duration,
) -> Option<Endorser> {
    let format = "leaf, intermediate and root as X.509 in PEM";
    let chain = match Certificates::from_pem(pem) {
        Ok(chain) => chain,
        Err(error) => {
            table.finding(CheckId::ChainFormat, format, Err(error));
            return None;
        }
    };
    table.judge(CheckId::ChainFormat, format, "the same", true);
    let root = chain_root(table, &chain, roots);
    signatures(table, &chain);
    authority(table, &chain);
    validity(table, &chain, now);
    revocation(table, &chain, &requirements.crls, now);
    let endorsement = leaf(table, &chain.leaf);
    if let Some(product) = root.or_else(|| endorsement.as_ref().map(Endorsement::product)) {
        names(table, &chain, product);
    }
    Some(Endorser {
        leaf: chain.leaf,
        endorsement,
        masked_chip: requirements.masked_chip,
        root,
    })
}

fn chain_root(table: &mut Table, chain: &Certificates, roots: &Roots) -> Option<Product> {
    let found = roots.product_of(&chain.root);
    let product = found.as_ref().ok().copied();
    table.outcome(
        CheckId::RootPinned,
        "the key of a trusted root",
        found
            .map(|product| format!("ARK-{product}"))
            .map_err(|key| format!("SHA-256 of the key {key}")),
    );
    product
}

/// Signatures are verified as RSASSA-PSS in any case; a certificate that claims another algorithm fails twice.
fn signatures(table: &mut Table, chain: &Certificates) {
    let all = [&chain.leaf, &chain.intermediate, &chain.root];
    let other = all.iter().find(|one| !one.has_amd_signature_parameters());
    table.outcome(
        CheckId::SignatureParameters,
        "RSASSA-PSS with SHA-384, MGF1 with SHA-384, salt of 48 bytes",
        match other {
            None => Ok("the same in all three".to_owned()),
            Some(one) => Err(format!(
                "{}: {}",
                shown(&one.common_name()),
                one.signature_algorithm()
            )),
        },
    );
    for (id, certificate, issuer) in [
        (CheckId::RootSignature, &chain.root, &chain.root),
        (
            CheckId::IntermediateSignature,
            &chain.intermediate,
            &chain.root,
        ),
        (CheckId::LeafSignature, &chain.leaf, &chain.intermediate),
    ] {
        let verifies = certificate.is_signed_by(issuer);
        let actual = if verifies {
            "it verifies"
        } else {
            "it does not verify"
        };
        let expected = format!("a signature of {:?}", shown(&issuer.common_name()));
        table.judge(id, expected, actual, verifies);
    }
}

fn authority(table: &mut Table, chain: &Certificates) {
    table.outcome(
        CheckId::Authority,
        "root and intermediate issue certificates, the intermediate none that issue, the leaf none",
        may_issue(chain),
    );
    let unread: Vec<String> = [&chain.leaf, &chain.intermediate, &chain.root]
        .into_iter()
        .flat_map(Certificate::unread_critical)
        .collect();
    table.outcome(
        CheckId::CriticalExtensions,
        "none but basic constraints and key usage",
        if unread.is_empty() {
            Ok("no other".to_owned())
        } else {
            Err(unread.join(", "))
        },
    );
}

fn may_issue(chain: &Certificates) -> Result<String, String> {
    let issuer = |name: &str, certificate: &Certificate| {
        let authority = certificate
            .authority()
            .map_err(|reason| format!("{name}: {reason}"))?;
        if authority.ca && authority.cert_sign {
            Ok(authority)
        } else {
            Err(format!("the {name} may not issue certificates"))
        }
    };
    if issuer("root", &chain.root)?.path_len == Some(0) {
        return Err("the root may issue leaves only".to_owned());
    }
    match issuer("intermediate", &chain.intermediate)?.path_len {
        Some(0) => {}
        other => return Err(format!("the intermediate's path length is {other:?}")),
    }
    let leaf: Authority = chain.leaf.authority()?;
    if leaf.ca || leaf.cert_sign {
        return Err("the leaf may issue certificates".to_owned());
    }
    Ok("the same".to_owned())
}

fn validity(table: &mut Table, chain: &Certificates, now: Duration) {
    for (id, certificate) in [
        (CheckId::RootValidity, &chain.root),
        (CheckId::IntermediateValidity, &chain.intermediate),
        (CheckId::LeafValidity, &chain.leaf),
    ] {
        let validity = certificate.validity();
        table.judge(
            id,
            format!("in force {} s after 1970", now.as_secs()),
            format!("from {} to {}", validity.not_before, validity.not_after),
            certificate.in_force(now),
        );
    }
}

fn revocation(table: &mut Table, chain: &Certificates, crls: &[Vec<u8>], now: Duration) {
    if crls.is_empty() {
        table.not_required(CheckId::Revocation, "no list given");
        return;
    }
    table.outcome(
        CheckId::Revocation,
        "root and intermediate in no list of the root",
        crl::check(crls, &chain.root, &chain.intermediate, now),
    );
}

fn leaf(table: &mut Table, leaf: &Certificate) -> Option<Endorsement> {
    match Endorsement::read(leaf) {
        Ok(endorsement) => {
            table.judge(
                CheckId::LeafExtensions,
                format!("AMD's extensions of a {} certificate", endorsement.kind()),
                format!("{} {}", endorsement.product(), endorsement.tcb()),
                true,
            );
            Some(endorsement)
        }
        Err(error) => {
            table.finding(CheckId::LeafExtensions, "", Err(error));
            None
        }
    }
}

fn names(table: &mut Table, chain: &Certificates, product: Product) {
    let intermediate = match Endorsement::kind_of(&chain.leaf) {
        Some(SigningKey::Vlek) => format!("SEV-VLEK-{product}"),
        _ => format!("SEV-{product}"),
    };
    let root = format!("ARK-{product}");
    let actual = [&chain.root, &chain.intermediate].map(Certificate::common_name);
    let linked = chain.root.issuer() == chain.root.subject()
        && chain.intermediate.issuer() == chain.root.subject()
        && chain.leaf.issuer() == chain.intermediate.subject();
    let [actual_root, actual_intermediate] = &actual;
    table.judge(
        CheckId::AuthorityNames,
        format!("{root} and {intermediate}, each the issuer of the next"),
        format!(
            "{} and {}, {}",
            shown(actual_root),
            shown(actual_intermediate),
            if linked {
                "each the issuer of the next"
            } else {
                "not each the issuer of the next"
            }
        ),
        linked && *actual_root == root && *actual_intermediate == intermediate,
    );
}

/// Report, leaf and root must be of one product. Version 2 reports do not tell theirs.
pub(super) fn judge_product(table: &mut Table, report: &crate::Report, endorser: &Endorser) {
    let (Some(root), Some(leaf)) = (endorser.root, &endorser.endorsement) else {
        return;
    };
    let (stated, agrees) = match report.cpuid() {
        None => ("not stated".to_owned(), true),
        Some(cpuid) => (
            match report.product() {
                Some(product) => product.to_string(),
                None => format!(
                    "unknown (family {:#04x}, model {:#04x})",
                    cpuid.family, cpuid.model
                ),
            },
            report.product() == Some(root),
        ),
    };
    table.judge(
        CheckId::Product,
        format!("{root}, as the root"),
        format!("report {stated}, leaf {}", leaf.product()),
        agrees && leaf.product() == root,
    );
}
