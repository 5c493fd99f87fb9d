use std::collections::BTreeSet;
use std::sync::Arc;

use blob_format::manifest::{Entry, Manifest, ManifestHmac};
use blob_store::{BlobInfo, Condition};
use futures::StreamExt;

use super::clear::Clear;
use super::digest::ContentKey;
use super::engine::Engine;
use super::failure::Failures;
use super::journal::{Done, Journal};
use super::place::{Listing, blocking};
use super::tree::{ClearFile, Found, Tree};
use super::write::Writer;
use super::{Coming, Dataset, Expect, Known, Moved, PART, list};
use crate::CliError;

/// Seals every file of a folder into a dataset, and then the manifest that lists them.
pub(crate) struct Upload<'a> {
    pub(crate) to: &'a Dataset,
    pub(crate) engine: &'a Engine,
    pub(crate) journal: &'a Arc<Journal>,
    /// What this owner wrote, or vouches for.
    pub(crate) known: &'a Known,
    /// Is told of the manifest before it is written.
    pub(crate) expect: &'a Expect<'a>,
    /// Whether the dataset becomes exactly the folder: everything else in it is removed.
    pub(crate) mirror: bool,
}

/// What the place holds before anything is sent.
struct Before {
    there: Listing,
    manifest: Option<(Manifest, BlobInfo)>,
    /// Keyed root of the manifest, if it is known.
    known: Option<ManifestHmac>,
    /// Listed files that are not in the folder and stay.
    stay: Vec<Entry>,
}

