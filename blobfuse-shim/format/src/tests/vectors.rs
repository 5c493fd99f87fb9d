//! The recorded files of the format's definition.

use cleanroom_crypto::{digest, kdf};

use super::{dek, finish, pattern, read, recorded_writer};
use crate::{FileKeys, FormatError, Header, Params, key_id};

const FILES: [(usize, u64, &str); 9] = [
    (
        0,
        176,
        "8a81d1be3d2ed442f0bdf6187e89c13d90ad0c33139be36114a589a1749d1ae3",
    ),
    (
        1,
        209,
        "36ab031d36bd9d6b7d19230f6c70fb89c02de5519b678178b5e7f1f9a016a067",
    ),
    (
        65535,
        65743,
        "ffddbfbddf7d825e3480542aca4553292e594484f338142d669be9f3290c3697",
    ),
    (
        65536,
        65744,
        "0f58ee02d32f09829b8522c618b80cdf490095613c88f38193c271ea097e1d2e",
    ),
    (
        65537,
        65761,
        "8c099212ba67daa4774546e9bed89c4e65c928227e5741b80e6a86a5337fed99",
    ),
    (
        4_194_303,
        4_195_519,
        "1ef16ee6720f7b5c841ae87c39d7b60afb4e60eb8660fce9f7cbe36c8b420a03",
    ),
    (
        4_194_304,
        4_195_520,
        "5f2f250bb3cec99011803dd016bdaca3144021f7f19a5f6fbb12063d07b309a7",
    ),
    (
        4_194_305,
        4_195_553,
        "058175045c9ad7c4a3824a711add4c98b9839165946aa452550fa91afc5548aa",
    ),
    (
        12_652_912,
        12_656_256,
        "c0b5c5f5fd984d8727f10e4eec365708414c32bf05ff8ebe5c92f392f4badd3d",
    ),
];

#[test]
fn recorded_files_are_written_and_read_to_the_byte() {
    let all = pattern(12_652_912);
    for (length, blob_len, sha256) in FILES {
        let clear = &all[..length];
        let mut writer = recorded_writer(Params::default(), None);
        let blob = finish(&mut writer, clear);
        assert_eq!(blob.len() as u64, blob_len);
        assert_eq!(hex::encode(digest::sha256(&blob)), sha256, "{length} bytes");
        assert_eq!(Params::default().clear_len(blob_len), Ok(length as u64));
        assert!(read(&blob, None).unwrap() == clear);
    }
}

#[test]
fn lengths_that_no_file_has_are_refused() {
    let params = Params::default();
    for blob in (0..=175).chain(177..=208) {
        assert_eq!(params.clear_len(blob), Err(FormatError::Length { blob }));
    }
    assert_eq!(params.clear_len(u64::MAX), Err(FormatError::TooLarge));
    assert_eq!(params.blob_len(u64::MAX), Err(FormatError::TooLarge));
}

#[test]
fn the_recorded_bound_file_has_the_recorded_keys_and_bytes() {
    let header = Header {
        params: Params::default(),
        name_bound: true,
        file_id: (0xf0..=0xff).collect::<Vec<u8>>().try_into().unwrap(),
    };
    assert_eq!(
        hex::encode(*kdf::hkdf_extract_sha256(&header.file_id, dek().expose())),
        "62f3cb5a1fbcb8d30c2b2faa8b0424e2f5d071604d03e4a4dc83db244c608510"
    );
    let keys = FileKeys::derive(&dek(), &header).unwrap();
    assert_eq!(
        hex::encode(*keys.extents),
        "1b3d609571e4ab9d654fc712ad1133fdaa5cbcd278a74bde76eb0bda959273ed"
    );
    assert_eq!(
        hex::encode(*keys.commit),
        "2a82a6ae8670de2418edd591b40429f6ff84e1b6e5ec585856c9eb6611d6ee05"
    );
    assert_eq!(
        hex::encode(key_id(&dek()).unwrap()),
        "e0ed444557406afc81600842adb64c36"
    );

    let blob = finish(
        &mut recorded_writer(Params::default(), Some("a/b.txt")),
        b"hello world",
    );
    let recorded = "4352424632000d0a0201101601000000f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff\
        1ef6200d5af92b28530bd5468f7cd624ee38108917b5cba70d954a426f191fd28654fbf9562ca90e8049ec\
        4352424632000d0a0201101601000000f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff\
        e0ed444557406afc81600842adb64c360b0000000000000001000000000000000000000000000000\
        00000000010000006a7e11f018cf3b2097d50f45ec36c9ca0000000000000000\
        53d8e7de3916b9847e6b6d445b7f097a67294b2cfd033245fa822eff6296e8f34352424632454e44";
    assert_eq!(hex::encode(&blob), recorded);
    assert_eq!(read(&blob, Some("a/b.txt")).unwrap(), b"hello world");
    assert_eq!(read(&blob, Some("a/c.txt")), Err(FormatError::Name));
    assert_eq!(read(&blob, None), Err(FormatError::Name));
}
