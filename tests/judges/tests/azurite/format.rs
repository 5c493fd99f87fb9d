//! Our file format over the service.

use crate::server::Azurite;
use blob_format::Params;
use blob_fs::{FileSystem, FsError, Kind, Mode, Options, ROOT};
use blob_store::AzureStore;
use cleanroom_crypto::Dek;
use http::{Method, StatusCode};
use sidecar_http::Coded;
use std::sync::Arc;

/// A mount of format v2 over a store.
fn mount(store: &AzureStore, key: u8, read_only: bool) -> FileSystem {
    let options = Options {
        read_only,
        ..Options::default()
    };
    let dek = Arc::new(Dek::from_slice(&[key; 32]).unwrap());
    FileSystem::new(
        Arc::new(store.clone()),
        dek,
        Mode::CseV2(Params::default()),
        options,
    )
}

async fn read_file(fs: &FileSystem, parent: u64, name: &str) -> Result<Vec<u8>, FsError> {
    let attr = fs.look_up(parent, name).await?;
    assert_eq!(attr.kind, Kind::File);
    let handle = fs.open(attr.ino, false, false).await?.handle;
    let mut out = Vec::new();
    let outcome = loop {
        match fs.read(handle, out.len() as u64, 128 << 10).await {
            Ok(part) if part.is_empty() => break Ok(()),
            Ok(part) => out.extend(part),
            Err(error) => break Err(error),
        }
    };
    fs.release(handle).await?;
    outcome.map(|()| out)
}

#[tokio::test]
async fn a_file_in_our_format_survives_and_the_service_sees_no_clear_text() {
    const MARK: &[u8] = b"the clear text nobody may see";
    let azurite = Azurite::start();
    let store = azurite.container("format").await;
    let clear: Vec<u8> = (0_u64..)
        .flat_map(|line| format!("{line:012} {}\n", str::from_utf8(MARK).unwrap()).into_bytes())
        .take((9 << 20) + 12_345)
        .collect();

    let fs = mount(&store, 7, false);
    let directory = fs.make_directory(ROOT, "out put").await.unwrap();
    let (_, opened) = fs.create(directory.ino, "ü%.csv").await.unwrap();
    for (number, part) in clear.chunks(128 << 10).enumerate() {
        let offset = (number * (128 << 10)) as u64;
        fs.write(opened.handle, offset, part).await.unwrap();
    }
    fs.flush(opened.handle).await.unwrap();
    fs.release(opened.handle).await.unwrap();
    let (_, empty) = fs.create(ROOT, "empty").await.unwrap();
    fs.flush(empty.handle).await.unwrap();
    fs.release(empty.handle).await.unwrap();
    let sealed = fs.seal().await.unwrap();
    assert_eq!((sealed.files, sealed.bytes), (2, clear.len() as u64));

    let wire = "format/out%20put/%C3%BC%25.csv";
    let stored = azurite.stored(wire).await;
    let expected = Params::default().blob_len(clear.len() as u64).unwrap();
    assert_eq!(stored.len() as u64, expected);
    let holds = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(holds(&clear, MARK) && !holds(&stored, MARK));
    assert!(!holds(&stored, &clear[..13]) && !holds(&stored, b"clear"));

    let reader = mount(&store, 7, true);
    let found = reader.look_up(ROOT, "out put").await.unwrap();
    assert_eq!(found.kind, Kind::Directory);
    let attr = reader.look_up(found.ino, "ü%.csv").await.unwrap();
    assert_eq!(attr.size, clear.len() as u64);
    assert!(read_file(&reader, found.ino, "ü%.csv").await.unwrap() == clear);
    assert!(read_file(&reader, ROOT, "empty").await.unwrap().is_empty());
    let handle = reader.open(attr.ino, false, false).await.unwrap().handle;
    let part = reader.read(handle, 4_194_300, 10).await.unwrap();
    assert_eq!(
        part,
        clear[4_194_300..4_194_310],
        "over the border of two extents"
    );
    reader.release(handle).await.unwrap();

    let stranger = mount(&store, 8, true);
    let parent = stranger.look_up(ROOT, "out put").await.unwrap().ino;
    let error = read_file(&stranger, parent, "ü%.csv").await.unwrap_err();
    assert_eq!(error.code(), "CR-FORMAT-0004");

    // One bit, changed where it is stored.
    let mut changed = stored.to_vec();
    changed[5 << 20] ^= 1;
    let kind = [("x-ms-blob-type", "BlockBlob")];
    let put = azurite.raw(Method::PUT, wire, &kind, changed.into()).await;
    assert_eq!(put.status, StatusCode::CREATED);
    let again = mount(&store, 7, true);
    let parent = again.look_up(ROOT, "out put").await.unwrap().ino;
    let error = read_file(&again, parent, "ü%.csv").await.unwrap_err();
    assert_eq!(error.code(), "CR-FORMAT-0006");
}
