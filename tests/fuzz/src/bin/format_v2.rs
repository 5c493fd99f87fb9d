//! Files of format v2: bytes of any kind, and genuine files in which storage changed, moved and mixed what it liked.
#![no_main]

use std::sync::LazyLock;

use blob_format::{Attributes, FOOTER, Footer, Params, Reader, View, Writer};
use fuzz::storage::{DEK, Edits, content, part, read};
use fuzz::{bounded, vector_text};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const PATH: &str = "a/b.txt";

/// The short files of the vectors, two commits of one file, and another file under the same path.
static GENUINE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let vectors: Value = serde_json::from_str(vector_text!("blob-format/v2.json")).unwrap();
    let files = vectors["files"].as_array().unwrap().iter();
    let mut blobs: Vec<_> = files
        .filter_map(|file| file["blob"].as_str())
        .map(|blob| hex::decode(blob).unwrap())
        .collect();
    let params = Params::new(12, 13).unwrap();
    for length in [9000, 8192] {
        let mut writer = Writer::create(&DEK, params, Some(PATH)).unwrap();
        let mut blob = writer.write(0, &content(length)).unwrap().concat();
        let mut tail = writer.commit(Attributes::default()).unwrap().tail;
        blob.append(&mut tail);
        blobs.push(blob);
    }
    blobs.push(edited(&blobs[blobs.len() - 2], params));
    blobs
});

/// Each of their commits with its content.
static COMMITS: LazyLock<Vec<(Footer, Vec<u8>)>> = LazyLock::new(|| {
    let open = |blob: &Vec<u8>| {
        let view = View::open(&DEK, blob.len() as u64, blob, Some(PATH)).unwrap();
        (*view.footer(), read(&view, blob).unwrap())
    };
    GENUINE.iter().map(open).collect()
});

/// The same file with other bytes in its second extent, as the next commit.
fn edited(blob: &[u8], params: Params) -> Vec<u8> {
    let view = View::open(&DEK, blob.len() as u64, blob, Some(PATH)).unwrap();
    let mut draft = view.edit();
    let mut sealed = vec![0; usize::try_from(params.sealed_len(900)).unwrap()];
    let extent = draft.seal(1, &content(900), &mut sealed).unwrap();
    draft.place(extent).unwrap();
    let first = params.sealed_extent_range(0, view.len()).end;
    let mut out = blob[..usize::try_from(first).unwrap()].to_vec();
    out.append(&mut sealed);
    out.append(
        &mut draft
            .commit(8192 + 900, Attributes::default())
            .unwrap()
            .tail,
    );
    out
}

fuzz_target!(|input: &[u8]| {
    lengths(input);
    let Some((kind, rest)) = input.split_first() else {
        return;
    };
    let blob = match kind {
        0xff => rest.to_vec(),
        kind => Edits::new(rest).apply(&GENUINE, usize::from(*kind)),
    };
    for path in [Some(PATH), Some("another"), None] {
        let opened = bounded(&blob, 4, || {
            View::open(&DEK, blob.len() as u64, &blob, path)
        });
        let Ok(view) = opened else { continue };
        if path == Some("another") {
            assert!(!view.footer().header.name_bound);
        }
        let known = COMMITS.iter().find(|(footer, _)| footer == view.footer());
        let (_, content) = known.expect("a forged commit");
        let Ok(clear) = bounded(&blob, 8, || read(&view, &blob)) else {
            for start in (0..view.len()).step_by(usize::try_from(view.unit()).unwrap()) {
                let end = view.len().min(start + view.unit());
                let place = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
                let opened = part(&view, &blob, start..end);
                assert!(opened.is_err() || opened.as_deref() == Ok(&content[place]));
            }
            continue;
        };
        assert_eq!(&clear, content);
        assert!(GENUINE.contains(&blob), "a forged file was read as a whole");
        // The tail alone opens the same commit.
        let needed = View::needed_tail(blob.len() as u64, &blob).unwrap();
        let tail = &blob[blob.len() - usize::try_from(needed).unwrap()..];
        let again = View::open(&DEK, blob.len() as u64, tail, path).unwrap();
        assert_eq!(again.footer(), view.footer());
    }
});

/// What a length and a footer that nobody vouches for may ask to be fetched.
fn lengths(input: &[u8]) {
    let Some((length, tail)) = input.split_first_chunk() else {
        return;
    };
    let length = u64::from_le_bytes(*length);
    for (segment, extent) in [(12, 12), (12, 13), (16, 22), (20, 26)] {
        let params = Params::new(segment, extent).unwrap();
        if let Ok(clear) = params.clear_len(length) {
            assert_eq!(params.blob_len(clear), Ok(length));
        }
        if let Ok(tail) = View::tail_len(params, length) {
            assert!(tail <= length && tail <= (64 << 20) + FOOTER as u64);
        }
    }
    if let Ok(needed) = View::needed_tail(length, tail) {
        assert!(needed <= length && needed <= (64 << 20) + FOOTER as u64);
    }
    let opened = bounded(input, 8, || View::open(&DEK, length, tail, None));
    if opened.is_ok() {
        let footer = &tail[tail.len() - FOOTER..];
        assert!(GENUINE.iter().any(|blob| blob.ends_with(footer)));
    }
}
