//! Azure client-side encryption: the SDKs' gaps are known, closed by the seal where the contract says so.

use std::sync::LazyLock;

use cleanroom_crypto::rsa::{OaepHash, PrivateKey};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use super::{dek, other_dek, pattern, read_range, size};
use crate::azure::{
    Draft, Envelope, FileAzure, Integrity, KeyEncryptionKey, Metadata, RegionSize, Stored, renamed,
};
use crate::{FormatError, Reader};

const KEY_ID: &str = "wrapped-dek";
const NAME: &str = "a/b.txt";
/// Sealed bytes of a region of 1000 bytes.
const SEALED: usize = 1000 + 28;

/// A blob as storage has it.
#[derive(Clone)]
struct Blob {
    body: Vec<u8>,
    metadata: Metadata,
}

fn region() -> RegionSize {
    RegionSize::new(1000).unwrap()
}

fn written(clear: &[u8]) -> Blob {
    let mut draft = Draft::create(&dek(), KEY_ID, region()).unwrap();
    let mut body = Vec::new();
    for clear in clear.chunks(1000) {
        let mut sealed = vec![0; clear.len() + 28];
        let ticket = draft.next_region(clear.len() as u64).unwrap();
        ticket.seal(clear, &mut sealed).unwrap();
        body.append(&mut sealed);
    }
    let metadata = draft.finish(&dek(), NAME).unwrap();
    Blob { body, metadata }
}

impl Blob {
    fn stored(&self) -> Stored<'_> {
        Stored {
            blob_len: self.body.len() as u64,
            encryption_data: Some(&self.metadata.encryption_data),
            seal: Some(&self.metadata.seal),
        }
    }

    fn read(&self, integrity: Integrity) -> Result<Vec<u8>, FormatError> {
        let file = FileAzure::open(&dek(), KEY_ID, NAME, &self.stored(), integrity)?;
        read_range(&file, &self.body, 0..file.len())
    }

    /// As any contract reads it: with a seal, and without.
    fn read_both(&self) -> [Result<Vec<u8>, FormatError>; 2] {
        [Integrity::Sealed, Integrity::Foreign].map(|integrity| self.read(integrity))
    }

    fn with_body(&self, body: Vec<u8>) -> Self {
        Self {
            body,
            metadata: self.metadata.clone(),
        }
    }

    fn with_envelope(&self, from: &str, to: &str) -> Self {
        let mut changed = self.clone();
        assert!(changed.metadata.encryption_data.contains(from));
        changed.metadata.encryption_data = changed.metadata.encryption_data.replace(from, to);
        changed
    }
}

#[test]
fn every_flipped_byte_of_the_body_is_noticed_in_its_region() {
    let blob = written(&pattern(2500));
    assert_eq!(blob.read(Integrity::Sealed).unwrap(), pattern(2500));
    for at in 0..blob.body.len() {
        let mut body = blob.body.clone();
        body[at] ^= 0x40;
        let index = (at / SEALED) as u64;
        let error = if at % SEALED < 12 {
            FormatError::RegionOrder { index }
        } else {
            FormatError::Region { index }
        };
        for read in blob.with_body(body).read_both() {
            assert_eq!(read, Err(error.clone()), "byte {at}");
        }
    }
}

#[test]
fn regions_do_not_change_places_nor_blobs() {
    let (a, b) = (written(&pattern(3000)), written(&pattern(3000)));
    let swapped = [
        &a.body[SEALED..2 * SEALED],
        &a.body[..SEALED],
        &a.body[2 * SEALED..],
    ]
    .concat();
    for read in a.with_body(swapped).read_both() {
        assert_eq!(read, Err(FormatError::RegionOrder { index: 0 }));
    }
    // Another blob's region, and another version's: each has its own key.
    let mixed = [&a.body[..SEALED], &b.body[SEALED..]].concat();
    for read in a.with_body(mixed).read_both() {
        assert_eq!(read, Err(FormatError::Region { index: 1 }));
    }
    for read in a.with_body(b.body.clone()).read_both() {
        assert_eq!(read, Err(FormatError::Region { index: 0 }));
    }
}

#[test]
fn a_cut_at_a_region_is_noticed_by_the_seal_alone() {
    let blob = written(&pattern(2500));
    let cut = blob.with_body(blob.body[..2 * SEALED].to_vec());
    let error = FormatError::Truncated {
        sealed: 2500,
        length: 2000,
    };
    let foreign = Ok(pattern(2000));
    assert_eq!(cut.read_both(), [Err(error), foreign]);
    for at in 1..=28 {
        let within = blob.with_body(blob.body[..SEALED + at].to_vec());
        let length = FormatError::Length {
            blob: (SEALED + at) as u64,
        };
        assert_eq!(within.read_both(), [Err(length.clone()), Err(length)]);
    }
    let longer = blob.with_body([&blob.body[..], &[0; 100]].concat());
    let [sealed, foreign] = longer.read_both();
    assert!(matches!(sealed, Err(FormatError::Truncated { .. })));
    assert_eq!(foreign, Err(FormatError::Region { index: 2 }));
}

