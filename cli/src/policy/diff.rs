use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use policy_simulate::{Change, Plain};
use serde_json::{Value, json};

use super::{Lines, show, source};
use crate::CliError;

/// Two policies.
#[derive(clap::Args, Debug)]
pub struct DiffArgs {
    /// The first: its text, its base64, or a template that carries it.
    before: PathBuf,
    /// The second.
    after: PathBuf,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &DiffArgs) -> Result<ExitCode, CliError> {
    let before = source::policy(&args.before)?;
    let after = source::policy(&args.after)?;
    let changes = before.changes(&after);
    let shown: Vec<_> = changes.iter().map(Shown).collect();
    let value = json!({"equal": changes.is_empty(), "changes": changes});
    show(
        &Lines(&shown, "no difference"),
        &value,
        args.json,
        changes.is_empty(),
    )
}

/// A change as text.
pub(super) struct Shown<'c>(pub(super) &'c Change);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| {
            value
                .as_ref()
                .map_or_else(|| "nothing".to_owned(), Value::to_string)
        };
        write!(
            f,
            "{}\n  - {}\n  + {}",
            Plain(&self.0.place),
            Plain(text(&self.0.before)),
            Plain(text(&self.0.after))
        )
    }
}
