use crate::CliError;

/// Prints the JSON Schema of what this version writes.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) fn run() -> Result<(), CliError> {
    print!("{}", cleanroom_spec::schema()?);
    Ok(())
}
