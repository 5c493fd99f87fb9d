//! skr-agent with the virtual attester, for machines without SEV-SNP.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use nix::unistd::geteuid;
use sidecar_http::services;
use sidecar_kit::{CommonArgs, EXIT_FAILED, Privileges, become_user, refuse, run_process};
use virtual_attester::VirtualAttester;

/// skr-agent without hardware: its reports convince nobody but the emulators.
#[derive(Debug, Parser)]
#[command(name = "skr-agent-virtual", version)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    args: skr_agent::Args,
}

impl Cli {
    fn check(self) -> Result<Self, clap::Error> {
        if self.common.insecure_virtual {
            return Ok(self);
        }
        Err(<Self as clap::CommandFactory>::command().error(
            ErrorKind::MissingRequiredArgument,
            "this binary fabricates evidence: it runs only with --insecure-virtual",
        ))
    }
}

fn main() -> ExitCode {
    // As the real one, which starts as root for its device.
    if geteuid().is_root()
        && let Err(error) = become_user(services::SKR_AGENT.uid)
    {
        return refuse(EXIT_FAILED, &error);
    }
    let given = skr_agent::command_line(|cli: &mut Cli| (&mut cli.common, &mut cli.args));
    let checked = given.and_then(|cli| {
        cli.check().map_err(|error| {
            // Nothing is left to be done if the reason cannot be shown.
            let _ = error.print();
            ExitCode::from(sidecar_kit::EXIT_CONFIG)
        })
    });
    let cli = match checked {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let attester = VirtualAttester::new(cli.args.security_context_dir.clone());
    run_process(
        services::SKR_AGENT,
        cli.common,
        Privileges::none(),
        |process| async move {
            tracing::warn!("virtual attester: there is no confidentiality here");
            skr_agent::run(cli.args, attester, virtual_attester::verifier()?, process).await
        },
    )
}