#[test]
fn the_seal_binds_name_envelope_and_key() {
    let (blob, other) = (written(b"one"), written(b"two"));
    let open = |stored: &Stored<'_>, name| {
        FileAzure::open(&dek(), KEY_ID, name, stored, Integrity::Sealed).map(|file| file.len())
    };
    assert_eq!(open(&blob.stored(), NAME), Ok(3));
    assert_eq!(open(&blob.stored(), "a/c.txt"), Err(FormatError::Seal));
    let without = Stored {
        seal: None,
        ..blob.stored()
    };
    assert_eq!(open(&without, NAME), Err(FormatError::Unsealed));
    let of_other = Stored {
        seal: Some(&other.metadata.seal),
        ..blob.stored()
    };
    assert_eq!(open(&of_other, NAME), Err(FormatError::Seal));
    for seal in ["", "!", "AAAA", &format!("{}AAAA", blob.metadata.seal)] {
        let changed = Stored {
            seal: Some(seal),
            ..blob.stored()
        };
        assert_eq!(open(&changed, NAME), Err(FormatError::Seal), "{seal:?}");
    }

    let moved = renamed(&dek(), &blob.stored(), NAME, "new").unwrap();
    let stored = Stored {
        seal: Some(&moved),
        ..blob.stored()
    };
    assert_eq!(open(&stored, "new"), Ok(3));
    assert_eq!(open(&stored, NAME), Err(FormatError::Seal));
    let moved = renamed(&dek(), &of_other, NAME, "new");
    assert_eq!(moved, Err(FormatError::Seal), "no seal for what had none");
}

#[test]
fn envelopes_that_ask_for_less_are_refused() {
    let blob = written(b"content");
    let mut clear = blob.stored();
    clear.encryption_data = None;
    let open = FileAzure::open(&dek(), KEY_ID, NAME, &clear, Integrity::Foreign);
    assert_eq!(open.unwrap_err(), FormatError::NotEncrypted);
    for (from, to, error) in [
        ("\"2.1\"", "\"1.0\"", FormatError::OldProtocol),
        (
            "\"2.1\"",
            "\"3.0\"",
            FormatError::Unsupported("encryption protocol"),
        ),
        // The region length does not belong to 2.0, nor, if it did, the wrapped protocol.
        ("\"2.1\"", "\"2.0\"", FormatError::Envelope("DataLength")),
        (
            "AES_GCM_256",
            "AES_CBC_256",
            FormatError::Envelope("EncryptionAlgorithm"),
        ),
        (
            "A256KW",
            "A128KW",
            FormatError::Envelope("key wrap algorithm"),
        ),
        ("FullBlob", "Part", FormatError::Envelope("EncryptionMode")),
        (
            "\"NonceLength\":12",
            "\"NonceLength\":8",
            FormatError::Envelope("NonceLength"),
        ),
        (":1000", ":15", FormatError::Unsupported("region length")),
        (
            ":1000",
            ":4294967296",
            FormatError::Unsupported("region length"),
        ),
        (":1000", ":-1", FormatError::Envelope("JSON")),
        (KEY_ID, "other-dek", FormatError::WrongKey),
        ("{", "[", FormatError::Envelope("JSON")),
        (
            "\"EncryptedKey\":\"",
            "\"EncryptedKey\":\"=",
            FormatError::Envelope("EncryptedKey"),
        ),
    ] {
        let [sealed, foreign] = blob.with_envelope(from, to).read_both();
        assert_eq!(sealed, Err(error.clone()), "{to}");
        assert_eq!(foreign, Err(error), "{to}");
    }
    let protocol = blob
        .with_envelope("\"2.1\"", "\"2.0\"")
        .with_envelope(":1000", ":4194304");
    let error = FormatError::Envelope("protocol in the wrapped key");
    assert_eq!(protocol.read(Integrity::Foreign), Err(error));
    // A region length is not authenticated before the seal is checked, but nothing opens with another one.
    let length = blob.with_envelope(":1000", ":1001");
    assert_eq!(length.read(Integrity::Sealed), Err(FormatError::Seal));
    let long = "x".repeat(9000);
    assert_eq!(
        Envelope::parse(Some(&long)).unwrap_err(),
        FormatError::Envelope("length")
    );
}

#[test]
fn another_key_is_refused() {
    let blob = written(b"content");
    let opened = FileAzure::open(
        &other_dek(),
        KEY_ID,
        NAME,
        &blob.stored(),
        Integrity::Foreign,
    );
    assert_eq!(opened.unwrap_err(), FormatError::WrongKey);
}

