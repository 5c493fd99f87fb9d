//! The report's layout and signature.

use cleanroom_crypto::ec::P384PublicKey;

use super::chain::Endorser;
use crate::table::Table;
use crate::{CheckId, Report, Requirements, SigningKey};

/// The report, if its fields can be told.
pub(super) fn judge(
    table: &mut Table,
    bytes: &[u8],
    requirements: &Requirements,
) -> Option<Report> {
    let length = |bytes: &[u8]| format!("{} bytes", bytes.len());
    let report = match Report::of_length(bytes) {
        Ok(report) => report,
        Err(error) => {
            table.finding(CheckId::ReportLength, "", Err(error));
            return None;
        }
    };
    table.judge(CheckId::ReportLength, length(bytes), length(bytes), true);
    if !table.finding(
        CheckId::ReportVersion,
        "a version from 2 to 5",
        report.check_version(),
    ) {
        return None;
    }
    table.finding(
        CheckId::SignatureAlgorithm,
        "algorithm 1",
        report.check_algorithm(),
    );
    table.finding(CheckId::SignaturePadding, "zero", report.check_padding());
    table.finding(CheckId::ReservedFields, "zero", report.check_reserved());
    signing_key(table, &report, requirements);
    Some(report)
}

fn signing_key(table: &mut Table, report: &Report, requirements: &Requirements) {
    let expected = if requirements.vlek {
        "VCEK or VLEK, chip key not masked"
    } else {
        "VCEK, chip key not masked"
    };
    let key = report.signing_key();
    let permitted = key == SigningKey::Vcek || (key == SigningKey::Vlek && requirements.vlek);
    let masked = report.chip_key_masked();
    let actual = format!("{key}{}", if masked { ", chip key masked" } else { "" });
    table.judge(CheckId::SigningKey, expected, actual, permitted && !masked);
}

/// What binds the report to its leaf: kind, TCB, chip, product and signature.
pub(super) fn judge_signature(table: &mut Table, report: &Report, endorser: &Endorser) {
    if let Some(leaf) = &endorser.endorsement {
        let name = report
            .signing_key()
            .common_name()
            .unwrap_or("SEV-VCEK or SEV-VLEK");
        table.finding(
            CheckId::LeafName,
            format!("CN {name}"),
            leaf.check_kind(report),
        );
        let tcb = leaf.tcb().to_string();
        table.finding(CheckId::LeafTcb, tcb, leaf.check_tcb(report));
        let chip = hex::encode(report.chip_id());
        let finding = leaf.check_chip(report, endorser.masked_chip);
        table.finding(CheckId::LeafChip, chip, finding);
    }
    let key = endorser
        .leaf
        .key_info()
        .and_then(|key| P384PublicKey::from_spki_der(&key).ok());
    let described = |present| {
        if present {
            "a P-384 point"
        } else {
            "another key"
        }
    };
    table.judge(
        CheckId::LeafKey,
        "a P-384 point",
        described(key.is_some()),
        key.is_some(),
    );
    let signature = [CheckId::SignatureAlgorithm, CheckId::SignaturePadding];
    if let Some(key) = key.filter(|_| signature.iter().all(|id| table.passed(*id))) {
        let verifies = key
            .verify_sha384(report.signed(), &report.signature())
            .is_ok();
        table.judge(
            CheckId::ReportSignature,
            "the leaf key's signature over bytes 0x000 to 0x29f",
            if verifies {
                "it verifies"
            } else {
                "it does not verify"
            },
            verifies,
        );
    }
}
