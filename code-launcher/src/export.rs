//! Logs and telemetry into the sinks of the parties that own them.

use std::io;
use std::path::Path;

use governance_client::{GovernanceClient, GovernanceError, Scope};

/// Copies the files below `from` into a sink, if the parties agreed to this export.
///
/// # Errors
/// Consent could not be asked, or a file could not be written durably.
pub(crate) async fn export(
    governance: &GovernanceClient,
    scope: Scope,
    from: &Path,
    sink: &Path,
) -> Result<Exported, ExportError> {
    match governance.consent(scope).await {
        Ok(_) => {}
        Err(error @ GovernanceError::Disabled { .. }) => return Ok(Exported::Refused(error)),
        Err(error) => return Err(ExportError::Consent(error)),
    }
    let (from, sink) = (from.to_owned(), sink.to_owned());
    let copied = tokio::task::spawn_blocking(move || copy(&from, &sink)).await;
    match copied {
        Ok(Ok(files)) => Ok(Exported::Files(files)),
        Ok(Err(error)) => Err(ExportError::Write(error)),
        Err(error) => Err(ExportError::Write(io::Error::other(error))),
    }
}

/// What an export did.
#[derive(Debug)]
pub(crate) enum Exported {
    Files(usize),
    Refused(GovernanceError),
}

/// Why an export is not complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error("consent to the export is unknown")]
    Consent(#[source] GovernanceError),
    #[error("a file cannot be written to the sink")]
    Write(#[source] io::Error),
}

fn copy(from: &Path, sink: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        // Only our own flat files; a link could name anything.
        if !entry.file_type()?.is_file() {
            continue;
        }
        let mut source = std::fs::File::open(entry.path())?;
        let mut target = std::fs::File::create(sink.join(entry.file_name()))?;
        io::copy(&mut source, &mut target)?;
        target.sync_all()?;
        count += 1;
    }
    Ok(count)
}
