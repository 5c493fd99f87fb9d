//! Conditions of writes and reads.

use crate::calls::{call, list_of, put, stage, with_container};

#[tokio::test]
async fn writes_keep_their_conditions() {
    let blob = with_container().await;
    let write = async |name: &str, value: &str| {
        call(&blob, "PUT", "/data/a")
            .with("x-ms-blob-type", "BlockBlob")
            .with(name, value)
            .body("x")
            .send()
            .await
    };
    assert_eq!(
        write("if-match", "\"0x1\"").await.refusal(),
        (412, "ConditionNotMet")
    );
    let first = write("if-none-match", "*").await;
    assert_eq!(first.status, 201);
    assert_eq!(
        write("if-none-match", "*").await.refusal(),
        (409, "BlobAlreadyExists")
    );
    let second = write("if-match", first.header("etag")).await;
    assert_eq!(second.status, 201);
    assert_ne!(first.header("etag"), second.header("etag"));
    assert_eq!(
        write("if-match", first.header("etag")).await.refusal(),
        (412, "ConditionNotMet")
    );
    stage(&blob, "/data/a", 1, b"y").await;
    let stale = call(&blob, "PUT", "/data/a?comp=blocklist").with("if-match", first.header("etag"));
    assert_eq!(
        stale.body(list_of(&[("Latest", 1)])).send().await.refusal(),
        (412, "ConditionNotMet")
    );
    assert_eq!(blob.content("litwarestore", "data", "a").unwrap(), b"x");
    let delete = async |etag: &str| {
        call(&blob, "DELETE", "/data/a")
            .with("if-match", etag)
            .send()
            .await
    };
    assert_eq!(
        delete(first.header("etag")).await.refusal(),
        (412, "ConditionNotMet")
    );
    assert_eq!(delete(second.header("etag")).await.status, 202);
    assert_eq!(
        delete(second.header("etag")).await.refusal(),
        (404, "BlobNotFound")
    );
}

#[tokio::test]
async fn reads_keep_their_conditions() {
    let blob = with_container().await;
    let etag = put(&blob, "/data/a", b"x").await.header("etag").to_owned();
    let read = async |name: &str, value: &str| {
        call(&blob, "GET", "/data/a").with(name, value).send().await
    };
    assert_eq!(read("if-match", &etag).await.status, 200);
    assert_eq!(
        read("if-match", "\"0x1\"").await.refusal(),
        (412, "ConditionNotMet")
    );
    let unchanged = read("if-none-match", &etag).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
    assert_eq!(read("if-none-match", "\"0x1\"").await.status, 200);
    assert_eq!(
        read("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT")
            .await
            .status,
        412
    );
    assert_eq!(
        read("if-modified-since", "yesterday").await.refusal(),
        (400, "InvalidHeaderValue")
    );
}
