//! Nothing that storage can do to a file goes unnoticed.

use cleanroom_crypto::Dek;

use super::{dek, finish, pattern, read};
use crate::{Attributes, FOOTER, FormatError, HEADER, Params, View, Writer};

/// Three extents of two segments and a bit, with the smallest sizes.
fn small() -> (Params, Vec<u8>, Vec<u8>) {
    let params = Params::new(12, 13).unwrap();
    let clear = pattern(2 * 8192 + 4096 + 100);
    let blob = finish(&mut Writer::create(&dek(), params, None).unwrap(), &clear);
    (params, clear, blob)
}

#[test]
fn every_flipped_byte_is_noticed() {
    let (_, clear, blob) = small();
    assert_eq!(read(&blob, None).unwrap(), clear);
    for at in 0..blob.len() {
        let mut changed = blob.clone();
        changed[at] ^= 0x40;
        assert!(read(&changed, None).is_err(), "byte {at}");
    }
}

#[test]
fn every_truncation_and_extension_is_noticed() {
    let (_, _, blob) = small();
    for length in 0..blob.len() {
        assert!(read(&blob[..length], None).is_err(), "first {length} bytes");
        assert!(
            read(&blob[length + 1..], None).is_err(),
            "last {length} bytes"
        );
    }
    for extra in [1, 16, 144, 4112] {
        let longer = [blob.clone(), vec![0; extra]].concat();
        assert!(read(&longer, None).is_err(), "{extra} bytes behind");
        let (front, footer) = blob.split_at(blob.len() - FOOTER);
        let longer = [front, &vec![0; extra], footer].concat();
        assert!(read(&longer, None).is_err(), "{extra} bytes inside");
    }
}

#[test]
fn swapped_segments_and_extents_are_noticed() {
    let (params, _, blob) = small();
    let segment = usize::try_from(params.segment()).unwrap() + 16;
    for a in 0..5 {
        for b in 0..a {
            let mut changed = blob.clone();
            let (a, b) = (HEADER + a * segment, HEADER + b * segment);
            let (front, back) = changed.split_at_mut(a);
            let length = segment.min(blob.len() - FOOTER - 48 - a);
            front[b..b + length].swap_with_slice(&mut back[..length]);
            assert!(read(&changed, None).is_err());
        }
    }
}

#[test]
fn two_commits_cannot_be_mixed() {
    let params = Params::new(12, 13).unwrap();
    let mut writer = Writer::create(&dek(), params, None).unwrap();
    let blocks = writer.write(0, &pattern(8192 + 50)).unwrap().concat();
    let first = writer.commit(Attributes::default()).unwrap();
    writer.write(8192, b"changed").unwrap();
    let second = writer.commit(Attributes::default()).unwrap();
    assert_eq!(second.footer.generation, 2);

    let whole = |tail: &[u8]| [&blocks[..], tail].concat();
    assert!(read(&whole(&first.tail), None).is_ok());
    assert_eq!(
        read(&whole(&second.tail), None).unwrap()[8192..8199],
        *b"changed"
    );
    // Sealed bytes of one commit, table and footer of the other; then only the footer.
    for cut in [32 + FOOTER, FOOTER] {
        let at = first.tail.len() - cut;
        let mixed = [&first.tail[..at], &second.tail[at..]].concat();
        assert!(read(&whole(&mixed), None).is_err());
    }
}

#[test]
fn files_of_one_key_cannot_be_mixed() {
    let params = Params::new(12, 13).unwrap();
    let make = || {
        finish(
            &mut Writer::create(&dek(), params, None).unwrap(),
            &pattern(9000),
        )
    };
    let (a, b) = (make(), make());
    for at in [
        HEADER,
        HEADER + 4112,
        a.len() - FOOTER - 32,
        a.len() - FOOTER,
    ] {
        let mixed = [&a[..at], &b[at..]].concat();
        assert!(read(&mixed, None).is_err(), "cut at {at}");
    }
}

#[test]
fn another_key_is_told_from_a_changed_file() {
    let (_, _, blob) = small();
    let other = Dek::from_slice(&[9; 32]).unwrap();
    let opened = View::open(&other, blob.len() as u64, &blob, None);
    assert_eq!(opened.unwrap_err(), FormatError::WrongKey);
    let mut changed = blob.clone();
    let at = blob.len() - FOOTER + 56;
    changed[at] ^= 1;
    assert_eq!(read(&changed, None), Err(FormatError::Footer));
    assert_eq!(read(b"", None), Err(FormatError::Length { blob: 0 }));
    assert_eq!(read(&[7; 500], None), Err(FormatError::Foreign));
}

#[test]
fn an_empty_file_is_authenticated_too() {
    let blob = finish(
        &mut Writer::create(&dek(), Params::default(), None).unwrap(),
        b"",
    );
    assert_eq!(read(&blob, None).unwrap(), b"");
    for at in 0..blob.len() {
        let mut changed = blob.clone();
        changed[at] ^= 1;
        assert!(read(&changed, None).is_err(), "byte {at}");
    }
}
