//! An encrypting FUSE mount: clear text inside, cipher text in storage.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "blobfuse-shim", version, about)]
struct Cli {
    #[command(flatten)]
    common: sidecar_kit::CommonArgs,
    #[command(flatten)]
    args: blobfuse_shim::Args,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    blobfuse_shim::start(cli.args, cli.common)
}
