//! What the report says of the guest.

use subtle::ConstantTimeEq;

use crate::table::Table;
use crate::{AuthorKey, CheckId, Report, Requirements};

pub(super) fn judge(table: &mut Table, report: &Report, requirements: &Requirements) {
    table.finding(CheckId::Debug, "bit 19 clear", report.check_debug());
    migration(table, report);
    author_key(table, report, &requirements.author_key);
    table.judge(
        CheckId::Vmpl,
        requirements.vmpl.to_string(),
        report.vmpl().to_string(),
        report.vmpl() == requirements.vmpl,
    );
    let version = |(major, minor): (u8, u8)| format!("{major}.{minor}");
    table.judge(
        CheckId::GuestAbi,
        format!("at least {}", version(requirements.guest_abi)),
        version(report.guest_abi()),
        report.guest_abi() >= requirements.guest_abi,
    );
    table.finding(
        CheckId::AllowAll,
        "host_data of a policy that restricts what runs",
        report.check_allow_all(),
    );
    table.judge(
        CheckId::HostData,
        listed(&requirements.host_data),
        hex::encode(report.host_data()),
        requirements.host_data.contains(report.host_data()),
    );
    table.judge(
        CheckId::ReportData,
        hex::encode(requirements.report_data),
        hex::encode(report.report_data()),
        report.report_data().ct_eq(&requirements.report_data).into(),
    );
}

fn migration(table: &mut Table, report: &Report) {
    let present = report.migration_agent().iter().any(|byte| *byte != 0xff);
    table.judge(
        CheckId::MigrationAgent,
        "bit 18 clear, no agent",
        format!(
            "policy {:#x}, {}",
            report.policy(),
            if present { "an agent" } else { "no agent" }
        ),
        !report.migration_allowed() && !present,
    );
}

fn author_key(table: &mut Table, report: &Report, required: &AuthorKey) {
    let digest = report.author_key_digest();
    let absent = digest.iter().all(|byte| *byte == 0);
    let enabled = report.author_key_enabled();
    let actual = match (enabled, absent) {
        (false, true) => "none".to_owned(),
        (true, _) => hex::encode(digest),
        (false, false) => format!("{}, not enabled", hex::encode(digest)),
    };
    match required {
        AuthorKey::Absent => table.judge(CheckId::AuthorKey, "none", actual, !enabled && absent),
        AuthorKey::OneOf(keys) => {
            let passed = enabled && keys.contains(digest);
            table.judge(CheckId::AuthorKey, listed(keys), actual, passed)
        }
    };
}

/// A list as the table shows it: the first few, and how many more.
pub(super) fn listed<T: AsRef<[u8]>>(values: &[T]) -> String {
    const SHOWN: usize = 4;
    let mut out = values
        .iter()
        .take(SHOWN)
        .map(hex::encode)
        .collect::<Vec<_>>()
        .join(" or ");
    match values.len().saturating_sub(SHOWN) {
        0 if out.is_empty() => "one of an empty list".to_owned(),
        0 => out,
        more => {
            out.push_str(&format!(" or one of {more} more"));
            out
        }
    }
}
