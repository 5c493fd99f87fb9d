//! Whatever is cut out of stored blobs and put together again: only whole versions are read.

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;

use super::{SMALL, dek, pattern, read, read_range};
use crate::azure::{self, FileAzure, Integrity, Metadata, RegionSize, Stored};
use crate::{Attributes, Reader, Writer};

/// One edit of a blob: its bytes from `at` on, `remove` of them, are replaced by bytes of blob `from`.
#[derive(Clone, Debug)]
struct Splice {
    at: Index,
    remove: usize,
    from: Index,
    start: Index,
    length: usize,
}

fn splice() -> impl proptest::strategy::Strategy<Value = Splice> {
    use proptest::strategy::Strategy;
    // Whole units as often as any bytes.
    let lengths = || {
        proptest::prop_oneof![
            0..64_usize,
            proptest::sample::select(vec![0, 16, 32, 144, 1028, 4112, 8224])
        ]
    };
    let places = (any::<Index>(), any::<Index>(), any::<Index>());
    (places, lengths(), lengths()).prop_map(|((at, from, start), remove, length)| Splice {
        at,
        remove,
        from,
        start,
        length,
    })
}

impl Splice {
    fn apply(&self, blob: &[u8], pool: &[Vec<u8>]) -> Vec<u8> {
        let unit = |index: &Index, length: usize, size: usize| match size {
            0..64 => index.index(length + 1),
            _ => (32 + index.index(8) * size).min(length),
        };
        let from = &pool[self.from.index(pool.len())];
        let start = unit(&self.start, from.len(), self.length);
        let end = (start + self.length).min(from.len());
        let at = unit(&self.at, blob.len(), self.remove);
        let behind = (at + self.remove).min(blob.len());
        [&blob[..at], &from[start..end], &blob[behind..]].concat()
    }
}

/// Three commits of one file, the last two of one length, and another file of that length, under one key.
fn v2_pool() -> Vec<Vec<u8>> {
    let mut pool = Vec::new();
    let mut writer = Writer::create(&dek(), SMALL, None).unwrap();
    let mut blocks = Vec::new();
    for (offset, length) in [(0, 8192 + 100), (8292, 4000), (8192, 5)] {
        blocks.extend(writer.write(offset, &pattern(length)).unwrap().concat());
        let tail = writer.commit(Attributes::default()).unwrap().tail;
        pool.push([&blocks[..], &tail].concat());
    }
    let mut other = Writer::create(&dek(), SMALL, None).unwrap();
    pool.push(super::finish(&mut other, &pattern(8192 + 4100)));
    assert_eq!(pool[2].len(), pool[3].len());
    pool
}

fn azure_blob(clear: &[u8]) -> (Vec<u8>, Metadata) {
    let region = RegionSize::new(1000).unwrap();
    let mut draft = azure::Draft::create(&dek(), "kek", region).unwrap();
    let mut body = Vec::new();
    for clear in clear.chunks(1000) {
        let mut sealed = vec![0; clear.len() + 28];
        let ticket = draft.next_region(clear.len() as u64).unwrap();
        ticket.seal(clear, &mut sealed).unwrap();
        body.append(&mut sealed);
    }
    (body, draft.finish(&dek(), "name").unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn of_format_v2(first: Index, splices in proptest::collection::vec(splice(), 1..4)) {
        let pool = v2_pool();
        let mut blob = pool[first.index(pool.len())].clone();
        for splice in splices {
            blob = splice.apply(&blob, &pool);
        }
        prop_assert_eq!(read(&blob, None).is_ok(), pool.contains(&blob));
    }

    #[test]
    fn of_sealed_azure_blobs(splices in proptest::collection::vec(splice(), 1..4)) {
        let (good, metadata) = azure_blob(&pattern(3500));
        let pool = [good.clone(), azure_blob(&pattern(3500)).0];
        let mut blob = good.clone();
        for splice in splices {
            blob = splice.apply(&blob, &pool);
        }
        let stored = Stored {
            blob_len: blob.len() as u64,
            encryption_data: Some(&metadata.encryption_data),
            seal: Some(&metadata.seal),
        };
        let read = FileAzure::open(&dek(), "kek", "name", &stored, Integrity::Sealed)
            .and_then(|file| read_range(&file, &blob, 0..file.len()));
        prop_assert_eq!(read.is_ok(), blob == good);
        prop_assert!(read.is_err() || read == Ok(pattern(3500)));
    }
}
