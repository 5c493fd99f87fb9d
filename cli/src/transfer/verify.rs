use std::collections::HashMap;
use std::sync::Arc;

use blob_format::FormatError;
use blob_format::manifest::{Entry, Manifest, ManifestHmac};
use blob_store::{BlobInfo, StoreError};
use futures::StreamExt;
use serde::Serialize;
use serde_json::{Value, json};

use super::digest::ContentKey;
use super::engine::Engine;
use super::failure::is_of_one_file;
use super::read::Stored;
use super::{Dataset, Failed, Known, list};
use crate::CliError;

/// Compares a dataset with its manifest, file by file.
pub(crate) struct Verify<'a> {
    pub(crate) of: &'a Arc<Dataset>,
    pub(crate) engine: &'a Engine,
    /// What the manifest must be; without one, an old manifest with its old files passes.
    pub(crate) pinned: &'a Known,
    /// Only what the end of each file tells, without its content.
    pub(crate) quick: bool,
    /// What names the clear content of each file, if that is known.
    pub(crate) contents: Option<&'a HashMap<String, [u8; 32]>>,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// The listed version, whole.
    Ok,
    /// Listed, and not in storage.
    Missing,
    /// Another file, or another version of it.
    Replaced,
    /// Shorter than its version is.
    Truncated,
    /// An older or newer commit of the same file.
    RolledBack,
    /// The listed version, and its content or frame was changed.
    Damaged,
    /// In storage, and not listed.
    Unknown,
}

/// One line of a report.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Line {
    pub(crate) path: String,
    pub(crate) verdict: Verdict,
    /// Code and text of what was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// Every file of the manifest and of storage, sorted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Report {
    pub(crate) lines: Vec<Line>,
    pub(crate) root: String,
    pub(crate) is_pinned: bool,
}

impl Report {
    pub(crate) fn to_json(&self) -> Value {
        let bad = self.lines.iter().filter(|line| line.verdict != Verdict::Ok);
        json!({
            "files": self.lines,
            "total": self.lines.len(),
            "bad": bad.count(),
            "manifestHmac": self.root,
            "pinned": self.is_pinned,
        })
    }

    /// The report as an error, if it is not good.
    pub(crate) fn finish(self, dataset: &str) -> Result<(), CliError> {
        let bad = self
            .lines
            .into_iter()
            .filter(|line| line.verdict != Verdict::Ok);
        let failed: Vec<Failed> = bad
            .map(|line| Failed {
                path: line.path,
                code: "CR-CLI-0018".to_owned(),
                message: line.reason.unwrap_or_default(),
            })
            .collect();
        if failed.is_empty() {
            return Ok(());
        }
        Err(CliError::Unverified {
            dataset: dataset.to_owned(),
            failed,
        })
    }
}

impl Verify<'_> {
    pub(crate) async fn run(&self) -> Result<Report, CliError> {
        let Some((manifest, root)) = list::pinned(self.of, self.pinned).await? else {
            return Err(CliError::Dataset {
                dataset: self.of.name.clone(),
                reason: "there is no manifest to compare with".to_owned(),
            });
        };
        self.compare(&manifest, root).await
    }

    /// With a manifest that need not be in storage.
    pub(super) async fn compare(
        &self,
        manifest: &Manifest,
        root: ManifestHmac,
    ) -> Result<Report, CliError> {
        let mut there = self.of.place.list().await?;
        let files: Vec<_> = manifest
            .entries()
            .iter()
            .map(|entry| (entry, there.remove(&entry.path)))
            .collect();
        self.engine.begin("verifying", manifest.bytes());
        let key = ContentKey::of(&self.of.dek)?;
        let mut lines = Vec::new();
        let mut checked = futures::stream::iter(&files)
            .map(|(entry, info)| self.line(entry, info.as_ref(), &key))
            .buffer_unordered(self.engine.parallel())
            .boxed();
        while let Some(line) = checked.next().await {
            lines.push(line?);
        }
        self.engine.end();
        lines.extend(there.into_keys().map(|path| Line {
            path,
            verdict: Verdict::Unknown,
            reason: Some("in storage, and not in the manifest".to_owned()),
        }));
        lines.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Report {
            lines,
            root: root.to_string(),
            is_pinned: !self.pinned.is_any(),
        })
    }

    async fn line(
        &self,
        entry: &Entry,
        info: Option<&BlobInfo>,
        key: &ContentKey,
    ) -> Result<Line, CliError> {
        let (verdict, reason) = match info {
            None => (
                Verdict::Missing,
                Some("in the manifest, and not in storage".to_owned()),
            ),
            Some(info) => match self.check(entry, info, key).await {
                Ok(()) => (Verdict::Ok, None),
                Err(error) if is_of_one_file(&error) => {
                    let failed = Failed::new(&entry.path, &error);
                    let reason = format!("{} {}", failed.code, failed.message);
                    (self.verdict(entry, info, &error), Some(reason))
                }
                Err(error) => return Err(error),
            },
        };
        Ok(Line {
            path: entry.path.clone(),
            verdict,
            reason,
        })
    }

    async fn check(
        &self,
        entry: &Entry,
        info: &BlobInfo,
        key: &ContentKey,
    ) -> Result<(), CliError> {
        let stored = Stored::open(self.of, &entry.path, info, Some(entry.clone())).await?;
        if self.quick {
            return Ok(());
        }
        let mut verdict = stored.verdict();
        let mut content = key.content(stored.len());
        let mut chunks = stored.chunks(self.engine, 0);
        while let Some(chunk) = chunks.next().await? {
            verdict.take(&chunk);
            if self.contents.is_some() {
                content.update(&chunk.clear);
            }
            self.engine.advance(chunk.clear.len() as u64);
        }
        verdict.finish()?;
        match self.contents.map(|known| known.get(&entry.path)) {
            Some(known) if known != Some(&content.finish()) => Err(FormatError::Replaced.into()),
            _ => Ok(()),
        }
    }

    fn verdict(&self, entry: &Entry, info: &BlobInfo, error: &CliError) -> Verdict {
        let whole = self.of.layout.blob_len(entry.length);
        let is_short = whole.is_some_and(|whole| info.length < whole);
        match error {
            CliError::Store(StoreError::NotFound) => Verdict::Missing,
            CliError::Store(_) => Verdict::Replaced,
            CliError::Format(FormatError::RolledBack { .. }) => Verdict::RolledBack,
            // A file whose layout proves its length is whole: it is another one.
            CliError::Format(FormatError::Replaced) if self.of.layout.proves_length() => {
                Verdict::Replaced
            }
            CliError::Format(_) if is_short => Verdict::Truncated,
            CliError::Format(
                FormatError::Foreign
                | FormatError::WrongKey
                | FormatError::Name
                | FormatError::NotEncrypted
                | FormatError::Unsealed
                | FormatError::Seal,
            ) => Verdict::Replaced,
            CliError::Format(FormatError::Replaced) => Verdict::Replaced,
            _ => Verdict::Damaged,
        }
    }
}
