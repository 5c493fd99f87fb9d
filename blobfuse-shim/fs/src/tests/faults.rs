//! What storage does wrong reaches the application as an error, in bounded time, and is never forgotten.

use std::time::Duration;

use blob_store::testing::{Failure, Operation};
use blob_store::{BlobStore, Condition};
use bytes::Bytes;
use sidecar_http::Coded;

use super::{Fixture, SMALL, bytes, find, fixture, mount, read_file, write_file};
use crate::{FsError, Mode, ROOT};

#[tokio::test]
async fn a_commit_over_another_writers_version_fails_at_fsync_and_at_close() {
    for (mode, operation, length) in [
        (SMALL, Operation::Put, 100),
        (SMALL, Operation::BlockList, 60_000),
        (Mode::Cpk, Operation::Put, 100),
    ] {
        let Fixture { fs, memory, faulty } = fixture(mode);
        let (attr, opened) = fs.create(ROOT, "a").await.unwrap();
        fs.write(opened.handle, 0, &bytes(length, 1)).await.unwrap();
        faulty.fail(operation, Failure::Overtaken);
        assert_eq!(fs.flush(opened.handle).await, Err(FsError::Conflict));
        faulty.heal();
        assert_eq!(
            fs.flush(opened.handle).await,
            Err(FsError::Conflict),
            "sticky"
        );
        assert_eq!(FsError::Conflict.errno(), libc::EIO);
        assert_eq!(
            fs.write(opened.handle, 0, b"x").await,
            Err(FsError::Conflict)
        );
        let reader = fs.open(attr.ino, false, false).await;
        assert_eq!(reader.unwrap_err(), FsError::Conflict);
        fs.release(opened.handle).await.unwrap();
        assert_eq!(memory.bytes("a").unwrap(), b"another writer");
        assert_eq!(fs.lost(), 1);
        assert_eq!(fs.seal().await, Err(FsError::Lost(1)));
    }
}

#[tokio::test]
async fn an_upload_that_fails_is_reported_by_the_next_operation_and_by_close() {
    let Fixture { fs, faulty, memory } = fixture(SMALL);
    faulty.fail(Operation::Block, Failure::Down);
    let error = write_file(&fs, "a", &bytes(100_000, 1)).await.unwrap_err();
    assert_eq!((error.errno(), error.code()), (libc::EIO, "CR-BLOB-0013"));
    assert!(memory.names().is_empty(), "nothing half written is visible");
    faulty.heal();
    // A new attempt at the same path makes up for the loss.
    write_file(&fs, "a", b"again").await.unwrap();
    assert_eq!(fs.lost(), 0);
    assert_eq!(fs.seal().await.unwrap().files, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_gives_an_error_in_bounded_time() {
    let Fixture { fs, faulty, .. } = fixture(SMALL);
    write_file(&fs, "a", &bytes(400_000, 1)).await.unwrap();
    for operation in [Operation::Get, Operation::List, Operation::Head] {
        faulty.fail(operation, Failure::Hang);
        let started = tokio::time::Instant::now();
        let error = match operation {
            Operation::List => fs.probe().await.unwrap_err(),
            Operation::Head => fs.unlink(ROOT, "a").await.unwrap_err(),
            _ => read_file(&fs, "a").await.unwrap_err(),
        };
        assert_eq!((error.errno(), error.code()), (libc::EIO, "CR-BLOB-0015"));
        assert!(started.elapsed() <= Duration::from_secs(6), "{operation:?}");
        faulty.heal();
    }
    for operation in [Operation::Block, Operation::BlockList] {
        faulty.fail(operation, Failure::Hang);
        let error = write_file(&fs, "b", &bytes(60_000, 2)).await.unwrap_err();
        assert_eq!(error.code(), "CR-BLOB-0015");
        faulty.heal();
    }
}

#[tokio::test]
async fn changed_content_and_another_key_are_told_apart() {
    let Fixture { fs, memory, .. } = fixture(SMALL);
    write_file(&fs, "a", &bytes(300_000, 1)).await.unwrap();
    let wrong = mount(&memory, SMALL, 8, true);
    let error = read_file(&wrong, "a").await.unwrap_err();
    assert_eq!((error.errno(), error.code()), (libc::EIO, "CR-FORMAT-0004"));

    let good = mount(&memory, SMALL, 7, true);
    memory.tamper("a", |blob| blob[150_000] ^= 1);
    let error = read_file(&good, "a").await.unwrap_err();
    assert_eq!((error.errno(), error.code()), (libc::EIO, "CR-FORMAT-0006"));
    memory.tamper("a", |blob| blob.truncate(100_000));
    let error = read_file(&mount(&memory, SMALL, 7, true), "a")
        .await
        .unwrap_err();
    assert_eq!(error.errno(), libc::EIO);
    memory.tamper("a", Vec::clear);
    let error = read_file(&mount(&memory, SMALL, 7, true), "a")
        .await
        .unwrap_err();
    assert_eq!((error.errno(), error.code()), (libc::EIO, "CR-FORMAT-0002"));
}

#[tokio::test]
async fn a_file_exchanged_while_it_is_read_is_stale_and_never_mixed() {
    let Fixture { fs, memory, .. } = fixture(Mode::Cpk);
    write_file(&fs, "a", &bytes(300_000, 1)).await.unwrap();
    let reader = mount(&memory, Mode::Cpk, 7, true);
    let ino = find(&reader, "a").await.unwrap().ino;
    let handle = reader.open(ino, false, false).await.unwrap().handle;
    reader.read(handle, 0, 10).await.unwrap();
    let other = Bytes::from(bytes(300_000, 9));
    memory
        .put_blob("a", other, &Condition::Always)
        .await
        .unwrap();
    let error = reader.read(handle, 250_000, 10).await.unwrap_err();
    assert_eq!(
        (error.clone(), error.errno()),
        (FsError::Stale, libc::ESTALE)
    );
}

#[tokio::test]
async fn sequential_reads_need_few_requests_and_random_reads_small_ones() {
    let Fixture { fs, memory, .. } = fixture(Mode::Cpk);
    write_file(&fs, "a", &bytes(1 << 20, 1)).await.unwrap();
    let faulty = blob_store::testing::Faulty::new(memory);
    let options = crate::Options::default();
    let store = std::sync::Arc::new(faulty.clone());
    let reader = crate::FileSystem::new(store, super::dek(7), Mode::Cpk, options);
    let read = read_file(&reader, "a").await.unwrap();
    assert!(read == bytes(1 << 20, 1));
    let gets = faulty
        .log()
        .iter()
        .filter(|op| **op == Operation::Get)
        .count();
    assert!(gets <= 6, "{gets} requests for 350 reads");
}
