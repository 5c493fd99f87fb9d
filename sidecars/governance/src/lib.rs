//! The governance sidecar: the clean room's voice towards the Clean Room Governance Service (CGS).
//!
//! CGS knows a clean room by its attestation alone: every request carries the SNP report, which binds the public key
//! made at start. Three things are asked: does everybody still consent ([`Governance::consent`]), record this event
//! ([`Governance::put_event`], back after commit), give me an ID token ([`Governance::token`]). The wire is that of
//! the governance sidecar of azure-cleanroom 4.0.0 and later.

mod cgs;
mod chain;
mod config;
mod envelope;
mod error;
mod evidence;
mod journal;
mod key;
mod routes;
mod service;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use sidecar_http::services::SKR_AGENT;
use sidecar_http::{Coded, chain as error_chain};
use sidecar_kit::{EXIT_CONFIG, Process};

pub use cgs::{Answer, Cgs};
pub use chain::{Chain, canonical_json};
pub use config::{Args, Config};
pub use envelope::{Attestation, Room};
pub use error::GovError;
pub use key::RoomKey;
pub use routes::routes;
pub use service::Governance;

/// How long the attestation service of the group may take to answer at start.
const EVIDENCE: Duration = Duration::from_secs(90);

/// Runs the sidecar until it is asked to stop: serves at once, becomes ready when the evidence has arrived.
///
/// # Errors
/// The socket cannot be served, or the evidence could not be had within 90 s: `/ready` says so until the process
/// is asked to stop.
pub async fn run(args: Args, process: Process) -> anyhow::Result<ExitCode> {
    let started = Config::of(&args).and_then(|config| Cgs::new(&config));
    let cgs = match started {
        Ok(cgs) => cgs,
        Err(error) => {
            tracing::error!(
                code = error.code(),
                error = error_chain(&error),
                "unusable configuration"
            );
            return Ok(ExitCode::from(EXIT_CONFIG));
        }
    };
    let latch = process.latch("evidence");
    let governance = Arc::new(Governance::new(cgs)?);
    let serving = process.serve(routes(Arc::clone(&governance)));
    let evidence = async {
        let agent = process.client(&SKR_AGENT);
        agent.wait_ready(EVIDENCE).await?;
        evidence::obtain(&agent).await
    };
    let stopping = process.stopping();
    let attesting = async {
        let obtained = tokio::select! {
            obtained = evidence => obtained,
            () = stopping.cancelled() => return Ok(None),
        };
        match obtained {
            Ok(room) => {
                governance.admit(room);
                latch.open();
                Ok(None)
            }
            Err(error) => {
                latch.fail(error.code(), &error_chain(&error));
                // Whoever waits for this sidecar hears why, as long as the room lasts.
                stopping.cancelled().await;
                anyhow::Ok(Some(error))
            }
        }
    };
    let ((), failed) = tokio::try_join!(serving, attesting)?;
    match failed {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => Err(error.into()),
    }
}
