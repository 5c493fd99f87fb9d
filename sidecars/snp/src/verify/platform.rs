//! What the report says of the platform.

use super::guest::listed;
use crate::table::Table;
use crate::{CheckId, Chips, Endorsement, PlatformInfo, Report, Requirements, SigningKey, Tcb};

pub(super) fn judge(
    table: &mut Table,
    report: &Report,
    leaf: Option<&Endorsement>,
    requirements: &Requirements,
) {
    platform_info(table, report, requirements.platform);
    if let Some(product) = leaf.map(Endorsement::product).or_else(|| report.product()) {
        let minimum = requirements.minimum_tcb.of(product);
        for (id, raw) in [
            (CheckId::MinimumTcb, report.reported_tcb()),
            (CheckId::LaunchTcb, report.launch_tcb()),
        ] {
            let actual = Tcb::from_raw(raw, product);
            let expected = match minimum {
                Some(minimum) => format!("at least {minimum}"),
                None => format!("a minimum for {product}, which the requirements lack"),
            };
            let met = minimum.is_some_and(|minimum| actual.meets(&minimum));
            table.judge(id, expected, actual.to_string(), met);
        }
    }
    if let Some(leaf) = leaf {
        chip(table, leaf, &requirements.chips);
    }
}

fn platform_info(table: &mut Table, report: &Report, required: PlatformInfo) {
    let actual = report.platform_info();
    table.judge(
        CheckId::PlatformInfo,
        format!(
            "bits {:#x} set, {:#x} clear",
            required.required, required.forbidden
        ),
        format!("{actual:#x}"),
        actual & required.required == required.required && actual & required.forbidden == 0,
    );
}

/// Lists are held against the leaf's chip, which is signed for even where the report masks its own.
fn chip(table: &mut Table, leaf: &Endorsement, chips: &Chips) {
    let actual = match leaf.kind() {
        SigningKey::Vlek => "unknown, a VLEK signed".to_owned(),
        _ => hex::encode(leaf.hwid()),
    };
    let is = |listed: &Vec<u8>| {
        let rest = listed.strip_prefix(leaf.hwid());
        rest.is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
    };
    let (expected, passed) = match &chips.allowed {
        None if chips.denied.is_empty() => return table.not_required(CheckId::Chip, actual),
        None => (format!("not {}", listed(&chips.denied)), true),
        Some(allowed) => (listed(allowed), allowed.iter().any(is)),
    };
    let known = leaf.kind() != SigningKey::Vlek;
    let passed = known && passed && !chips.denied.iter().any(is);
    table.judge(CheckId::Chip, expected, actual, passed);
}
