//! Upstream's format: any length and trailer, and chunks in the order and state that storage likes.
#![no_main]

use std::sync::{Arc, LazyLock};

use blob_format::v1::{BlockCipher, BlockSize, FileV1};
use blob_format::{FormatError, Reader};
use fuzz::bounded;
use fuzz::storage::{DEK, content, read};
use libfuzzer_sys::fuzz_target;

const MIB: u64 = 1 << 20;
/// The smallest size there is; every chunk that is read costs its decryption.
static CIPHER: LazyLock<Arc<BlockCipher>> = LazyLock::new(|| {
    let size = BlockSize::from_mib(1).unwrap();
    Arc::new(BlockCipher::new(&DEK, size).unwrap())
});

/// Clear bytes in each of the genuine chunks.
const CLEAR: [usize; 3] = [1 << 20, 1000, 0x9_0000];

static CHUNKS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let seal = |length| {
        let mut sealed = vec![0; usize::try_from(CIPHER.size().sealed()).unwrap()];
        CIPHER.seal(&content(length), &mut sealed).unwrap();
        sealed
    };
    CLEAR.map(seal).to_vec()
});

fuzz_target!(|input: &[u8]| {
    let Some((trailer, rest)) = input.split_first_chunk::<8>() else {
        return;
    };
    lengths(*trailer, rest);
    // Two chunks at most: which, and where a bit is turned.
    let mut blob = Vec::new();
    let mut chosen = Vec::new();
    for [which, at @ ..] in rest.as_chunks::<4>().0.iter().take(2) {
        let index = usize::from(*which) % CHUNKS.len();
        let mut chunk = CHUNKS[index].clone();
        let [a, b, c] = *at;
        let at = usize::try_from(u32::from_le_bytes([a, b, c, 0])).unwrap();
        let intact = chunk.get_mut(at).map(|byte| *byte ^= 1).is_none();
        blob.append(&mut chunk);
        chosen.push((index, intact));
    }
    blob.extend_from_slice(trailer);
    let opened = FileV1::open(Arc::clone(&CIPHER), blob.len() as u64, trailer);
    let padding = u64::from_be_bytes(*trailer);
    let file = match opened {
        Ok(file) => file,
        Err(error) => {
            assert_eq!(error, FormatError::Padding { padding });
            assert!(padding >= MIB || (chosen.is_empty() && padding > 0));
            return;
        }
    };
    assert_eq!(file.len() + padding, chosen.len() as u64 * MIB);
    let Ok(clear) = bounded(&blob, 8, || read(&file, &blob)) else {
        return;
    };
    for ((index, intact), block) in chosen.iter().zip(clear.chunks(1 << 20)) {
        assert!(*intact, "a changed chunk was read");
        let content = content(CLEAR[*index]);
        let (of_writer, padding) = block.split_at(block.len().min(content.len()));
        assert!(content.starts_with(of_writer) && padding.iter().all(|byte| *byte == 0));
        assert!(block.len() >= content.len(), "the end of a file was hidden");
    }
});

/// Any length of a blob, for each size of blocks.
fn lengths(trailer: [u8; 8], rest: &[u8]) {
    let Some(length) = rest.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)) else {
        return;
    };
    for mib in [1, 4, 16, 64] {
        let size = BlockSize::from_mib(mib).unwrap();
        let Ok(clear) = size.clear_len(length, trailer) else {
            continue;
        };
        assert_eq!(clear.div_ceil(size.bytes()), size.blocks(length).unwrap());
        assert!(length == 0 || size.blob_len(clear) == Ok(length));
        assert!(length == 0 || size.trailer(clear) == trailer);
    }
}