/// A vault's RSA key, as SDKs use it; the mount never does.
#[test]
fn content_keys_wrapped_by_rsa_are_read_with_the_key_the_caller_chose() {
    static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(2048).unwrap());
    let blob = written(b"content");
    let clear = [&b"2.1\0\0\0\0\0"[..], &[7; 32]].concat();
    for (hash, algorithm) in [
        (OaepHash::Sha1, "RSA-OAEP"),
        (OaepHash::Sha256, "RSA-OAEP-256"),
    ] {
        let wrapped = KEY.public_key().encrypt_oaep(hash, &clear).unwrap();
        let wrapped = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, wrapped);
        let mut body = b"content".to_vec();
        cleanroom_crypto::second::seal(&[7; 32], &[0; 12], &[], &mut body).unwrap();
        let envelope: serde_json::Value =
            serde_json::from_str(&blob.metadata.encryption_data).unwrap();
        let old = envelope["WrappedContentKey"]["EncryptedKey"]
            .as_str()
            .unwrap();
        let blob = blob
            .with_body([&[0; 12][..], &body].concat())
            .with_envelope(old, &wrapped)
            .with_envelope("A256KW", algorithm);
        let kek = KeyEncryptionKey::Rsa {
            id: KEY_ID,
            key: &KEY,
            hash,
        };
        let file = FileAzure::open_with(&kek, &blob.stored()).unwrap();
        assert_eq!(read_range(&file, &blob.body, 0..7).unwrap(), b"content");
        assert_eq!(file.authenticator(), None);
        // With the data key the same blob is none of ours.
        let error = FormatError::Envelope("key wrap algorithm");
        assert_eq!(blob.read_both(), [Err(error.clone()), Err(error)]);
    }
}

#[test]
fn a_draft_goes_front_to_back_and_a_ticket_seals_what_it_is_for() {
    let mut draft = Draft::create(&dek(), KEY_ID, region()).unwrap();
    let refused = |draft: &mut Draft, length| {
        matches!(draft.next_region(length), Err(FormatError::Buffer(_)))
    };
    assert!(refused(&mut draft, 0) && refused(&mut draft, 1001));
    let ticket = draft.next_region(1000).unwrap();
    let sealed = ticket.seal(&[0; 999], &mut [0; 1027]);
    assert!(matches!(sealed, Err(FormatError::Buffer(_))));
    let last = draft.next_region(5).unwrap();
    assert_eq!(last.index(), 1);
    assert!(refused(&mut draft, 5), "behind a short region");
    assert_eq!(draft.len(), 1005);
    let many = region().blob_len(65_535 * 1000);
    assert_eq!(many, Ok(65_535 * 1028));
    assert_eq!(
        region().blob_len(65_535 * 1000 + 1),
        Err(FormatError::TooLarge)
    );
    assert_eq!(
        region().clear_len(65_535 * 1028 + 29),
        Err(FormatError::TooLarge)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn files_around_region_borders_survive(regions in 0_usize..4, by in -3_isize..=3, from: u32, length in 0_u64..4000) {
        let clear = pattern((regions * 1000).saturating_add_signed(by));
        let blob = written(&clear);
        let file = FileAzure::open(&dek(), KEY_ID, NAME, &blob.stored(), Integrity::Sealed).unwrap();
        prop_assert_eq!(file.len(), clear.len() as u64);
        let from = u64::from(from) % (file.len() + 1);
        let to = (from + length).min(file.len());
        prop_assert!(read_range(&file, &blob.body, from..to).unwrap() == clear[size(from)..size(to)]);
    }

    #[test]
    fn the_size_functions_are_each_others_inverse(bytes in 16_u32..1 << 26, clear in 0_u64..1 << 38) {
        let size = RegionSize::new(bytes).unwrap();
        if let Ok(blob) = size.blob_len(clear) {
            prop_assert_eq!(size.clear_len(blob), Ok(clear));
            let last = size.regions(clear).saturating_sub(1);
            prop_assert_eq!(size.sealed_range(last, clear).end, blob);
        }
    }

    #[test]
    fn any_metadata_is_refused_without_a_panic(text in ".{0,200}", seal in proptest::option::of(".{0,80}"), blob: u64) {
        let stored = Stored { blob_len: blob, encryption_data: Some(&text), seal: seal.as_deref() };
        prop_assert!(FileAzure::open(&dek(), KEY_ID, NAME, &stored, Integrity::Foreign).is_err());
    }

    #[test]
    fn any_length_is_taken_without_a_panic(bytes in 16_u32..1 << 26, blob: u64, _unused in any::<u8>()) {
        let size = RegionSize::new(bytes).unwrap();
        if let Ok(clear) = size.clear_len(blob) {
            prop_assert_eq!(size.blob_len(clear), Ok(blob));
        }
    }
}
