//! The utility VM: its launch measurement, and who endorses it.

use super::guest::listed;
use crate::error::shown;
use crate::table::Table;
use crate::{CheckId, Measurement, Report, Requirements, UvmEndorsement, UvmRoots};

const ENDORSEMENT: [CheckId; 6] = [
    CheckId::UvmFormat,
    CheckId::UvmChain,
    CheckId::UvmIssuer,
    CheckId::UvmSignature,
    CheckId::UvmFeed,
    CheckId::UvmSvn,
];

pub(super) fn judge(
    table: &mut Table,
    report: Option<&Report>,
    endorsement: Option<&[u8]>,
    requirements: &Requirements,
    roots: &UvmRoots,
) -> Option<UvmEndorsement> {
    let measurement = report.map(|report| hex::encode(report.measurement()));
    match &requirements.measurement {
        Measurement::Endorsed => endorsed(table, measurement, endorsement, roots),
        Measurement::OneOf(measurements) => {
            skip(table);
            if let (Some(report), Some(actual)) = (report, measurement) {
                let passed = measurements.contains(report.measurement());
                table.judge(CheckId::Measurement, listed(measurements), actual, passed);
            }
            None
        }
        Measurement::Unjudged => {
            skip(table);
            if let Some(actual) = measurement {
                table.not_required(CheckId::Measurement, actual);
            }
            None
        }
    }
}

fn skip(table: &mut Table) {
    for id in ENDORSEMENT {
        table.not_required(id, "not looked at");
    }
}

fn endorsed(
    table: &mut Table,
    measurement: Option<String>,
    endorsement: Option<&[u8]>,
    roots: &UvmRoots,
) -> Option<UvmEndorsement> {
    let format = "COSE_Sign1 over the measurement";
    let Some(bytes) = endorsement else {
        table.judge(CheckId::UvmFormat, format, "no endorsement", false);
        return None;
    };
    let endorsement = match UvmEndorsement::parse(bytes) {
        Ok(endorsement) => endorsement,
        Err(error) => {
            table.finding(CheckId::UvmFormat, format, Err(error));
            return None;
        }
    };
    table.judge(CheckId::UvmFormat, format, "the same", true);
    table.outcome(
        CheckId::UvmChain,
        "a path from a leaf of the issuer's usage to its authority",
        endorsement.resolve(roots),
    );
    table.judge(
        CheckId::UvmIssuer,
        roots.issuer(),
        shown(endorsement.issuer()),
        endorsement.issuer() == roots.issuer(),
    );
    let signed = endorsement.is_signed();
    table.judge(
        CheckId::UvmSignature,
        "a signature of its leaf",
        if signed {
            "it verifies"
        } else {
            "it does not verify"
        },
        signed,
    );
    table.judge(
        CheckId::UvmFeed,
        roots.feed(),
        shown(endorsement.feed()),
        endorsement.feed() == roots.feed(),
    );
    let svn = endorsement.svn();
    let recent = matches!(svn, Ok(svn) if svn >= roots.minimum_svn());
    table.judge(
        CheckId::UvmSvn,
        format!("at least {}", roots.minimum_svn()),
        svn.map_or_else(|reason| reason, |svn| svn.to_string()),
        recent,
    );
    if let Some(expected) = measurement {
        let actual = endorsement.measurement();
        let same = actual == expected;
        table.judge(CheckId::Measurement, expected, shown(actual), same);
    }
    Some(endorsement)
}
