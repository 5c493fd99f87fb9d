//! Files that storage does not have as they should be: the shim that refuses one says so, the parties read it in the ledger.

use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use sidecar_http::services::Service;
use sidecar_http::{CallError, Coded, chain};
use tokio_util::sync::CancellationToken;

use super::Room;

/// For a shim to hand over what it has found already.
const REST: Duration = Duration::from_secs(5);
/// A question that a shim holds, and its way.
const HELD: Duration = Duration::from_secs(30);

/// The datasets of the application with how many of their findings are told.
pub(super) struct Watched<'a>(Vec<(&'a Service, usize)>);

#[derive(Serialize)]
struct Question {
    seen: usize,
    wait: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    findings: Vec<Finding>,
}

/// A file that a shim refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Finding {
    /// A keyed digest of its path; none stands for further files.
    file: Option<String>,
    code: String,
}

impl<'a> Watched<'a> {
    pub(super) fn new(shims: impl Iterator<Item = &'a Service>) -> Self {
        Self(shims.map(|shim| (shim, 0)).collect())
    }
}

impl Room<'_> {
    /// Tells what shims find until `work` is done.
    pub(super) async fn watch_while<T>(
        &self,
        watched: &mut Watched<'_>,
        work: impl Future<Output = T>,
    ) -> T {
        let done = CancellationToken::new();
        let watching = watched.0.iter_mut().map(|(shim, seen)| {
            let done = &done;
            async move {
                loop {
                    let found = tokio::select! {
                        found = self.ask(shim, *seen, true) => found,
                        () = done.cancelled() => return,
                    };
                    // An event is not cut off.
                    match found {
                        Ok(found) => self.tell(shim, seen, &found).await,
                        Err(error) => {
                            tracing::warn!(dataset = %shim.name, error = chain(&error), "not watched any more");
                            return;
                        }
                    }
                }
            }
        });
        let working = async {
            let outcome = work.await;
            done.cancel();
            outcome
        };
        futures::future::join(working, join_all(watching)).await.0
    }

    /// Tells what was found and not told yet; that nobody could be asked is told, too.
    pub(super) async fn tell_rest(&self, watched: &mut Watched<'_>) {
        let telling = watched.0.iter_mut().map(|(shim, seen)| async move {
            match self.ask(shim, *seen, false).await {
                Ok(found) => self.tell(shim, seen, &found).await,
                Err(error) => {
                    let message = format!("{}: findings unknown: {}", shim.name, error.code());
                    self.note("dataset", &message).await;
                }
            }
        });
        join_all(telling).await;
    }

    async fn ask(
        &self,
        shim: &Service,
        seen: usize,
        wait: bool,
    ) -> Result<Vec<Finding>, CallError> {
        let client = self.process.client(shim);
        let client = client.with_deadline(if wait { HELD } else { REST });
        let answer: Answer = client
            .post_json("/findings", &Question { seen, wait })
            .await?;
        Ok(answer.findings)
    }

    async fn tell(&self, shim: &Service, seen: &mut usize, found: &[Finding]) {
        if found.is_empty() {
            return;
        }
        let files = found.iter().map(|finding| {
            let file = finding.file.as_deref().unwrap_or("further files");
            format!("{} {file}", finding.code)
        });
        let files = files.collect::<Vec<_>>().join(", ");
        let message = format!("{}: files refused: {files}", shim.name);
        tracing::error!(dataset = %shim.name, files, "files were refused");
        self.note("dataset", &message).await;
        *seen += found.len();
    }
}
