//! The mount under test, in a process of its own.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use blob_format::Params;
use blob_format::v1::BlockSize;
use blob_fs::{Buffers, FileSystem, Mode, Options};
use blob_store::BlobStore;
use blob_store::testing::MemoryStore;
use blobfuse_shim::{ReadAhead, content_memory, fuse, mount};
use cleanroom_crypto::Dek;
use serde::{Deserialize, Serialize};
use sidecar_http::Room;
use tokio::sync::oneshot;

use crate::emulator::Emulated;

/// The user that the mount's files belong to.
const OWNER: u32 = 10020;

/// How files lie in storage.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) enum Layout {
    V2,
    V1,
    Sse,
}

/// Where blobs are.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Place {
    /// In the process itself.
    Memory,
    /// In another process.
    Emulator(Emulated),
}

/// What is mounted.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Spec {
    pub(crate) path: PathBuf,
    pub(crate) layout: Layout,
    pub(crate) place: Place,
    /// Limit in bytes.
    pub(crate) memory: u64,
}

/// Mounts as the first line says, and again each time the mount ends, until there are no more lines.
pub(crate) fn run() -> anyhow::Result<()> {
    blobfuse_shim::tune_allocator();
    let mut lines = std::io::stdin().lock().lines();
    let spec: Spec = serde_json::from_str(&lines.next().context("no spec")??)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let memory = content_memory(spec.memory);
    let buffers = Arc::new(Buffers::of(memory));
    let room = Arc::clone(&buffers);
    let room = Room::new(move |length| room.room(length));
    let store: Arc<dyn BlobStore> = match &spec.place {
        Place::Memory => Arc::new(MemoryStore::with_page(5000)),
        Place::Emulator(emulated) => emulated.store(Some(room))?,
    };
    let mode = match spec.layout {
        Layout::V2 => Mode::CseV2(Params::default()),
        Layout::V1 => Mode::CseV1(BlockSize::MIB_16),
        Layout::Sse => Mode::Sse,
    };
    loop {
        let options = Options {
            read_only: false,
            ttl: Duration::from_secs(60),
            memory,
            buffers: Some(Arc::clone(&buffers)),
            ..Options::default()
        };
        let dek = Arc::new(Dek::from_slice(&[7; 32])?);
        let fs = FileSystem::new(Arc::clone(&store), dek, mode, options);
        let device = mount::attach(&spec.path, OWNER, false)?;
        let read_ahead = ReadAhead::of(&spec.path)?;
        let (ended, end) = oneshot::channel();
        runtime.block_on(fuse::serve(fs, device, ended))?;
        read_ahead.raise()?;
        let mut out = std::io::stdout();
        writeln!(out, "mounted")?;
        out.flush()?;
        if lines.next().is_none() {
            return Ok(());
        }
        runtime.block_on(end)?;
    }
}
