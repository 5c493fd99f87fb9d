use std::io::ErrorKind;

use blob_store::StoreError;
use futures::StreamExt;
use futures::stream::BoxStream;
use sidecar_http::{Coded, chain};

use super::Dataset;
use crate::CliError;

/// One file that did not make it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failed {
    /// Path in the dataset.
    pub path: String,
    /// Code of the reason.
    pub code: String,
    /// The reason.
    pub message: String,
}

impl Failed {
    pub(super) fn new(path: &str, error: &CliError) -> Self {
        Self {
            path: path.to_owned(),
            code: match error {
                CliError::Format(error) => error.code().to_owned(),
                other => other.code().to_owned(),
            },
            message: chain(error),
        }
    }
}

/// Whether an error says something of one file, so that the others can go on.
pub(super) fn is_of_one_file(error: &CliError) -> bool {
    match error {
        CliError::Format(_)
        | CliError::File { .. }
        | CliError::Dataset { .. }
        | CliError::Changing { .. } => true,
        CliError::Io { source, .. } => !matches!(
            source.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem
        ),
        CliError::Store(error) => matches!(
            error,
            StoreError::NotFound
                | StoreError::Exists
                | StoreError::Changed
                | StoreError::BlocksGone
                | StoreError::WrongKey
                | StoreError::Leased
                | StoreError::Config(_)
        ),
        _ => false,
    }
}

/// Files that failed, while the others go on.
#[derive(Debug, Default)]
pub(super) struct Failures(Vec<Failed>);

impl Failures {
    pub(super) fn add(&mut self, path: &str, error: &CliError) {
        self.0.push(Failed::new(path, error));
    }

    /// Drives files to their end; stops at the first error that is not of one file.
    pub(super) async fn collect<T>(
        &mut self,
        mut files: BoxStream<'_, (String, Result<T, CliError>)>,
        mut done: impl FnMut(String, T) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        while let Some((path, outcome)) = files.next().await {
            match outcome {
                Ok(value) => done(path, value)?,
                Err(error) if is_of_one_file(&error) => self.add(&path, &error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Nothing, or the error of a command whose files failed.
    pub(super) fn finish(mut self, dataset: &Dataset) -> Result<(), CliError> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.0.sort_by(|a, b| a.path.cmp(&b.path));
        Err(CliError::Files {
            dataset: dataset.name.clone(),
            failed: self.0,
        })
    }
}
