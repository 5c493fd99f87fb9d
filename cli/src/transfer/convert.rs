use std::collections::HashMap;
use std::sync::Arc;

use blob_format::manifest::{Entry, Manifest};
use blob_store::Condition;
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
use super::{Dataset, Known, Moved, list};
use crate::CliError;

/// Writes every file of a dataset into another one, in that one's layout and under its key, and reads all of it back.
pub(crate) struct Convert<'a> {
    pub(crate) from: &'a Arc<Dataset>,
    pub(crate) to: &'a Arc<Dataset>,
    /// Of its own memory: who waits for room to write must not hold what was read.
    pub(crate) reading: &'a Engine,
    pub(crate) writing: &'a Engine,
    pub(crate) journal: &'a Journal,
    /// What the manifest of the old dataset must be.
    pub(crate) pinned: &'a Known,
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
        if old.as_ref().is_none_or(|(old, _)| *old != manifest) {
            let over = old.as_ref().map(|(_, info)| &info.etag);
            list::write(self.to, &manifest, over).await?;
        }
        let root = manifest.hmac(&self.to.dek)?;
        let verify = Verify {
            of: self.to,
            engine: self.reading,
            pinned: &Known::only(root),
            quick: false,
            contents: Some(&contents),
        };
        verify.run().await?.finish(&self.to.name)?;
        moved.root = Some(root.to_string());
        moved.pinned = Some(!self.pinned.is_any());
        Ok(moved)
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
        let version = |etag: &str| format!("{etag} {}", file.version());
        if let (Some(done), Some(info)) = (journal.done(&file.name), there)
            && done.etag == version(info.etag.as_str())
        {
            writing.advance(done.length);
            return Ok((done.entry(), done.content(), true));
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
        let clear = Clear::stored(&stored, stored.chunks(reading, 0));
        let written = writer.write(clear).await?;
        let etag = version(written.etag.as_str());
        journal.note(Done::new(&written.entry, written.content, &etag))?;
        Ok((written.entry, written.content, false))
    }
}
