//! Starts the customer's container under consent, and ends the room in order.

use std::process::ExitCode;

use clap::Parser;
use code_launcher::{roles, runner};
use sidecar_http::services;
use sidecar_kit::{CommonArgs, Privileges, run_process};

#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    args: code_launcher::Args,
}

fn main() -> ExitCode {
    if let Some(code) = roles::play() {
        return code;
    }
    let cli = Cli::parse();
    if cli.common.probe {
        // Nobody answers to root; a probe starts as the container's user, which is root here.
        if nix::unistd::geteuid().is_root()
            && let Err(error) = runner::become_user(services::CODE_LAUNCHER.uid)
        {
            return code_launcher::refuse(&error);
        }
        return launch(cli, None);
    }
    // Two processes from here on: root keeps only the runner, and the launcher proper is its own user before it reads
    // an outside byte.
    match runner::split(&cli.args, services::CODE_LAUNCHER.uid) {
        Ok(runner::Side::Launcher(link)) => launch(cli, Some(link)),
        Ok(runner::Side::Runner(code)) => code,
        Err(error) => code_launcher::refuse(&error),
    }
}

fn launch(cli: Cli, link: Option<runner::Link>) -> ExitCode {
    run_process(
        services::CODE_LAUNCHER,
        cli.common,
        Privileges::none(),
        |process| code_launcher::run(cli.args, link, process),
    )
}
