use std::path::PathBuf;

use super::{Limits, Pin, Which, open};
use crate::CliError;
use crate::config::read_specification;
use crate::credential::Access;
use crate::stores::DataStore;
use crate::transfer::{Engine, Known, Report, Verify};

#[derive(clap::Args, Debug)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    which: Which,
    /// Folder of encrypted files; the container without it.
    #[arg(long)]
    src: Option<PathBuf>,
    #[command(flatten)]
    pin: Pin,
    /// Specification or contract that pins the manifest.
    #[arg(long, conflicts_with_all = ["manifest_hmac", "any_manifest"])]
    cleanroom_config: Option<PathBuf>,
    /// Only what the end of each file tells: a changed content is not noticed.
    #[arg(long)]
    quick: bool,
    /// How to print the verdicts.
    #[arg(long, value_enum, default_value = "json")]
    output: Output,
    #[command(flatten)]
    limits: Limits,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Output {
    /// One JSON object.
    Json,
    /// A line for each file.
    Table,
}

pub(super) async fn run(args: &VerifyArgs, access: &Access) -> Result<(), CliError> {
    let store = args.which.store()?;
    let pinned = pinned(args, &store)?;
    let dataset = match &args.src {
        Some(folder) => open::local(&store, folder, None)?,
        None => open::remote(&store, &access.azure()?)?,
    };
    let verify = Verify {
        of: &dataset,
        engine: &Engine::new(&args.limits),
        pinned: &pinned,
        quick: args.quick,
        contents: None,
    };
    let report = verify.run().await?;
    match args.output {
        Output::Json => crate::print(&report.to_json())?,
        Output::Table => table(&report),
    }
    let root = report.root.clone();
    report.finish(&store.name)?;
    let is_recorded = args.pin.is_recorded() && args.cleanroom_config.is_none();
    if is_recorded && args.src.is_none() {
        args.which.found(&store, Some(&root))?;
    }
    Ok(())
}

/// What the manifest must be. An unknown one is an error: an old dataset with its old manifest would pass.
fn pinned(args: &VerifyArgs, store: &DataStore) -> Result<Known, CliError> {
    let Some(path) = &args.cleanroom_config else {
        return args.pin.demanded(store);
    };
    let spec = read_specification(path)?;
    for point in spec
        .access_points()
        .filter(|point| point.store.id == store.name)
    {
        if let Some(hmac) = point.protection.configuration()?.manifest_hmac {
            return Ok(Known::only(hmac.parse()?));
        }
    }
    Err(CliError::Argument {
        argument: "--cleanroom-config",
        reason: format!("it pins no manifest of {:?}", store.name),
    })
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn table(report: &Report) {
    for line in &report.lines {
        let verdict = serde_json::to_value(line.verdict).unwrap_or_default();
        let verdict = verdict.as_str().unwrap_or_default();
        let reason = line.reason.as_deref().unwrap_or_default();
        println!("{verdict:<12} {:?} {reason}", line.path);
    }
    println!("manifestHmac {}", report.root);
}
