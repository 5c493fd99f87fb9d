//! Nothing that storage can do to a file of format v2 goes unnoticed, and each class of changes has its error.

use super::{SMALL, dek, finish, other_dek, pattern, read, read_range};
use crate::{Attributes, FOOTER, Footer, FormatError, HEADER, Header, Params, View, Writer};

/// Sealed bytes of a segment.
const SEGMENT: usize = 4096 + 16;
const SALT: usize = 16;

/// Three extents of two segments and a bit.
fn small() -> (Vec<u8>, Vec<u8>) {
    let clear = pattern(2 * 8192 + 4096 + 100);
    let blob = written(None, &clear);
    (clear, blob)
}

fn written(path: Option<&str>, clear: &[u8]) -> Vec<u8> {
    finish(&mut Writer::create(&dek(), SMALL, path).unwrap(), clear)
}

#[test]
fn every_flipped_byte_is_noticed_for_what_it_is() {
    let (clear, blob) = small();
    assert_eq!(read(&blob, None).unwrap(), clear);
    let salts = blob.len() - FOOTER - 3 * SALT;
    let footer = blob.len() - FOOTER;
    for at in 0..blob.len() {
        let mut changed = blob.clone();
        changed[at] ^= 0x40;
        let error = read(&changed, None).unwrap_err();
        if at < HEADER {
            assert_eq!(error, FormatError::Header, "byte {at}");
        } else if at < salts {
            let offset = ((at - HEADER) / SEGMENT * 4096) as u64;
            assert_eq!(error, FormatError::Content { offset }, "byte {at}");
        } else if at < footer {
            assert_eq!(error, FormatError::Footer, "byte {at}");
        } else {
            let allowed: &[FormatError] = match at - footer {
                0..8 | 136.. => &[FormatError::Foreign],
                8 | 9 => &[FormatError::Unsupported("version or cipher suite")],
                10 | 11 => &[FormatError::Unsupported("segment or extent size")],
                12..16 => &[FormatError::Unsupported("header flags")],
                16..32 => &[FormatError::Header],
                32..48 => &[FormatError::WrongKey],
                48..56 => &[FormatError::Length {
                    blob: blob.len() as u64,
                }],
                76..80 => &[FormatError::Unsupported("footer flags")],
                96..104 => &[FormatError::Unsupported("reserved footer bytes")],
                _ => &[FormatError::Footer],
            };
            assert!(allowed.contains(&error), "byte {at}: {error}");
        }
    }
}

/// A large file is opened from its tail; its header is seen when the first segment is read.
#[test]
fn a_changed_header_is_noticed_by_who_reads_from_the_start() {
    let (clear, blob) = small();
    let view = View::open(&dek(), blob.len() as u64, &blob[HEADER + 1..], None).unwrap();
    for at in 0..HEADER {
        let mut changed = blob.clone();
        changed[at] ^= 0x40;
        let read = |from, to| read_range(&view, &changed, from..to);
        assert_eq!(read(0, 1), Err(FormatError::Header), "byte {at}");
        assert_eq!(read(4096, 4099).unwrap(), clear[4096..4099]);
    }
}

#[test]
fn every_truncation_and_extension_is_noticed() {
    let (_, blob) = small();
    for length in 0..blob.len() {
        let error = read(&blob[..length], None).unwrap_err();
        let expected = [
            FormatError::Foreign,
            FormatError::Length {
                blob: length as u64,
            },
        ];
        assert!(expected.contains(&error), "first {length} bytes: {error}");
        let error = read(&blob[blob.len() - length..], None).unwrap_err();
        let expected = [
            FormatError::Length {
                blob: length as u64,
            },
            FormatError::Header,
        ];
        assert!(expected.contains(&error), "last {length} bytes: {error}");
    }
    for extra in [1, 16, 144, SEGMENT] {
        let longer = [blob.clone(), vec![0; extra]].concat();
        assert_eq!(read(&longer, None), Err(FormatError::Foreign));
        let (front, footer) = blob.split_at(blob.len() - FOOTER);
        let longer = [front, &vec![0; extra], footer].concat();
        let length = FormatError::Length {
            blob: longer.len() as u64,
        };
        assert_eq!(read(&longer, None), Err(length), "{extra} bytes inside");
    }
}

#[test]
fn dropped_and_doubled_units_are_noticed() {
    let (_, blob) = small();
    for (from, length) in [(HEADER, SEGMENT), (HEADER + 2 * SEGMENT, 2 * SEGMENT)] {
        let shorter = [&blob[..from], &blob[from + length..]].concat();
        let longer = [&blob[..from + length], &blob[from..]].concat();
        for changed in [shorter, longer] {
            let length = FormatError::Length {
                blob: changed.len() as u64,
            };
            assert_eq!(read(&changed, None), Err(length));
        }
    }
}

#[test]
fn swapped_segments_extents_and_salts_are_noticed() {
    let (_, blob) = small();
    for a in 0..5 {
        for b in 0..a {
            let mut changed = blob.clone();
            let (front, back) = changed.split_at_mut(HEADER + a * SEGMENT);
            front[HEADER + b * SEGMENT..][..SEGMENT].swap_with_slice(&mut back[..SEGMENT]);
            let offset = b as u64 * 4096;
            assert_eq!(read(&changed, None), Err(FormatError::Content { offset }));
        }
    }
    let mut changed = blob.clone();
    let (front, back) = changed.split_at_mut(HEADER + 2 * SEGMENT);
    front[HEADER..].swap_with_slice(&mut back[..2 * SEGMENT]);
    let error = FormatError::Content { offset: 0 };
    assert_eq!(read(&changed, None), Err(error.clone()));
    // With their salts, so that the keys move along.
    let salts = changed.len() - FOOTER - 3 * SALT;
    let (front, back) = changed.split_at_mut(salts + SALT);
    front[salts..].swap_with_slice(&mut back[..SALT]);
    assert_eq!(read(&changed, None), Err(FormatError::Footer));
}

