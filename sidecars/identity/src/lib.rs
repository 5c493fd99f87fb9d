//! The identity sidecar: access tokens of Entra ID for the identities that the policy names, and for no others.
//!
//! The clean room holds no credential. The governance sidecar proves to CGS what runs here, CGS signs an ID token for the
//! contract, and Entra ID takes that for an access token. One flow serves everybody who asks for the same token, until
//! five minutes before it expires.

mod config;
mod entra;
mod error;
mod routes;
mod tokens;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use governance_client::GovernanceClient;
use sidecar_http::{HttpsClient, services};
use sidecar_kit::Process;
use url::Url;

pub use config::{Federation, Identities};
pub use entra::EntraClient;
pub use error::{IdentityError, SharedError};
pub use routes::routes;
pub use tokens::{AccessToken, Tokens};

/// What the identity sidecar accepts beside the common arguments. All of it is measured.
#[derive(ClapArgs, Clone, Debug)]
pub struct Args {
    /// Base64 of JSON: the identities that tokens are given for.
    #[arg(long, env = "IdentitySideCarArgs", value_name = "BASE64")]
    pub identities: String,
    /// The token authority.
    #[arg(
        long,
        default_value = "https://login.microsoftonline.com",
        value_name = "URL"
    )]
    pub authority: Url,
}

/// Time for the governance sidecar, which starts at the same moment and first gets its evidence.
const START: Duration = Duration::from_secs(120);

/// Serves until the process stops; ready when ID tokens can be had.
///
/// # Errors
/// The arguments are not usable, or the socket cannot be bound.
pub async fn run(args: Args, process: Process) -> anyhow::Result<ExitCode> {
    let identities = Identities::from_base64(&args.identities)?;
    let https = HttpsClient::new(&process.common().trust()?)?;
    let entra = EntraClient::new(https, args.authority)?;
    let governance = GovernanceClient::new(process.client(&services::GOVERNANCE));
    let tokens = Arc::new(Tokens::new(identities, governance, entra));
    let latch = process.latch("governance");
    let (client, stopping) = (process.client(&services::GOVERNANCE), process.stopping());
    process.spawn(async move {
        tokio::select! {
            ready = client.wait_ready(START) => latch.settle(ready),
            () = stopping.cancelled() => {}
        }
    });
    process.serve(routes(tokens)).await?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
