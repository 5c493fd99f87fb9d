//! Every mode on a real kernel mount: what each reads and refuses, and what storage can do to it unnoticed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests

mod formats;
#[path = "../semantics/room.rs"]
mod room;
mod tampering;

use blob_format::azure::Integrity;
use blob_format::v1::BlockSize;
use blob_format::{Format, Params};
use blob_fs::{FileSystem, Mode, Options, ROOT};
use blob_store::testing::{Faulty, MemoryStore};
use sidecar_http::Coded;

use room::Mount;

/// The modes that a contract can name, with the names of their formats.
fn contract_modes() -> Vec<(&'static str, Mode)> {
    let names = [
        "v2",
        "cse-v1",
        "cse-v1-4m",
        "azure-cse-2.1",
        "azure-cse-2.1-sealed",
    ];
    let formats = names.map(|name| (name, Mode::from(Format::from_contract(name).unwrap())));
    formats
        .into_iter()
        .chain([("CPK", Mode::Cpk), ("SSE", Mode::Sse)])
        .collect()
}

fn mount(memory: &MemoryStore, mode: Mode, key: u8, read_only: bool) -> Mount {
    let options = Options {
        key_id: "wrapped-dek".to_owned(),
        ..room::options(read_only)
    };
    Mount::with(Faulty::new(memory.clone()), key, mode, options)
}

/// The code of what keeps a file from being read; none if nothing does.
fn refusal(mount: &Mount, name: &str) -> Option<String> {
    let read = mount.runtime.block_on(read(&mount.fs, name));
    read.err()
}

async fn read(fs: &FileSystem, name: &str) -> Result<Vec<u8>, String> {
    let code = |error: blob_fs::FsError| error.code().to_owned();
    let attr = fs.look_up(ROOT, name).await.map_err(code)?;
    let opened = fs.open(attr.ino, false, false).await.map_err(code)?;
    let mut content = Vec::new();
    let outcome = loop {
        let part = fs.read(opened.handle, content.len() as u64, 1 << 20).await;
        match part {
            Ok(part) if part.is_empty() => break Ok(()),
            Ok(part) => content.extend(part),
            Err(error) => break Err(code(error)),
        }
    };
    fs.release(opened.handle).await.unwrap();
    outcome.map(|()| content)
}