#[test]
fn two_commits_cannot_be_mixed() {
    let mut writer = Writer::create(&dek(), SMALL, None).unwrap();
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
    // Sealed bytes of one commit, salts and footer of the other; then only the footer.
    let content = FormatError::Content { offset: 8192 };
    for (cut, error) in [(2 * SALT + FOOTER, content), (FOOTER, FormatError::Footer)] {
        let at = first.tail.len() - cut;
        let mixed = [&first.tail[..at], &second.tail[at..]].concat();
        assert_eq!(read(&whole(&mixed), None), Err(error.clone()));
        let mixed = [&second.tail[..at], &first.tail[at..]].concat();
        assert_eq!(read(&whole(&mixed), None), Err(error));
    }
    // The MAC of one commit under the fields of the other.
    let mac = first.tail.len() - 40;
    let mixed = [&second.tail[..mac], &first.tail[mac..]].concat();
    assert_eq!(read(&whole(&mixed), None), Err(FormatError::Footer));
}

#[test]
fn files_of_one_key_cannot_be_mixed() {
    let make = || written(None, &pattern(9000));
    let (a, b) = (make(), make());
    for (at, error) in [
        (HEADER, FormatError::Header),
        (HEADER + SEGMENT, FormatError::Header),
        (a.len() - FOOTER - 32, FormatError::Header),
        (a.len() - FOOTER, FormatError::Header),
    ] {
        let mixed = [&a[..at], &b[at..]].concat();
        assert_eq!(read(&mixed, None), Err(error), "cut at {at}");
    }
    for (from, to, error) in [
        (HEADER, HEADER + SEGMENT, FormatError::Content { offset: 0 }),
        (
            HEADER + 2 * SEGMENT,
            a.len() - FOOTER - 32,
            FormatError::Content { offset: 8192 },
        ),
        (a.len() - FOOTER - 16, a.len() - FOOTER, FormatError::Footer),
    ] {
        let mut mixed = a.clone();
        mixed[from..to].copy_from_slice(&b[from..to]);
        assert_eq!(read(&mixed, None), Err(error), "bytes {from} to {to}");
    }
}

#[test]
fn a_file_under_another_name_is_noticed_if_it_is_bound() {
    let bound = written(Some("a"), b"content");
    assert_eq!(read(&bound, Some("a")).unwrap(), b"content");
    assert_eq!(read(&bound, Some("b")), Err(FormatError::Name));
    assert_eq!(read(&bound, None), Err(FormatError::Name));
    let free = written(None, b"content");
    assert_eq!(read(&free, Some("b")).unwrap(), b"content");
}

#[test]
fn another_key_is_told_from_a_changed_file() {
    let (_, blob) = small();
    let opened = View::open(&other_dek(), blob.len() as u64, &blob, None);
    assert_eq!(opened.unwrap_err(), FormatError::WrongKey);
    assert_eq!(read(b"", None), Err(FormatError::Length { blob: 0 }));
    assert_eq!(read(&[7; 500], None), Err(FormatError::Foreign));
}

/// With a key of the attacker's choice everything is consistent, but it is another key.
#[test]
fn a_whole_file_of_another_key_is_refused() {
    let forged = finish(
        &mut Writer::create(&other_dek(), SMALL, None).unwrap(),
        b"forged",
    );
    assert_eq!(read(&forged, None), Err(FormatError::WrongKey));
    // Not even if the key's name is the right one.
    let (_, good) = small();
    let mut renamed = forged.clone();
    let (to, from) = (forged.len() - FOOTER + 32, good.len() - FOOTER + 32);
    renamed[to..to + 16].copy_from_slice(&good[from..from + 16]);
    assert_eq!(read(&renamed, None), Err(FormatError::Footer));
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

#[test]
fn no_length_of_a_blob_asks_for_more_than_the_longest_salt_table() {
    const MOST: u64 = (64 << 20) + FOOTER as u64;
    let small = Params::new(12, 12).unwrap();
    for params in [small, Params::default()] {
        for length in [1 << 50, 1 << 60, u64::MAX] {
            let refused = View::tail_len(params, length);
            assert_eq!(refused, Err(FormatError::TooLarge), "{length}");
        }
        assert!(View::tail_len(params, (1 << 50) - 1).unwrap() <= MOST);
    }
    let header = Header {
        params: small,
        name_bound: false,
        file_id: [1; 16],
    };
    let needed = |clear_len| {
        let footer = Footer {
            header,
            key_id: [0; 16],
            clear_len,
            generation: 1,
            mtime_ns: 0,
            mode: 0,
            name_tag: [0; 16],
            mac: [0; 32],
        };
        View::needed_tail(small.blob_len(clear_len).unwrap(), &footer.encode())
    };
    let most = small.extent() << 22;
    assert_eq!(needed(most), Ok(MOST));
    assert_eq!(needed(most + 1), Err(FormatError::TooLarge));
}
