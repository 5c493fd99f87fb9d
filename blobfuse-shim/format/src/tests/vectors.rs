//! The vectors of `tests/vectors/blob-format`, which an independent program made from the published layout.

use std::collections::BTreeMap;
use std::sync::Arc;

use cleanroom_crypto::{Zeroizing, digest, kdf};
use serde::Deserialize;

use super::{dek, pattern, read, read_range, recorded_draft, size};
use crate::azure::{self, FileAzure, Integrity, RegionSize, Stored};
use crate::manifest::{Entry, Manifest, ManifestHmac};
use crate::v1::{BlockCipher, BlockSize, FileV1};
use crate::v2::{FileKeys, key_id};
use crate::{Attributes, FormatError, Header, Params, Reader, View};

macro_rules! vectors {
    ($name:literal) => {
        serde_json::from_str(include_str!(concat!(
            "../../../../tests/vectors/blob-format/",
            $name
        )))
        .unwrap()
    };
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct V2 {
    files: Vec<FileV2>,
    refused: Refused,
    invalid_lengths: Vec<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileV2 {
    path: Option<String>,
    segment_exponent: u8,
    extent_exponent: u8,
    file_id: String,
    generation: u64,
    mtime_ns: u64,
    mode: u32,
    key_id: String,
    keys: BTreeMap<String, String>,
    extent_keys: Vec<String>,
    salts: Vec<String>,
    mac: String,
    name_tag: String,
    clear_length: usize,
    blob_length: u64,
    blob_sha256: String,
    clear: Option<String>,
    blob: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    file: usize,
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    what: String,
    offset: usize,
    xor: u8,
    error: String,
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

/// Writes the file as a mount does that has all extents at hand.
fn write(file: &FileV2, clear: &[u8]) -> Vec<u8> {
    let params = Params::new(file.segment_exponent, file.extent_exponent).unwrap();
    let mut draft = recorded_draft(params, file.path.as_deref(), array(&file.file_id));
    let mut blob = draft.header().to_vec();
    for (index, clear) in (0..).zip(clear.chunks(size(params.extent()))) {
        let range = params.sealed_extent_range(index, file.clear_length as u64);
        assert_eq!(range.start, blob.len() as u64);
        let mut sealed = vec![0; size(range.end - range.start)];
        let extent = draft.seal(index, clear, &mut sealed).unwrap();
        draft.place(extent).unwrap();
        blob.append(&mut sealed);
    }
    let attributes = Attributes {
        mtime_ns: file.mtime_ns,
        mode: file.mode,
    };
    for _ in 1..file.generation {
        draft.commit(clear.len() as u64, attributes).unwrap();
    }
    let mut committed = draft.commit(clear.len() as u64, attributes).unwrap();
    assert_eq!(hex::encode(committed.footer.mac), file.mac);
    assert_eq!(hex::encode(committed.footer.name_tag), file.name_tag);
    blob.append(&mut committed.tail);
    blob
}

#[test]
fn v2_files_are_written_and_read_to_the_byte() {
    let vectors: V2 = vectors!("v2.json");
    assert_eq!(vectors.files.len(), 21);
    for file in &vectors.files {
        let clear = match &file.clear {
            Some(clear) => hex::decode(clear).unwrap(),
            None => pattern(file.clear_length),
        };
        let blob = write(file, &clear);
        assert_eq!(blob.len() as u64, file.blob_length);
        assert_eq!(hex::encode(digest::sha256(&blob)), file.blob_sha256);
        if let Some(expected) = &file.blob {
            assert_eq!(&hex::encode(&blob), expected);
        }
        assert!(read(&blob, file.path.as_deref()).unwrap() == clear);
        let params = Params::new(file.segment_exponent, file.extent_exponent).unwrap();
        assert_eq!(params.clear_len(file.blob_length), Ok(clear.len() as u64));
        let view = View::open(&dek(), file.blob_length, &blob, file.path.as_deref()).unwrap();
        assert_eq!(view.footer().generation, file.generation);
    }
}

#[test]
fn v2_keys_are_derived_to_the_bit() {
    let vectors: V2 = vectors!("v2.json");
    for file in &vectors.files {
        let header = Header {
            params: Params::new(file.segment_exponent, file.extent_exponent).unwrap(),
            name_bound: file.path.is_some(),
            file_id: array(&file.file_id),
        };
        let prk = kdf::hkdf_extract_sha256(&header.file_id, dek().expose());
        assert_eq!(hex::encode(*prk), file.keys["prk"]);
        let keys = FileKeys::derive(&dek(), &header).unwrap();
        assert_eq!(hex::encode(*keys.extents), file.keys["extentRoot"]);
        assert_eq!(hex::encode(*keys.commit), file.keys["commit"]);
        assert_eq!(hex::encode(key_id(&dek()).unwrap()), file.key_id);
        for (index, (salt, key)) in (0..).zip(file.salts.iter().zip(&file.extent_keys)) {
            let derived = keys.extent_key(index, &array(salt)).unwrap();
            assert_eq!(&hex::encode(*derived), key);
        }
    }
}

#[test]
fn v2_changes_are_refused_as_recorded() {
    let vectors: V2 = vectors!("v2.json");
    let file = &vectors.files[vectors.refused.file];
    let blob = hex::decode(file.blob.as_ref().unwrap()).unwrap();
    for change in &vectors.refused.changes {
        let mut changed = blob.clone();
        changed[change.offset] ^= change.xor;
        let kind = match read(&changed, file.path.as_deref()).unwrap_err() {
            FormatError::Foreign => "foreign",
            FormatError::Length { .. } => "length",
            FormatError::Unsupported(_) => "unsupported",
            FormatError::WrongKey => "key",
            FormatError::Footer => "footer",
            FormatError::Content { .. } => "content",
            FormatError::Header => "header",
            other => panic!("{}: {other}", change.what),
        };
        assert_eq!(kind, change.error, "{}", change.what);
    }
    for blob in vectors.invalid_lengths {
        let length = Params::default().clear_len(blob);
        assert_eq!(length, Err(FormatError::Length { blob }));
    }
}

#[derive(Deserialize)]
struct V1 {
    files: Vec<RecordedV1>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordedV1 {
    block_mib: u8,
    clear_length: usize,
    clear: Option<String>,
    blob_length: u64,
    blob_sha256: String,
    trailer: String,
    first_chunk: Option<Chunk>,
}

#[derive(Deserialize)]
struct Chunk {
    nonce: String,
    cipher: String,
    tag: String,
}

#[test]
fn v1_files_are_written_and_read_to_the_byte() {
    let vectors: V1 = vectors!("v1.json");
    assert_eq!(vectors.files.len(), 15);
    for file in &vectors.files {
        let clear = match &file.clear {
            Some(clear) => hex::decode(clear).unwrap(),
            None => pattern(file.clear_length),
        };
        let block = BlockSize::from_mib(file.block_mib).unwrap();
        let cipher = Arc::new(BlockCipher::new(&dek(), block).unwrap());
        let mut blob = Vec::new();
        for (number, clear) in (1_u64..).zip(clear.chunks(size(block.bytes()))) {
            let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
            let mut sealed = vec![1; size(block.sealed())];
            cipher
                .seal_with([0, 0, 0, 0, a, b, c, d, e, f, g, h], clear, &mut sealed)
                .unwrap();
            blob.append(&mut sealed);
        }
        if let Some(chunk) = &file.first_chunk {
            let tag = size(block.bytes()) + 12;
            assert_eq!(hex::encode(&blob[..12]), chunk.nonce);
            assert_eq!(hex::encode(&blob[12..44]), chunk.cipher);
            assert_eq!(hex::encode(&blob[tag..tag + 16]), chunk.tag);
        }
        let trailer = block.trailer(clear.len() as u64);
        assert_eq!(hex::encode(trailer), file.trailer);
        blob.extend_from_slice(&trailer);
        assert_eq!(block.blob_len(clear.len() as u64), Ok(file.blob_length));
        assert_eq!(blob.len() as u64, file.blob_length);
        assert_eq!(hex::encode(digest::sha256(&blob)), file.blob_sha256);

        let opened = FileV1::open(cipher, file.blob_length, &trailer).unwrap();
        assert!(read_range(&opened, &blob, 0..opened.len()).unwrap() == clear);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Azure {
    content_key: String,
    key_id: String,
    name: String,
    region_length: u32,
    encryption_data: String,
    encryption_data20: String,
    files: Vec<RecordedAzure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordedAzure {
    clear_length: usize,
    body_length: u64,
    seal: String,
    python: String,
    java: String,
    dotnet: String,
}

#[test]
fn azure_blobs_are_written_as_the_python_sdk_does_and_read_from_all_three() {
    let vectors: Azure = vectors!("azure.json");
    let region = RegionSize::new(vectors.region_length).unwrap();
    assert_eq!(vectors.files.len(), 5);
    for file in &vectors.files {
        let clear = pattern(file.clear_length);
        let key = Zeroizing::new(array(&vectors.content_key));
        let mut draft = azure::Draft::with(&dek(), &vectors.key_id, region, key).unwrap();
        let mut body = Vec::new();
        for clear in clear.chunks(size(region.bytes())) {
            let ticket = draft.next_region(clear.len() as u64).unwrap();
            let mut sealed = vec![0; size(RegionSize::sealed_len(clear.len() as u64))];
            ticket.seal(clear, &mut sealed).unwrap();
            body.append(&mut sealed);
        }
        assert_eq!(hex::encode(digest::sha256(&body)), file.python);
        assert_eq!(region.blob_len(clear.len() as u64), Ok(file.body_length));
        let metadata = draft.finish(&dek(), &vectors.name).unwrap();
        assert_eq!(metadata.encryption_data, vectors.encryption_data);
        assert_eq!(metadata.seal, file.seal);

        let stored = Stored {
            blob_len: file.body_length,
            encryption_data: Some(&vectors.encryption_data),
            seal: Some(&file.seal),
        };
        let open = |integrity| {
            FileAzure::open(&dek(), &vectors.key_id, &vectors.name, &stored, integrity).unwrap()
        };
        let opened = open(Integrity::Sealed);
        assert!(read_range(&opened, &body, 0..opened.len()).unwrap() == clear);
        let opened = open(Integrity::Foreign);
        for (writer, sha256) in [
            (java as fn(u64) -> [u8; 12], &file.java),
            (dotnet, &file.dotnet),
        ] {
            let body = reseal(&array(&vectors.content_key), &clear, region, writer);
            assert_eq!(&hex::encode(digest::sha256(&body)), sha256);
            assert!(read_range(&opened, &body, 0..opened.len()).unwrap() == clear);
        }
    }
}

#[test]
fn the_envelope_of_version_2_0_is_read_too() {
    let vectors: Azure = vectors!("azure.json");
    let clear = pattern((4 << 20) + 5);
    let body = reseal(
        &array(&vectors.content_key),
        &clear,
        RegionSize::default(),
        java,
    );
    let stored = Stored {
        blob_len: body.len() as u64,
        encryption_data: Some(&vectors.encryption_data20),
        seal: None,
    };
    let opened =
        FileAzure::open(&dek(), &vectors.key_id, "any", &stored, Integrity::Foreign).unwrap();
    assert!(read_range(&opened, &body, 0..opened.len()).unwrap() == clear);
}

fn java(index: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&index.to_be_bytes());
    nonce
}

fn dotnet(index: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&(index + 1).to_le_bytes());
    nonce
}

/// A body with the nonces of another SDK.
fn reseal(
    key: &[u8; 32],
    clear: &[u8],
    region: RegionSize,
    nonce: impl Fn(u64) -> [u8; 12],
) -> Vec<u8> {
    let mut body = Vec::new();
    for (index, clear) in (0..).zip(clear.chunks(size(region.bytes()))) {
        let mut sealed = clear.to_vec();
        cleanroom_crypto::second::seal(key, &nonce(index), &[], &mut sealed).unwrap();
        body.extend_from_slice(&nonce(index));
        body.append(&mut sealed);
    }
    body
}

#[derive(Deserialize)]
struct Manifests {
    entries: Vec<RecordedEntry>,
    lists: Vec<List>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordedEntry {
    path: String,
    length: u64,
    file_id: String,
    generation: u64,
    authenticator: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    entries: usize,
    encoded: String,
    head: String,
    manifest_hmac: String,
}

#[test]
fn manifests_have_the_recorded_bytes_and_heads() {
    let vectors: Manifests = vectors!("manifest.json");
    let entry = |recorded: &RecordedEntry| Entry {
        path: recorded.path.clone(),
        length: recorded.length,
        file_id: array(&recorded.file_id),
        generation: recorded.generation,
        authenticator: array(&recorded.authenticator),
    };
    assert_eq!(vectors.lists.len(), 8);
    for list in &vectors.lists {
        let entries = vectors.entries[..list.entries].iter().map(entry).collect();
        let manifest = Manifest::new(entries).unwrap();
        assert_eq!(hex::encode(manifest.encode()), list.encoded);
        assert_eq!(hex::encode(manifest.head()), list.head);
        assert_eq!(
            manifest.hmac(&dek()).unwrap().to_string(),
            list.manifest_hmac
        );
        let decoded = Manifest::decode(&hex::decode(&list.encoded).unwrap()).unwrap();
        assert_eq!(decoded, manifest);
        let pinned: ManifestHmac = list.manifest_hmac.parse().unwrap();
        decoded.pin(&dek(), &pinned).unwrap();
    }
}
