use std::collections::HashMap;
use std::sync::Arc;

use blob_format::manifest::{Entry, Manifest, ManifestHmac};
use blob_store::{BlobInfo, Condition};
use futures::StreamExt;

use super::clear::Clear;
use super::digest::ContentKey;
use super::download::{Wanted, wanted};
use super::engine::Engine;
use super::failure::Failures;
use super::journal::{Done, Journal};
use super::place::Listing;
use super::read::Stored;
use super::verify::Verify;
use super::write::Writer;
use super::{Coming, Dataset, Expect, Known, Moved, list};
use crate::CliError;

/// Writes every file of a dataset into an empty one, in that one's layout and under its key, and reads all of it back
/// before the manifest lists it.
pub(crate) struct Convert<'a> {
    pub(crate) from: &'a Arc<Dataset>,
    pub(crate) to: &'a Arc<Dataset>,
    /// Of its own memory: who waits for room to write must not hold what was read.
    pub(crate) reading: &'a Engine,
    pub(crate) writing: &'a Engine,
    pub(crate) journal: &'a Journal,
    /// What the manifest of the old dataset must be.
    pub(crate) pinned: &'a Known,
    /// What the manifest of the new one may be, if it has one.
    pub(crate) known: &'a Known,
    /// Is told of the new manifest before it is written.
    pub(crate) expect: &'a Expect<'a>,
}

impl Convert<'_> {
    pub(crate) async fn run(&self) -> Result<Moved, CliError> {
        let listed = list::pinned(self.from, self.pinned).await?;
        let listed = listed.map(|(manifest, _)| manifest);
        let mut failures = Failures::default();
        let files = wanted(self.from, listed.as_ref(), &mut failures).await?;
        let old = list::read(self.to).await?;
        let one = One {
            convert: self,
            there: self.to.place.list().await?,
            key: ContentKey::of(&self.to.dek)?,
        };
        let over = match &old {
            Some((old, _)) => Some(old.hmac(&self.to.dek)?),
            None => None,
        };
        self.must_be_ours(over, &one.there)?;
        self.writing.begin(
            "converting",
            files.iter().map(|file| file.info.length).sum(),
        );
        let (mut moved, mut entries) = (Moved::default(), Vec::new());
        let mut contents = HashMap::new();
        let outcome = futures::stream::iter(&files)
            .map(|file| async { (file.name.clone(), one.convert(file).await) })
            .buffer_unordered(self.writing.parallel())
            .boxed();
        let collected = failures
            .collect(outcome, |path, (entry, content, unchanged)| {
                moved.count(entry.length, unchanged);
                contents.insert(path, content);
                entries.push(entry);
                Ok(())
            })
            .await;
        self.writing.end();
        collected?;
        failures.finish(self.from)?;
        let manifest = Manifest::new(entries)?;
        let root = manifest.hmac(&self.to.dek)?;
        let verify = Verify {
            of: self.to,
            engine: self.reading,
            pinned: &Known::only(root),
            quick: false,
            contents: Some(&contents),
        };
        let report = verify.compare(&manifest, root).await?;
        report.finish(&self.to.name)?;
        if old.as_ref().is_none_or(|(old, _)| *old != manifest) {
            (self.expect)(&Coming { over, root })?;
            let version = old.as_ref().map(|(_, info)| &info.etag);
            list::write(self.to, &manifest, version).await?;
        }
        moved.root = Some(root.to_string());
        moved.pinned = Some(!self.pinned.is_any());
        Ok(moved)
    }

    /// Nothing is overwritten that is not of this conversion.
    fn must_be_ours(&self, found: Option<ManifestHmac>, there: &Listing) -> Result<(), CliError> {
        let refused = |reason: String| CliError::Dataset {
            dataset: self.to.name.clone(),
            reason,
        };
        if let Some(found) = found
            && !self.known.has(found)
        {
            return Err(refused(format!(
                "it has the manifest {found}, which was not written from here; convert into a new datastore"
            )));
        }
        let is_ours = |name: &str, info: &BlobInfo| {
            let done = self.journal.done(name);
            let version = format!("{} ", info.etag.as_str());
            self.journal.is_announced(name)
                || done.is_some_and(|done| done.etag.starts_with(&version))
        };
        match there.iter().find(|(name, info)| !is_ours(name, info)) {
            Some((name, _)) => Err(refused(format!(
                "it has {name:?}, which this conversion did not write; convert into a new datastore"
            ))),
            None => Ok(()),
        }
    }
}

struct One<'a> {
    convert: &'a Convert<'a>,
    there: Listing,
    key: ContentKey,
}

impl One<'_> {
    /// One file: its new entry, what names its clear content, and `true` if it was converted before.
    async fn convert(&self, file: &Wanted) -> Result<(Entry, [u8; 32], bool), CliError> {
        let Convert {
            from,
            to,
            reading,
            writing,
            journal,
            ..
        } = self.convert;
        let there = self.there.get(&file.name);
        // Both versions: the one that was read and the one that was written.
        let version = |etag: &str| format!("{etag} {}", file.version(&self.key));
        if let (Some(done), Some(info)) = (journal.done(&file.name), there)
            && done.etag == version(info.etag.as_str())
        {
            writing.advance(done.length);
            return Ok((done.entry(&self.key)?, done.content(), true));
        }
        let stored = Stored::open(from, &file.name, &file.info, file.entry.clone()).await?;
        let condition = match there {
            Some(info) => Condition::Match(info.etag.clone()),
            None => Condition::Absent,
        };
        let writer = Writer {
            to,
            engine: writing,
            key: &self.key,
            name: &file.name,
            condition: &condition,
            journal: None,
        };
        journal.announce(&file.name)?;
        let clear = Clear::stored(&stored, stored.chunks(reading, 0));
        let written = writer.write(clear).await?;
        let etag = version(written.etag.as_str());
        let done = Done::new(&self.key, &written.entry, written.content, &etag)?;
        journal.note(done)?;
        Ok((written.entry, written.content, false))
    }
}
