//! `skr-agent`: the only process of a group that talks to the SNP device, and the one that has keys released.
//!
//! Evidence goes out, keys come in: a key is wrapped by the vault for a transfer key that was made for this one release
//! and bound into the report, so nothing between the vault and this process can read it.

mod agent;
mod error;
mod routes;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use attestation::Attester;
use clap::Args as ClapArgs;
use sidecar_http::{Coded, HttpsClient, chain};
use sidecar_kit::Process;

pub use agent::Agent;
pub use error::SkrError;
pub use routes::routes;

/// What skr-agent accepts beside the common arguments.
#[derive(ClapArgs, Clone, Debug, Default)]
pub struct Args {
    /// Security context directory; without it, the only /security-context-* directory.
    #[arg(long, env = "UVM_SECURITY_CONTEXT_DIR", value_name = "DIRECTORY")]
    pub security_context_dir: Option<PathBuf>,
}

/// Serves until the process stops. `/ready` opens once the attester has given a report that fits the security context.
///
/// # Errors
/// The trusted roots are unusable, or the socket cannot be bound.
pub async fn run<A: Attester>(
    args: Args,
    attester: A,
    process: Process,
) -> anyhow::Result<ExitCode> {
    let trust = process.common().trust()?;
    let agent = Arc::new(Agent::new(
        attester,
        args.security_context_dir,
        HttpsClient::new(&trust)?,
        trust,
        process.stopping(),
    ));
    let latch = process.latch("evidence");
    let checked = Arc::clone(&agent);
    let stopping = process.stopping();
    process.spawn(async move {
        let outcome = tokio::select! {
            outcome = checked.self_check() => outcome,
            () = stopping.cancelled() => return,
        };
        match outcome {
            Ok(()) => latch.open(),
            // The latch stays closed; every request tells its caller the same reason.
            Err(error) => {
                tracing::error!(
                    code = error.code(),
                    error = chain(&error),
                    "no usable evidence"
                );
            }
        }
    });
    process.serve(routes(agent)).await?;
    Ok(ExitCode::SUCCESS)
}