impl Upload<'_> {
    /// Files that fail do not stop the others, but then the manifest stays as it was.
    pub(crate) async fn run(&self, source: &std::path::Path) -> Result<Moved, CliError> {
        let path = source.to_owned();
        let opened = blocking(move || {
            let tree = Tree::open(&path)?;
            let files = tree.files()?;
            Ok((tree, files))
        });
        let (tree, files) = opened.await?;
        self.to.place.tidy().await?;
        let names: BTreeSet<&str> = files.iter().map(|found| found.name.as_str()).collect();
        let before = self.before(&names).await?;
        let sending = Sending {
            upload: self,
            tree: &tree,
            before: &before,
            key: ContentKey::of(&self.to.dek)?,
        };
        self.engine
            .begin("uploading", files.iter().map(|found| found.length).sum());
        let mut moved = Moved::default();
        let mut entries = before.stay.clone();
        let mut failures = Failures::default();
        let outcome = futures::stream::iter(&files)
            .map(|found| async { (found.name.clone(), sending.one(found).await) })
            .buffer_unordered(self.engine.parallel())
            .boxed();
        let collected = failures
            .collect(outcome, |_, (entry, unchanged)| {
                moved.count(entry.length, unchanged);
                entries.push(entry);
                Ok(())
            })
            .await;
        self.engine.end();
        collected?;
        failures.finish(self.to)?;
        let manifest = Manifest::new(entries)?;
        let root = manifest.hmac(&self.to.dek)?;
        self.announce(&manifest, root, &before).await?;
        if self.mirror {
            self.remove_others(&before, &names).await?;
        }
        moved.root = Some(root.to_string());
        Ok(moved)
    }

    async fn before(&self, names: &BTreeSet<&str>) -> Result<Before, CliError> {
        let there = self.to.place.list().await?;
        let manifest = match list::read(self.to).await {
            // Whatever it was, it does not matter: nothing of it stays.
            Err(CliError::Format(_)) if self.mirror => {
                let head = self.to.place.head(blob_format::manifest::PATH).await?;
                head.map(|info| (Manifest::default(), info))
            }
            other => other?,
        };
        let found = match &manifest {
            Some((manifest, _)) => Some(manifest.hmac(&self.to.dek)?),
            None => None,
        };
        let known = found.filter(|found| self.known.has(*found));
        let mut stay = Vec::new();
        if !self.mirror {
            let listed = manifest.iter().flat_map(|(list, _)| list.entries());
            stay.extend(
                listed
                    .filter(|entry| !names.contains(entry.path.as_str()))
                    .cloned(),
            );
            self.must_be_ours(found, !stay.is_empty())?;
        }
        if let Some(gone) = stay.iter().find(|entry| !there.contains_key(&entry.path)) {
            let reason = format!(
                "{:?} is in the manifest and not in storage; verify the dataset, or make it exactly the folder with --mirror",
                gone.path
            );
            return Err(self.refused(&reason));
        }
        Ok(Before {
            there,
            manifest,
            known,
            stay,
        })
    }

    /// What storage hides or shows instead would be forgotten with a new manifest.
    fn must_be_ours(
        &self,
        found: Option<ManifestHmac>,
        something_stays: bool,
    ) -> Result<(), CliError> {
        match found {
            None if self.known.written.is_some() => Err(self.refused(
                "storage shows no manifest, and one was written; if its files may go, --mirror makes the dataset \
                 exactly the folder and removes everything else",
            )),
            Some(found)
                if !self.known.has(found) && (something_stays || self.known.written.is_some()) =>
            {
                Err(self.refused(
                    "the manifest in storage is not the one that was written from here last; vouch for it with \
                     --manifest-hmac; if its files may go, --mirror makes the dataset exactly the folder and removes \
                     everything else",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Writes the manifest, unless it says the same already.
    async fn announce(
        &self,
        manifest: &Manifest,
        root: ManifestHmac,
        before: &Before,
    ) -> Result<(), CliError> {
        let there = before.manifest.as_ref();
        if there.is_some_and(|(old, _)| old == manifest && !manifest.entries().is_empty()) {
            return Ok(());
        }
        (self.expect)(&Coming {
            over: before.known,
            root,
        })?;
        list::write(self.to, manifest, there.map(|(_, info)| &info.etag)).await
    }

    async fn remove_others(&self, before: &Before, names: &BTreeSet<&str>) -> Result<(), CliError> {
        let others = before
            .there
            .iter()
            .filter(|(name, _)| !names.contains(name.as_str()));
        for (name, info) in others {
            self.to.place.delete(name, &info.etag).await?;
        }
        Ok(())
    }

    fn refused(&self, reason: &str) -> CliError {
        CliError::Dataset {
            dataset: self.to.name.clone(),
            reason: reason.to_owned(),
        }
    }
}

struct Sending<'a> {
    upload: &'a Upload<'a>,
    tree: &'a Tree,
    before: &'a Before,
    key: ContentKey,
}

impl Sending<'_> {
    /// One file; `true` if it was there already.
    async fn one(&self, found: &Found) -> Result<(Entry, bool), CliError> {
        let Upload {
            to,
            engine,
            journal,
            ..
        } = self.upload;
        let name = &found.name;
        let file = Arc::new(self.tree.clear(name)?);
        let there = self.before.there.get(name);
        if let Some(done) = self.is_done(&file, there, name).await? {
            engine.advance(file.len());
            return Ok((done, true));
        }
        let condition = match there {
            Some(info) => Condition::Match(info.etag.clone()),
            None => Condition::Absent,
        };
        let writer = Writer {
            to,
            engine,
            key: &self.key,
            name,
            condition: &condition,
            journal: Some(journal),
        };
        let written = writer.write(Clear::File(file)).await?;
        let etag = written.etag.as_str();
        let done = Done::new(&self.key, &written.entry, written.content, etag)?;
        journal.note(done)?;
        Ok((written.entry, false))
    }

    /// What the journal says of a file, if storage holds that version and the folder that content.
    async fn is_done(
        &self,
        file: &Arc<ClearFile>,
        there: Option<&BlobInfo>,
        name: &str,
    ) -> Result<Option<Entry>, CliError> {
        let Some(done) = self.upload.journal.done(name) else {
            return Ok(None);
        };
        let same = |info: &BlobInfo| info.etag.as_str() == done.etag;
        if !there.is_some_and(same) || done.length != file.len() {
            return Ok(None);
        }
        let mut content = self.key.content(file.len());
        let mut at = 0;
        while at < file.len() {
            let bytes = PART.min(file.len() - at);
            let part = self.upload.engine.part(bytes).await?;
            let file = Arc::clone(file);
            content = blocking(move || {
                let mut clear = vec![0; usize::try_from(bytes).unwrap_or_default()];
                file.read(at, &mut clear)?;
                content.update(&clear);
                drop(part);
                Ok(content)
            })
            .await?;
            at += bytes;
        }
        file.check_unchanged()?;
        if content.finish() != done.content() {
            return Ok(None);
        }
        done.entry(&self.key).map(Some)
    }
}
