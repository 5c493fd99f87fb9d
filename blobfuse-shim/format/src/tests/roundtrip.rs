//! What was written is read, however it was written.

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};

use super::{SMALL, dek, finish, pattern, read, read_range};
use crate::azure::RegionSize;
use crate::manifest::Manifest;
use crate::v1::BlockSize;
use crate::{Attributes, FormatError, Params, View, Writer};

#[derive(Clone, Debug)]
enum Op {
    /// Write some bytes at the end plus an offset.
    Write(i64, usize),
    SetLen(i64),
    Commit,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (Just(0_i64), 0..20_000_usize).prop_map(|(at, n)| Op::Write(at, n)),
        2 => (-5000..10_000_i64, 0..6000_usize).prop_map(|(at, n)| Op::Write(at, n)),
        1 => (-5000..9000_i64).prop_map(Op::SetLen),
        1 => Just(Op::Commit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_file_equals_its_model_after_any_writes_and_commits(
        ops in proptest::collection::vec(op(), 1..12),
        ranges in proptest::collection::vec((any::<proptest::sample::Index>(), 0..10_000_u64), 4),
    ) {
        let params = SMALL;
        let mut writer = Writer::create(&dek(), params, None).unwrap();
        let mut model: Vec<u8> = Vec::new();
        let mut blob: Vec<u8> = Vec::new();
        for op in ops {
            let at = |by: i64| u64::try_from((model.len() as i64 + by).max(0)).unwrap();
            match op {
                Op::Write(by, length) => {
                    let (offset, data) = (at(by), pattern(length));
                    let before = writer.sealed();
                    match writer.write(offset, &data) {
                        Ok(blocks) => {
                            blob.extend(blocks.concat());
                            let start = usize::try_from(offset).unwrap();
                            if start + length > model.len() {
                                model.resize(start + length, 0);
                            }
                            model[start..start + length].copy_from_slice(&data);
                            if length == 0 {
                                // A gap is filled even when no byte follows it.
                                model.resize(usize::try_from(writer.len()).unwrap(), 0);
                            }
                        }
                        Err(error) => {
                            prop_assert_eq!(error, FormatError::NotAppend { offset, sealed: before });
                            prop_assert!(offset < before || offset >= model.len() as u64 + 8192);
                        }
                    }
                }
                Op::SetLen(by) => {
                    let length = at(by);
                    if let Ok(blocks) = writer.set_len(length) {
                        blob.extend(blocks.concat());
                        model.resize(usize::try_from(length).unwrap(), 0);
                    }
                }
                Op::Commit => {
                    writer.commit(Attributes::default()).unwrap();
                }
            }
            prop_assert_eq!(writer.len(), model.len() as u64);
        }
        let committed = writer.commit(Attributes { mtime_ns: 5, mode: 0o644 }).unwrap();
        blob.extend(&committed.tail);
        prop_assert_eq!(blob.len() as u64, params.blob_len(model.len() as u64).unwrap());

        let blob_len = blob.len() as u64;
        let tail_len = usize::try_from(View::tail_len(params, blob_len).unwrap()).unwrap();
        let tail = &blob[blob.len() - tail_len..];
        prop_assert!(View::needed_tail(blob_len, tail).unwrap() <= tail_len as u64);
        let view = View::open(&dek(), blob_len, tail, None).unwrap();
        prop_assert_eq!(view.footer(), &committed.footer);
        for (start, length) in ranges {
            let start = start.index(model.len() + 1) as u64;
            let end = (start + length).min(model.len() as u64);
            let expected = &model[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()];
            prop_assert!(read_range(&view, &blob, start..end).unwrap() == expected);
        }
    }

    #[test]
    fn the_size_functions_are_each_others_inverse(
        segment in 12_u8..=20, over in 0_u8..=6, clear in 0_u64..1 << 45, by in -40_i64..40,
    ) {
        let params = Params::new(segment, segment + over).unwrap();
        // Near an edge of extents the functions bend.
        let edge = (clear / params.extent() * params.extent()).saturating_add_signed(by);
        for clear in [clear, edge] {
            let blob = params.blob_len(clear).unwrap();
            prop_assert_eq!(params.clear_len(blob), Ok(clear));
            prop_assert!(params.blob_len(clear + 1).unwrap() > blob);
        }
    }

    #[test]
    fn files_around_borders_survive(segments in 0_usize..7, by in -3_isize..=3) {
        let clear = pattern((segments * 4096).saturating_add_signed(by));
        let blob = finish(&mut Writer::create(&dek(), SMALL, None).unwrap(), &clear);
        prop_assert_eq!(SMALL.clear_len(blob.len() as u64), Ok(clear.len() as u64));
        prop_assert!(read(&blob, None).unwrap() == clear);
    }

    #[test]
    fn extents_and_segments_lie_one_behind_the_other(segment in 12_u8..=20, over in 0_u8..=6, clear in 1_u64..1 << 40) {
        let params = Params::new(segment, segment + over).unwrap();
        let last = params.extents(clear) - 1;
        let range = params.sealed_extent_range(last, clear);
        prop_assert_eq!(range.start, params.sealed_offset(last * params.segments_per_extent()));
        let behind = 16 * (last + 1) + 144;
        prop_assert_eq!(range.end + behind, params.blob_len(clear).unwrap());
        prop_assert!(params.sealed_extent_range(last + 1, clear).is_empty());
        prop_assert_eq!(last * params.extent() + params.clear_in(last, clear), clear);
    }

    #[test]
    fn no_size_is_too_large_to_ask_about(segment in 12_u8..=20, over in 0_u8..=6, mib in 1_u8..=64, region in 16_u32..1 << 26, a: u64, b: u64) {
        let params = Params::new(segment, segment + over).unwrap();
        for (a, b) in [(a, b), (u64::MAX, b), (a, u64::MAX), (u64::MAX, u64::MAX)] {
            let _ = (params.blob_len(a), params.clear_len(a), params.check_len(a), params.sealed_len(a));
            let _ = (params.clear_in(a, b), params.sealed_extent_range(a, b));
            let block = BlockSize::from_mib(mib).unwrap();
            let _ = (block.blob_len(a), block.blocks(a), block.sealed_range(a), block.trailer(a));
            let _ = block.clear_len(a, b.to_be_bytes());
            let region = RegionSize::new(region).unwrap();
            let _ = (region.blob_len(a), region.clear_len(a), region.sealed_range(a, b));
            let _ = RegionSize::sealed_len(a);
        }
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(View::open(&dek(), bytes.len() as u64, &bytes, None).is_err());
        prop_assert!(Manifest::decode(&bytes).is_err());
    }
}

#[test]
fn a_salt_is_never_used_twice() {
    let params = Params::new(12, 12).unwrap();
    let mut writer = Writer::create(&dek(), params, None).unwrap();
    writer.write(0, b"same").unwrap();
    let first = writer.commit(Attributes::default()).unwrap().tail;
    let second = writer.commit(Attributes::default()).unwrap().tail;
    assert_ne!(
        first[32..52],
        second[32..52],
        "sealed anew under another key"
    );
}
