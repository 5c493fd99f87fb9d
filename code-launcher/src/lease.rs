//! Consent while the application is prepared, and while it runs.

use std::time::Duration;

use cleanroom_crypto::random;
use governance_client::{Consent, GovernanceClient, GovernanceError, Scope};
use nix::time::{ClockId, clock_gettime};
use sidecar_http::CallError;

/// How consent ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The parties withdrew it.
    Withdrawn(GovernanceError),
    /// Nobody confirmed it for too long.
    Stale {
        /// The limit.
        limit: Duration,
    },
    /// The governance sidecar ended: nobody can confirm it any more.
    Unconfirmable(GovernanceError),
}

impl From<Ended> for GovernanceError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Withdrawn(error) | Ended::Unconfirmable(error) => error,
            Ended::Stale { limit } => Self::Call(CallError::Deadline {
                service: "governance".to_owned(),
                seconds: limit.as_secs(),
            }),
        }
    }
}

/// Asks every `interval` and returns when consent is withdrawn, when the last confirmation is older than `limit`, or
/// when there is nobody left to ask. A confirmation is as old as its question. Time is the boot clock, which runs on
/// while the machine sleeps and which nobody sets.
pub(crate) async fn watch(
    governance: &GovernanceClient,
    interval: Duration,
    limit: Duration,
) -> Ended {
    hold(
        async || governance.consent(Scope::Execution).await,
        interval,
        limit,
    )
    .await
}

async fn hold(
    ask: impl AsyncFn() -> Result<Consent, GovernanceError>,
    interval: Duration,
    limit: Duration,
) -> Ended {
    let mut confirmed = now();
    loop {
        let left = limit.saturating_sub(age(confirmed));
        if left.is_zero() {
            return Ended::Stale { limit };
        }
        tokio::time::sleep(jittered(interval).min(left)).await;
        let asked = now();
        let left = limit.saturating_sub(age(confirmed));
        match tokio::time::timeout(left, ask()).await {
            Ok(Ok(_)) => confirmed = asked,
            Ok(Err(error @ GovernanceError::Disabled { .. })) => return Ended::Withdrawn(error),
            Ok(Err(error)) if error.is_final() => return Ended::Unconfirmable(error),
            Ok(Err(error)) => tracing::warn!(
                error = sidecar_http::chain(&error),
                "consent is not confirmed"
            ),
            Err(_) => tracing::warn!("consent is not confirmed: no answer"),
        }
    }
}

/// Three quarters to all of the interval, so that rooms started together do not ask together.
fn jittered(interval: Duration) -> Duration {
    let [byte] = random::bytes::<1>().unwrap_or([0]);
    interval.mul_f64(1.0 - f64::from(byte) / 1024.0)
}

fn now() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .ok()
        .map(Duration::from)
}

/// A clock that cannot be read must not extend consent: everything is infinitely old then.
fn age(since: Option<Duration>) -> Duration {
    match (now(), since) {
        (Some(now), Some(since)) => now.saturating_sub(since),
        _ => Duration::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence() -> GovernanceError {
        GovernanceError::Answer { what: "nothing" }
    }

    #[tokio::test]
    async fn a_withdrawal_ends_the_lease_at_the_next_question() {
        let limit = Duration::from_secs(60);
        let ask = async || {
            Err(GovernanceError::Disabled {
                scope: Scope::Execution,
                reason: "ContractDisabled".to_owned(),
                message: "fabrikam".to_owned(),
            })
        };
        let ended = hold(ask, Duration::from_millis(5), limit).await;
        assert!(matches!(ended, Ended::Withdrawn(_)));
    }

    #[tokio::test]
    async fn errors_and_questions_without_answer_end_the_lease_at_its_limit_and_not_before() {
        let limit = Duration::from_millis(120);
        let began = now();
        let ended = hold(async || Err(silence()), Duration::from_millis(5), limit).await;
        assert!(matches!(ended, Ended::Stale { .. }));
        assert!(age(began) >= limit);
        let hung = hold(std::future::pending, Duration::from_millis(5), limit);
        assert!(matches!(hung.await, Ended::Stale { .. }));
    }

    #[tokio::test]
    async fn a_sidecar_that_ended_ends_the_lease_before_its_limit() {
        let service = || "governance".to_owned();
        let ask = async || Err(CallError::Gone { service: service() }.into());
        let hour = Duration::from_secs(3600);
        let ended = hold(ask, Duration::from_millis(5), hour).await;
        assert!(matches!(ended, Ended::Unconfirmable(_)));
    }

    #[test]
    fn the_jitter_only_shortens() {
        let interval = Duration::from_secs(3);
        for _ in 0..100 {
            let pause = jittered(interval);
            assert!(pause <= interval && pause >= interval.mul_f64(0.7));
        }
    }
}
