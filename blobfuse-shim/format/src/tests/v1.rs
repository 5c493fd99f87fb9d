//! Upstream's format: what can be noticed is refused with an error of its own, and what cannot is written down here.

use std::sync::Arc;

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use super::{dek, other_dek, pattern, read_range, size};
use crate::v1::{BlockCipher, BlockSize, FileV1, TRAILER};
use crate::{FormatError, Reader};

const MIB: usize = 1 << 20;
/// Sealed bytes of a block of 1 MiB.
const CHUNK: usize = MIB + 28;

fn block(mib: u8) -> BlockSize {
    BlockSize::from_mib(mib).unwrap()
}

fn cipher() -> Arc<BlockCipher> {
    Arc::new(BlockCipher::new(&dek(), block(1)).unwrap())
}

fn written(clear: &[u8]) -> Vec<u8> {
    let cipher = cipher();
    let mut blob = Vec::new();
    for clear in clear.chunks(MIB) {
        let mut sealed = vec![0; CHUNK];
        cipher.seal(clear, &mut sealed).unwrap();
        blob.append(&mut sealed);
    }
    blob.extend_from_slice(&cipher.size().trailer(clear.len() as u64));
    blob
}

fn open(cipher: Arc<BlockCipher>, blob: &[u8]) -> Result<FileV1, FormatError> {
    let trailer = &blob[blob.len() - blob.len().min(TRAILER)..];
    FileV1::open(cipher, blob.len() as u64, trailer)
}

fn read(blob: &[u8]) -> Result<Vec<u8>, FormatError> {
    let file = open(cipher(), blob)?;
    read_range(&file, blob, 0..file.len())
}

fn with_padding(blob: &[u8], padding: u64) -> Vec<u8> {
    let chunks = &blob[..blob.len() - TRAILER];
    [chunks, &padding.to_be_bytes()].concat()
}

#[test]
fn a_changed_chunk_is_refused() {
    let blob = written(&pattern(MIB + 5));
    for (at, index) in [(0, 0), (11, 0), (12, 0), (CHUNK - 1, 0), (CHUNK, 1)] {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        assert_eq!(read(&changed), Err(FormatError::Block { index }));
    }
}

#[test]
fn a_length_that_the_contracts_block_size_does_not_make_is_refused() {
    let blob = written(&pattern(5));
    for length in [1, 7, 9, CHUNK - 1, CHUNK, CHUNK + 7, CHUNK + 9] {
        let error = FormatError::BlockSize {
            blob: length as u64,
            mib: 1,
        };
        let opened = FileV1::open(
            cipher(),
            length as u64,
            &[0; TRAILER][..length.min(TRAILER)],
        );
        assert_eq!(opened.unwrap_err(), error, "{length}");
    }
    // The reader does not try another size, even if that one fits.
    let larger = Arc::new(BlockCipher::new(&dek(), BlockSize::MIB_4).unwrap());
    assert!(matches!(
        open(larger, &blob),
        Err(FormatError::BlockSize { mib: 4, .. })
    ));
    let other = BlockSize::MIB_4.blob_len(1).unwrap();
    let candidates: Vec<_> = BlockSize::candidates(other).collect();
    assert_eq!(candidates, [BlockSize::MIB_4], "for a person to look at");
}

#[test]
fn a_trailer_that_no_writer_makes_is_refused() {
    let blob = written(&pattern(MIB + 5));
    for padding in [MIB as u64, 2 * MIB as u64, 1 << 63, u64::MAX] {
        let changed = with_padding(&blob, padding);
        assert_eq!(read(&changed), Err(FormatError::Padding { padding }));
    }
    // Upstream computes a negative size from this one.
    let empty = with_padding(&written(b""), 1);
    assert_eq!(read(&empty), Err(FormatError::Padding { padding: 1 }));
    let short = FileV1::open(cipher(), blob.len() as u64, &blob[blob.len() - 7..]);
    let error = FormatError::Fetched { wanted: 8, got: 7 };
    assert_eq!(short.unwrap_err(), error);
}

#[test]
fn a_trailer_that_hides_content_is_refused() {
    let blob = written(&pattern(MIB + 5));
    let changed = with_padding(&blob, MIB as u64 - 4);
    assert_eq!(
        read(&changed),
        Err(FormatError::PaddingContent { index: 1 })
    );
    // The first block is not the last one, and still readable.
    let file = open(cipher(), &changed).unwrap();
    assert!(read_range(&file, &changed, 0..10).is_ok());
}

