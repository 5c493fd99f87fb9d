//! Azure client-side encryption 2.x: envelope and seal from storage, and regions in the order and state that it likes.
#![no_main]

use std::sync::LazyLock;

use blob_format::FormatError;
use blob_format::azure::{Envelope, FileAzure, Integrity, Stored};
use cleanroom_crypto::aead::Aes256Gcm;
use fuzz::storage::{DEK, content, read};
use fuzz::{bounded, vector_text, whole};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static VECTORS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(vector_text!("blob-format/azure.json")).unwrap());

/// The content key that the vectors' envelopes hold wrapped.
static GCM: LazyLock<Aes256Gcm> = LazyLock::new(|| {
    let key = hex::decode(VECTORS["contentKey"].as_str().unwrap()).unwrap();
    Aes256Gcm::new(&key.try_into().unwrap()).unwrap()
});

const KEY_ID: &str = "wrapped-dek";
const NAME: &str = "a/b.txt";
/// Regions that are sealed here are no longer, so that the search is fast.
const LONGEST: u64 = 4096;

// envelope NUL seal NUL regions
fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |byte| *byte == 0);
    let [envelope, seal, steps] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let (Ok(envelope), Ok(seal)) = (str::from_utf8(envelope), str::from_utf8(seal)) else {
        return;
    };
    let parsed = bounded(input, 16, || Envelope::parse(Some(envelope)));
    let Ok(parsed) = parsed else {
        let stored = stored(0, envelope, seal);
        let opened = FileAzure::open(&DEK, KEY_ID, NAME, &stored, Integrity::Foreign);
        assert!(opened.is_err());
        return;
    };
    if let Some(json) = whole(envelope.as_bytes()) {
        let agent = &json["EncryptionAgent"];
        assert!(["2.0", "2.1"].contains(&agent["Protocol"].as_str().unwrap()));
        assert_eq!(agent["EncryptionAlgorithm"], "AES_GCM_256");
        let info = &json["EncryptedRegionInfo"];
        assert_eq!(info["DataLength"], parsed.region().bytes());
        assert_eq!(info["NonceLength"], 12);
        assert_eq!(json["WrappedContentKey"]["KeyId"], parsed.key_id());
    }
    let unit = parsed.region().bytes();
    if unit > LONGEST {
        return;
    }
    let (blob, genuine) = regions(unit, steps);
    let stored = stored(blob.len() as u64, envelope, seal);
    let [foreign, sealed] = [Integrity::Foreign, Integrity::Sealed].map(|integrity| {
        bounded(input, 64, || {
            FileAzure::open(&DEK, KEY_ID, NAME, &stored, integrity)
        })
    });
    // Only the vectors' seals are genuine; they are for other lengths of regions.
    assert!(sealed.is_err(), "a forged seal");
    let file = match foreign {
        Ok(file) => file,
        Err(FormatError::Length { .. }) => return,
        Err(error) => {
            assert!(
                !envelope.contains(wrapped_key())
                    || parsed.key_id() != KEY_ID
                    || parsed.algorithm() != "A256KW"
                    || envelope.contains("2.0"),
                "{error}"
            );
            return;
        }
    };
    match bounded(&blob, 8, || read(&file, &blob)) {
        Ok(clear) => {
            assert!(genuine, "a changed or misplaced region was read");
            let regions = clear.chunks(usize::try_from(unit).unwrap());
            assert!(
                regions
                    .enumerate()
                    .all(|(index, region)| content(index + 5000)[index..].starts_with(region))
            );
        }
        Err(error) => assert!(!genuine, "{error}"),
    }
});

const fn stored<'a>(blob_len: u64, envelope: &'a str, seal: &'a str) -> Stored<'a> {
    Stored {
        blob_len,
        encryption_data: Some(envelope),
        seal: Some(seal),
    }
}

fn wrapped_key() -> &'static str {
    let text = VECTORS["encryptionData"].as_str().unwrap();
    text.split('"').find(|part| part.len() == 64).unwrap()
}

/// Seals a region for each step: of which index, in which SDK's way, and whether a bit of it is turned. Also whether an
/// honest writer could have made that.
fn regions(unit: u64, steps: &[u8]) -> (Vec<u8>, bool) {
    let unit = usize::try_from(unit).unwrap();
    let mut blob = Vec::new();
    let mut genuine = true;
    let steps = steps.as_chunks::<4>().0;
    for (place, [index, way, flip, short]) in (0_u64..).zip(steps.iter().take(6)) {
        let index = place ^ u64::from(*index);
        let bytes = index.to_be_bytes();
        let nonce: Vec<u8> = match way % 3 {
            0 => [&[0; 4], &bytes[..]].concat(),
            1 => [&bytes[..], &[0; 4]].concat(),
            _ => [&[0; 4], &(index + 1).to_le_bytes()[..]].concat(),
        };
        let nonce: [u8; 12] = nonce.try_into().unwrap();
        // Only the last region may be shorter.
        let last = place as usize + 1 == steps.len().min(6);
        let length = if last {
            unit - usize::from(*short).min(unit - 1)
        } else {
            unit
        };
        let at = usize::try_from(index).unwrap();
        let mut sealed = vec![0; length + 16];
        GCM.seal_to(
            &nonce,
            &[],
            &content(at + 5000)[at..at + length],
            &mut sealed,
        )
        .unwrap();
        let mut region = [&nonce[..], &sealed].concat();
        if *flip > 0 {
            let at = usize::from(*flip) % region.len();
            region[at] ^= 1;
        }
        genuine &= index == place && *flip == 0;
        blob.append(&mut region);
    }
    (blob, genuine)
}
