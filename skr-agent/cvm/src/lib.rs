//! `cvm-attestation-agent`: evidence of an Azure confidential virtual machine, for whoever has to be convinced by it.
//!
//! The SNP report binds the TPM's attestation key and what the caller wants bound; a quote of that key binds the caller's
//! nonce and the PCRs. The agent collects both with the certificates beside them, and hands out nothing that does not hold
//! together ([`cvm_evidence::self_check`]).
//!
//! libtss2 and the TPM stay outside this process: each collection is a process of its own ([`Tpm`]), which can be ended when
//! the TPM does not answer.

mod agent;
mod error;
mod failure;
mod metadata;
mod readiness;
mod request;
mod routes;
mod tpm;

use std::num::NonZeroU64;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use sidecar_http::HttpsClient;
use sidecar_kit::Process;

pub use agent::Agent;
pub use error::CvmError;
pub use metadata::Metadata;
pub use request::Asked;
pub use routes::routes;
pub use tpm::{Part, Tpm, TpmFailure, tpm_worker};

/// What the agent accepts beside the common arguments.
#[derive(ClapArgs, Clone, Debug)]
pub struct Args {
    /// Another metadata service than the one at 169.254.169.254; it is asked over plain HTTP.
    #[arg(long, value_name = "HOST[:PORT]", value_parser = metadata::service)]
    pub metadata_service: Option<String>,
    /// Seconds that the TPM may take for one attestation, and that a request waits for its turn.
    #[arg(long, value_name = "SECONDS", default_value = "20")]
    pub tpm_deadline: NonZeroU64,
}

/// Serves until the process stops. `/ready` opens once the TPM gives evidence that holds together, and there are
/// certificates for the processor.
///
/// # Errors
/// An argument is unusable, or the socket cannot be bound.
pub async fn run(args: Args, process: Process) -> anyhow::Result<ExitCode> {
    let https = HttpsClient::new(&process.common().trust()?)?;
    let metadata = Metadata::new(args.metadata_service.as_deref(), https)?;
    let tpm = Tpm::new(Duration::from_secs(args.tpm_deadline.get()));
    let agent = Arc::new(Agent::new(tpm, metadata));
    let latches = readiness::Latches::new(&process);
    let (checked, stopping) = (Arc::clone(&agent), process.stopping());
    process.spawn(async move {
        tokio::select! {
            () = readiness::watch(checked, latches) => {}
            () = stopping.cancelled() => {}
        }
    });
    process.serve(routes(agent)).await?;
    Ok(ExitCode::SUCCESS)
}
