//! The secrets sidecar: one dataset's data encryption key for the one shim that the policy grants it to.
//!
//! A shim names its wrapped key and the key that wraps it. If that is what its uid was granted, word for word, the sidecar
//! gets tokens from `identity`, has the wrapping key released through `skr-agent`, reads the wrapped key from the owner's
//! vault and opens it. Key encryption keys stay here for one request; data encryption keys go to their shim only.

mod error;
mod grants;
mod object;
mod routes;
mod unwrap;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use sidecar_http::HttpsClient;
use sidecar_http::services::{IDENTITY, SKR_AGENT, Service};
use sidecar_kit::Process;

pub use error::{SecretsError, SharedError};
pub use grants::{Grant, Grants, KekReference, UnwrapRequest};
pub use routes::routes;
pub use unwrap::Unwrapper;

/// How long the other sidecars of the group may take to become ready.
const START: Duration = Duration::from_secs(600);

/// What the secrets sidecar accepts beside the common arguments. All of it is measured.
#[derive(ClapArgs, Clone, Debug)]
pub struct Args {
    /// Base64 of JSON: which uid may have which data encryption key unwrapped.
    #[arg(long, value_name = "BASE64")]
    pub grants: String,
}

/// Serves until the process stops. `/ready` opens once `identity` and `skr-agent` are ready.
///
/// # Errors
/// The arguments are not usable, or the socket cannot be bound.
pub async fn run(args: Args, process: Process) -> anyhow::Result<ExitCode> {
    let grants = Grants::from_base64(&args.grants)?;
    let https = HttpsClient::new(&process.common().trust()?)?;
    let unwrapper = Unwrapper::new(
        grants,
        process.client(&IDENTITY),
        process.client(&SKR_AGENT),
        https,
    );
    watch(&process, &IDENTITY, "identity");
    watch(&process, &SKR_AGENT, "skr-agent");
    process.serve(routes(Arc::new(unwrapper))).await?;
    Ok(ExitCode::SUCCESS)
}

fn watch(process: &Process, service: &Service, name: &'static str) {
    let latch = process.latch(name);
    let client = process.client(service);
    let stopping = process.stopping();
    process.spawn(async move {
        tokio::select! {
            ready = client.wait_ready(START) => latch.settle(ready),
            () = stopping.cancelled() => {}
        }
    });
}

#[cfg(test)]
mod tests;
