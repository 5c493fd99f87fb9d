//! One file in each layout, read under each contract.

use std::sync::Arc;

use super::{SMALL, dek, finish, pattern, read_range};
use crate::azure::{self, Integrity, Metadata, RegionSize};
use crate::manifest::Entry;
use crate::v1::{BlockCipher, BlockSize};
use crate::{Admission, Blob, Dataset, Format, FormatError, Reader, Writer};

const PATH: &str = "a/b";
const MIB: BlockSize = match BlockSize::from_mib(1) {
    Ok(size) => size,
    Err(_) => panic!(),
};

/// What storage holds under [`PATH`].
struct Stored {
    body: Vec<u8>,
    metadata: Option<Metadata>,
}

fn contracts() -> [Format; 4] {
    [
        Format::V2(SMALL),
        Format::V1(MIB),
        Format::Azure(RegionSize::default(), Integrity::Sealed),
        Format::Azure(RegionSize::default(), Integrity::Foreign),
    ]
}

fn written(format: Format, clear: &[u8]) -> Stored {
    let mut metadata = None;
    let body = match format {
        Format::V2(params) => finish(
            &mut Writer::create(&dek(), params, Some(PATH)).unwrap(),
            clear,
        ),
        Format::V1(size) => {
            let mut sealed = vec![0; usize::try_from(size.sealed()).unwrap()];
            let cipher = BlockCipher::new(&dek(), size).unwrap();
            cipher.seal(clear, &mut sealed).unwrap();
            sealed.extend_from_slice(&size.trailer(clear.len() as u64));
            sealed
        }
        Format::Azure(region, integrity) => {
            let mut draft = azure::Draft::create(&dek(), "kek", region).unwrap();
            let mut sealed = vec![0; clear.len() + 28];
            let ticket = draft.next_region(clear.len() as u64).unwrap();
            ticket.seal(clear, &mut sealed).unwrap();
            let mut made = draft.finish(&dek(), PATH).unwrap();
            if integrity == Integrity::Foreign {
                made.seal.clear();
            }
            metadata = Some(made);
            sealed
        }
    };
    Stored { body, metadata }
}

fn open(contract: Format, stored: &Stored) -> Result<Vec<u8>, FormatError> {
    let dataset = Dataset::new(contract, Arc::new(dek()), "kek").unwrap();
    let length = stored.body.len() as u64;
    let tail = |count| &stored.body[stored.body.len() - usize::try_from(count).unwrap()..];
    let first = tail(dataset.tail_len(length)?);
    let needed = dataset.needed_tail(length, first)?;
    let metadata = stored.metadata.as_ref();
    let opened = dataset.open(&Blob {
        path: PATH,
        length,
        tail: tail(needed),
        encryption_data: metadata.map(|data| data.encryption_data.as_str()),
        seal: metadata
            .map(|data| data.seal.as_str())
            .filter(|seal| !seal.is_empty()),
    })?;
    read_range(&opened, &stored.body, 0..opened.len())
}

#[test]
fn the_contract_decides_what_is_read() {
    let clear = pattern(1000);
    for written_as in contracts() {
        let stored = written(written_as, &clear);
        for contract in contracts() {
            let read = open(contract, &stored);
            let weaker = contract == Format::Azure(RegionSize::default(), Integrity::Foreign)
                && matches!(written_as, Format::Azure(..));
            if contract == written_as || weaker {
                assert!(read.unwrap() == clear, "{contract:?}");
                continue;
            }
            let error = read.unwrap_err();
            match contract {
                Format::V2(_) => assert_eq!(error, FormatError::Foreign, "{written_as:?}"),
                Format::V1(_) => {
                    assert!(matches!(error, FormatError::BlockSize { mib: 1, .. }));
                }
                Format::Azure(..) if stored.metadata.is_some() => {
                    assert_eq!(error, FormatError::Unsealed);
                }
                Format::Azure(..) => assert_eq!(error, FormatError::NotEncrypted),
            }
        }
    }
}

#[test]
fn an_empty_blob_is_a_file_only_where_the_layout_says_so() {
    let empty = Stored {
        body: Vec::new(),
        metadata: None,
    };
    let [v2, v1, sealed, foreign] = contracts().map(|contract| open(contract, &empty));
    assert_eq!(v2, Err(FormatError::Length { blob: 0 }));
    assert_eq!(v1, Ok(Vec::new()));
    assert_eq!(sealed, Err(FormatError::NotEncrypted));
    assert_eq!(foreign, Err(FormatError::NotEncrypted));
}

#[test]
fn an_entry_admits_its_version_or_asks_for_the_digest() {
    let entry = Entry {
        path: PATH.to_owned(),
        length: 5,
        file_id: [0; 16],
        generation: 0,
        authenticator: [0; 32],
    };
    for (contract, admitted) in [
        (Format::V2(SMALL), Err(FormatError::Replaced)),
        (Format::V1(MIB), Ok(Admission::ByDigest)),
        (
            Format::Azure(RegionSize::default(), Integrity::Sealed),
            Err(FormatError::Replaced),
        ),
    ] {
        let dataset = Dataset::new(contract, Arc::new(dek()), "kek").unwrap();
        for (clear, admitted) in [
            (&b"right"[..], admitted),
            (b"longer", Err(FormatError::Replaced)),
        ] {
            let stored = written(contract, clear);
            let metadata = stored.metadata.as_ref();
            let blob = Blob {
                path: PATH,
                length: stored.body.len() as u64,
                tail: &stored.body,
                encryption_data: metadata.map(|data| data.encryption_data.as_str()),
                seal: metadata.map(|data| data.seal.as_str()),
            };
            let opened = dataset.open(&blob).unwrap();
            assert_eq!(opened.admit(&entry), admitted, "{contract:?}");
        }
    }
}
