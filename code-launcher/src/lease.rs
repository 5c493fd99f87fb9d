//! Consent while the application runs.

use std::time::Duration;

use governance_client::{GovernanceClient, GovernanceError, Scope};
use nix::time::{ClockId, clock_gettime};

/// How consent ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The parties withdrew it.
    Withdrawn(GovernanceError),
    /// Nobody confirmed it for too long.
    Stale {
        /// The limit in seconds.
        seconds: u64,
    },
}

/// Asks every `interval` and returns when consent is withdrawn, or when the last confirmation is older than `max_staleness`
/// seconds. Time is the boot clock, which runs on while the machine sleeps and which nobody sets.
pub(crate) async fn watch(
    governance: &GovernanceClient,
    interval: Duration,
    max_staleness: u64,
) -> Ended {
    let mut confirmed = boot_seconds();
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        match governance.consent(Scope::Execution).await {
            Ok(_) => confirmed = boot_seconds(),
            Err(error @ GovernanceError::Disabled { .. }) => return Ended::Withdrawn(error),
            Err(error) => tracing::warn!(
                error = sidecar_http::chain(&error),
                "consent is not confirmed"
            ),
        }
        if boot_seconds().saturating_sub(confirmed) >= max_staleness {
            return Ended::Stale {
                seconds: max_staleness,
            };
        }
    }
}

fn boot_seconds() -> u64 {
    // A clock that cannot be read must not extend consent.
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .ok()
        .and_then(|time| u64::try_from(time.tv_sec()).ok())
        .unwrap_or(u64::MAX)
}
