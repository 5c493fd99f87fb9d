use std::path::PathBuf;

use super::{read_specification, write_specification};
use crate::CliError;

/// Fragments to merge.
#[derive(clap::Args, Debug)]
pub struct ViewArgs {
    /// Your fragment.
    #[arg(long)]
    cleanroom_config: PathBuf,
    /// The other parties' fragments.
    #[arg(long, num_args = 0..)]
    configs: Vec<PathBuf>,
    /// File for the merged specification.
    #[arg(long, alias = "out-file")]
    output_file: Option<PathBuf>,
    /// Only writes the file.
    #[arg(long)]
    no_print: bool,
}

#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn run(args: &ViewArgs) -> Result<(), CliError> {
    let mut fragments = vec![read_specification(&args.cleanroom_config)?];
    for path in &args.configs {
        fragments.push(read_specification(path)?);
    }
    let merged = cleanroom_spec::merge(&fragments)?;
    if let Some(path) = &args.output_file {
        write_specification(path, &merged)?;
    }
    if !args.no_print {
        println!("{}", merged.to_yaml()?);
    }
    Ok(())
}