#[test]
fn another_key_is_refused() {
    let blob = written(b"x");
    let other = Arc::new(BlockCipher::new(&other_dek(), block(1)).unwrap());
    let file = open(other, &blob).unwrap();
    let read = read_range(&file, &blob, 0..1);
    assert_eq!(read, Err(FormatError::Block { index: 0 }));
}

#[test]
fn a_worn_key_seals_no_more() {
    let cipher = cipher();
    cipher.wear_out();
    for _ in 0..2 {
        let sealed = cipher.seal(b"x", &mut vec![0; CHUNK]);
        assert_eq!(sealed, Err(FormatError::KeyWorn));
    }
}

#[test]
fn buffers_of_other_lengths_are_refused() {
    let wrong = |clear: &[u8], sealed| {
        matches!(
            cipher().seal(clear, &mut vec![0; sealed]),
            Err(FormatError::Buffer(_))
        )
    };
    assert!(wrong(b"", CHUNK) && wrong(b"x", CHUNK - 1) && wrong(b"x", 5));
    assert!(wrong(&vec![0; MIB + 1], CHUNK));
    assert!(BlockSize::from_mib(0).is_err() && BlockSize::from_mib(65).is_err());
}

/// The weaknesses of the layout itself, as the documents list them.
#[test]
fn what_the_layout_cannot_notice() {
    let clear = pattern(3 * MIB);
    let blob = written(&clear);
    let (a, b, c) = (&blob[..CHUNK], &blob[CHUNK..2 * CHUNK], &blob[2 * CHUNK..]);
    assert!(read(&[b, a, c].concat()).is_ok(), "reordered");
    assert!(read(&[a, a, b, c].concat()).is_ok(), "repeated");
    assert!(read(&[a, c].concat()).is_ok(), "dropped");
    assert_eq!(
        read(&with_padding(a, 0).as_slice()[..8]),
        Err(FormatError::Padding {
            padding: u64::from_be_bytes(a[..8].try_into().unwrap())
        })
    );
    assert_eq!(read(b"").unwrap(), b"", "cut to nothing");
    let zeros = written(&[0; 10]);
    let shorter = read(&with_padding(&zeros, MIB as u64 - 4));
    assert_eq!(shorter.unwrap(), [0; 4], "cut within zeros");
    let longer = read(&with_padding(&zeros, 0)).unwrap();
    assert_eq!(longer.len(), MIB, "extended by zeros");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn files_around_block_borders_survive(blocks in 0_usize..3, by in -3_isize..=3, from: u32, length in 0_u64..3_000_000) {
        let length_of = (blocks * MIB).saturating_add_signed(by);
        let clear = pattern(length_of);
        let blob = written(&clear);
        prop_assert_eq!(blob.len() as u64, block(1).blob_len(clear.len() as u64).unwrap());
        let file = open(cipher(), &blob).unwrap();
        prop_assert_eq!(file.len(), clear.len() as u64);
        let from = u64::from(from) % (file.len() + 1);
        let to = (from + length).min(file.len());
        prop_assert!(read_range(&file, &blob, from..to).unwrap() == clear[size(from)..size(to)]);
    }

    #[test]
    fn any_trailer_and_length_is_taken_without_a_panic(blob: u64, trailer: [u8; 8], mib in 1_u8..=64) {
        let size = block(mib);
        if let Ok(clear) = size.clear_len(blob, trailer) {
            prop_assert_eq!(size.blob_len(clear), Ok(blob.max(8)));
        }
    }

    #[test]
    fn the_size_functions_are_each_others_inverse(mib in 1_u8..=64, clear in 0_u64..1 << 45) {
        let size = block(mib);
        let blob = size.blob_len(clear).unwrap();
        let blocks = size.blocks(blob).unwrap();
        prop_assert_eq!(size.clear_len(blob, size.trailer(clear)), Ok(clear));
        prop_assert_eq!(size.sealed_range(blocks).start + 8, blob);
    }

    #[test]
    fn any_bytes_are_refused_or_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let empty = bytes.is_empty() || bytes == [0; 8];
        prop_assert_eq!(read(&bytes).is_ok(), empty);
    }
}
