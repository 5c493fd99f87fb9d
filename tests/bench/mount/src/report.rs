//! Samples of rounds, their medians, and ratios of medians.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Context;

/// All samples of one run.
#[derive(Debug, Default)]
pub(crate) struct Report(BTreeMap<(String, &'static str), Vec<f64>>);

impl Report {
    /// Takes note of one sample of a row on one side, and says it.
    pub(crate) fn add(&mut self, row: &str, side: &'static str, value: f64) {
        let unit = match value {
            value if value >= 1e6 => format!("{:.0} MB/s", value / 1e6),
            value => format!("{value:.0}/s"),
        };
        let _ = writeln!(std::io::stdout(), "{row:<28} {side:<10} {unit}");
        let samples = self.0.entry((row.to_owned(), side)).or_default();
        samples.push(value);
    }

    fn median(&self, row: &str, side: &'static str) -> anyhow::Result<f64> {
        let samples = self.0.get(&(row.to_owned(), side));
        let mut samples = samples
            .with_context(|| format!("{row}: no {side}"))?
            .clone();
        samples.sort_by(f64::total_cmp);
        samples.get(samples.len() / 2).copied().context("a median")
    }

    /// The lowest ratio of medians among rows.
    pub(crate) fn ratio(
        &self,
        rows: &[&str],
        ours: &'static str,
        other: &'static str,
    ) -> anyhow::Result<f64> {
        let mut lowest = f64::INFINITY;
        for row in rows {
            let ratio = self.median(row, ours)? / self.median(row, other)?;
            lowest = lowest.min(ratio);
        }
        Ok(rounded(lowest))
    }

    /// Says median, lowest and highest of all rows.
    pub(crate) fn summary(&self) {
        let mut out = std::io::stdout();
        for ((row, side), samples) in &self.0 {
            let lowest = samples.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = samples.iter().copied().fold(0.0, f64::max);
            let median = self.median(row, side).unwrap_or_default();
            let scale = if median >= 1e6 { 1e6 } else { 1.0 };
            let _ = writeln!(
                out,
                "{row:<28} {side:<10} median {:>8.0}  ({:.0} to {:.0}) {}",
                median / scale,
                lowest / scale,
                highest / scale,
                if scale > 1.0 { "MB/s" } else { "/s" }
            );
        }
    }
}

pub(crate) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
