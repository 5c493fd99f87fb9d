//! The published test vectors are what their own program makes of the published layouts.

use std::path::Path;
use std::process::Command;

use judges::{python, run};

#[test]
fn vectors_of_the_file_formats_are_what_their_program_writes() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../vectors/blob-format")
        .join("generate.py");
    let mut command = Command::new(python("azure"));
    command.args(["-B", "-s"]).arg(program).arg("--check");
    assert_eq!(run(&mut command).stdout, b"done\n");
}
