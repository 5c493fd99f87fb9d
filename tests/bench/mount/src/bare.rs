//! What emulated storage gives a client without a mount.

use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, stream};

use crate::emulator::Emulated;

/// Bytes of one request.
const PART: u64 = 4 << 20;

/// Bytes per second of a whole blob, by so many requests at once.
pub(crate) fn rate(emulated: &Emulated, name: &str, at_once: usize) -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let store = emulated.store(None)?;
        let info = store.head(name).await?;
        let began = Instant::now();
        let parts = (0..info.length.div_ceil(PART)).map(|n| {
            let (store, etag) = (Arc::clone(&store), info.etag.clone());
            let range = n * PART..info.length.min((n + 1) * PART);
            let name = name.to_owned();
            // On all processors, as a mount does it.
            tokio::spawn(async move {
                let bytes = store.get_range(&name, range, &etag).await?;
                anyhow::Ok(bytes.len() as u64)
            })
        });
        let mut fetching = stream::iter(parts).buffer_unordered(at_once);
        let mut fetched = 0;
        while let Some(length) = fetching.next().await {
            fetched += length??;
        }
        anyhow::ensure!(fetched == info.length, "another length");
        Ok(fetched as f64 / began.elapsed().as_secs_f64())
    })
}
