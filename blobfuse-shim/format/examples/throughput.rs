//! How fast the layouts seal and open, one thread: `cargo run --release -p blob-format --example throughput`.
//!
//! In GB/s of clear bytes (10^9), the best of many short windows: other load on the machine disturbs some, not all.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use blob_format::azure::{self, FileAzure, Integrity, RegionSize, Stored};
use blob_format::v1::{BlockCipher, BlockSize, FileV1};
use blob_format::v2::Draft;
use blob_format::{Attributes, Params, Reader, View};
use cleanroom_crypto::aead::Aes256Gcm;
use cleanroom_crypto::{Dek, second};

const WINDOW: Duration = Duration::from_millis(4);
const WINDOWS: usize = 300;

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(bytes: usize, mut work: impl FnMut()) -> f64 {
    let mut best = 0_f64;
    for _ in 0..WINDOWS {
        let start = Instant::now();
        let mut done = 0;
        while start.elapsed() < WINDOW {
            work();
            done += bytes;
        }
        best = best.max(done as f64 / start.elapsed().as_secs_f64() / 1e9);
    }
    best
}

fn row(what: &str, bytes: usize, seal: impl FnMut(), open: impl FnMut()) {
    let (seal, open) = (rate(bytes, seal), rate(bytes, open));
    println!(
        "{what:<44} {:>6} KiB   seal {seal:6.2}   open {open:6.2} GB/s",
        bytes >> 10
    );
}

fn providers() {
    for length in [4 << 10, 64 << 10, 1 << 20, 4 << 20] {
        let clear = vec![7; length];
        let (key, nonce) = ([1; 32], [2; 12]);
        let gcm = Aes256Gcm::new(&key).unwrap();
        let mut sealed = vec![0; length + 16];
        let mut out = vec![0; length];
        gcm.seal_to(&nonce, &[], &clear, &mut sealed).unwrap();
        let good = sealed.clone();
        row(
            "aws-lc-rs, buffer to buffer",
            length,
            || gcm.seal_to(&nonce, &[], &clear, &mut sealed).unwrap(),
            || gcm.open_to(&nonce, &[], &good, &mut out).unwrap(),
        );
        // Decryption in place destroys its input, so both rows contain one copy of it.
        let (mut a, mut b) = (Vec::new(), Vec::new());
        row(
            "aws-lc-rs, in place after a copy",
            length,
            || {
                a.clear();
                a.extend_from_slice(&clear);
                gcm.seal_in_place(&nonce, &[], &mut a).unwrap();
            },
            || {
                b.clear();
                b.extend_from_slice(&good);
                gcm.open_in_place(&nonce, &[], &mut b).unwrap();
            },
        );
        row(
            "RustCrypto aes-gcm, in place after a copy",
            length,
            || {
                a.clear();
                a.extend_from_slice(&clear);
                second::seal(&key, &nonce, &[], &mut a).unwrap();
            },
            || {
                b.clear();
                b.extend_from_slice(&good);
                second::open(&key, &nonce, &[], &mut b).unwrap();
            },
        );
    }
}

fn read(reader: &dyn Reader, blob: &[u8], out: &mut [u8]) {
    let plan = reader.plan(0..out.len() as u64).unwrap();
    let range =
        usize::try_from(plan.sealed.start).unwrap()..usize::try_from(plan.sealed.end).unwrap();
    reader.open(&plan, blob.get(range).unwrap(), out).unwrap();
}

fn v2(dek: &Dek) {
    let length = 4 << 20;
    let clear = vec![7; length];
    let mut draft = Draft::create(dek, Params::default(), None).unwrap();
    let mut sealed = vec![0; usize::try_from(draft.params().sealed_len(length as u64)).unwrap()];
    let extent = draft.seal(0, &clear, &mut sealed).unwrap();
    draft.place(extent).unwrap();
    let committed = draft.commit(length as u64, Attributes::default()).unwrap();
    let blob = [&draft.header()[..], &sealed, &committed.tail].concat();
    let view = View::open(dek, blob.len() as u64, &blob, None).unwrap();
    let mut out = vec![0; length];
    row(
        "v2, an extent",
        length,
        || drop(draft.seal(0, &clear, &mut sealed).unwrap()),
        || read(&view, &blob, &mut out),
    );
    let mut small = vec![0; 64 << 10];
    let some = vec![7; small.len()];
    let mut short = vec![0; small.len() + 16];
    row(
        "v2, a segment with its key",
        small.len(),
        || drop(draft.seal(0, &some, &mut short).unwrap()),
        || read(&view, &blob, &mut small),
    );
}

fn v1(dek: &Dek) {
    let size = BlockSize::MIB_16;
    let cipher = Arc::new(BlockCipher::new(dek, size).unwrap());
    let clear = vec![7; usize::try_from(size.bytes()).unwrap()];
    let mut sealed = vec![0; usize::try_from(size.sealed()).unwrap()];
    cipher.seal(&clear, &mut sealed).unwrap();
    let blob = sealed.clone();
    let file = FileV1::open(Arc::clone(&cipher), size.sealed() + 8, &[0; 8]).unwrap();
    let mut out = vec![0; clear.len()];
    row(
        "v1, a block",
        clear.len(),
        || cipher.seal(&clear, &mut sealed).unwrap(),
        || read(&file, &blob, &mut out),
    );
}

fn azure(dek: &Dek) {
    let region = RegionSize::default();
    let clear = vec![7; usize::try_from(region.bytes()).unwrap()];
    let mut draft = azure::Draft::create(dek, "key", region).unwrap();
    let mut sealed = vec![0; clear.len() + 28];
    let ticket = draft.next_region(region.bytes()).unwrap();
    ticket.seal(&clear, &mut sealed).unwrap();
    let blob = sealed.clone();
    let metadata = draft.finish(dek, "name").unwrap();
    let stored = Stored {
        blob_len: blob.len() as u64,
        encryption_data: Some(&metadata.encryption_data),
        seal: Some(&metadata.seal),
    };
    let file = FileAzure::open(dek, "key", "name", &stored, Integrity::Sealed).unwrap();
    let mut out = vec![0; clear.len()];
    row(
        "azure, a region",
        clear.len(),
        || {
            let mut draft = azure::Draft::create(dek, "key", region).unwrap();
            let ticket = draft.next_region(region.bytes()).unwrap();
            ticket.seal(&clear, &mut sealed).unwrap();
        },
        || read(&file, &blob, &mut out),
    );
}

fn main() {
    let dek = Dek::generate().unwrap();
    providers();
    v2(&dek);
    v1(&dek);
    azure(&dek);
}
