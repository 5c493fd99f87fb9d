//! How staged blocks go: with the commit that they were staged for, or a week later.

use std::time::{Duration, SystemTime};

use futures::{StreamExt as _, stream};

use super::blocks::staging_key;
use super::{AT_ONCE, S3Store, STAGING, info_of};
use crate::{BlockId, Condition, StoreError};

/// Staged blocks that are older belong to nobody any more.
const ABANDONED: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a commit waits for the removal of what was staged for it.
const TIDYING: Duration = Duration::from_secs(5);

impl S3Store {
    /// Removes the staged blocks of writers that ended without a commit a week ago or more; gives their number. For the
    /// start of a mount that writes; the bucket's lifecycle rule should do the same, and abort old multipart uploads.
    ///
    /// # Errors
    /// As any request; a listing that does not say when it is.
    pub async fn remove_abandoned(&self) -> Result<usize, StoreError> {
        let (mut from, mut removed) = (None, 0);
        loop {
            let page = self.page(STAGING, false, from.as_deref()).await?;
            // Both times are of one clock: the one here may be another week's.
            let oldest = page.date.and_then(|date| date.checked_sub(ABANDONED));
            let oldest = oldest.ok_or(StoreError::Answer {
                operation: "ListObjectsV2",
                reason: "no date",
            })?;
            for (key, info) in page.objects {
                let Some(name) = self.staged_name(&key) else {
                    continue;
                };
                let is_dated = info.modified > SystemTime::UNIX_EPOCH;
                if is_dated && info.modified < oldest {
                    self.remove(name, &Condition::Always).await?;
                    removed += 1;
                }
            }
            from = page.next;
            if from.is_none() {
                return Ok(removed);
            }
        }
    }

    /// The name of a staged block: whatever else a listing brings is not deleted.
    fn staged_name<'k>(&self, key: &'k str) -> Option<&'k str> {
        let name = key.strip_prefix(&self.prefix)?;
        let id = name.strip_prefix(STAGING)?;
        let is_ours = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_ours.then_some(name)
    }

    /// Finds blocks that another process staged, as an upload does that was interrupted. An identifier is one content for
    /// ever, so what is found under it is what was meant.
    pub(super) async fn recall(&self, name: &str, ids: Vec<BlockId>) -> Result<(), StoreError> {
        let asked = ids.into_iter().map(|id| async move {
            match self.properties(&staging_key(id)).await? {
                Some(found) => Ok((id, info_of(&found, false)?.length)),
                None => Err(StoreError::BlocksGone),
            }
        });
        let asked: Vec<_> = asked.collect();
        let mut asked = stream::iter(asked).buffer_unordered(AT_ONCE);
        while let Some(found) = asked.next().await {
            let (id, length) = found?;
            self.blocks.staged(name, id, length);
        }
        Ok(())
    }

    /// Best effort: the commit is done and waits for this a little, so that a process that ends with it leaves nothing.
    /// What stays is swept a week later.
    pub(super) async fn unstage(&self, ids: Vec<BlockId>) {
        let store = self.clone();
        let removing = tokio::spawn(async move { store.remove_staged(ids).await });
        let _ = tokio::time::timeout(TIDYING, removing).await;
    }

    async fn remove_staged(&self, ids: Vec<BlockId>) {
        let gone = ids.into_iter().map(|id| async move {
            let removed = self.remove(&staging_key(id), &Condition::Always).await;
            if let Err(error) = removed {
                tracing::debug!(%error, "a staged block stays behind");
            }
        });
        let gone: Vec<_> = gone.collect();
        stream::iter(gone)
            .buffer_unordered(AT_ONCE)
            .for_each(async |()| {})
            .await;
    }
}
