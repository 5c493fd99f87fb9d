//! Whole blobs, ranges, checksums.

use crate::calls::{call, id, put, with_container};

#[tokio::test]
async fn a_put_blob_reads_back_whole_and_in_ranges() {
    let blob = with_container().await;
    let written = put(&blob, "/data/a%20b/%C3%A9.txt", b"0123456789").await;
    assert_eq!(written.status, 201);
    let whole = call(&blob, "GET", "/data/a%20b/%C3%A9.txt")
        .with("x-ms-client-request-id", "17")
        .send()
        .await;
    assert_eq!(
        (whole.status.as_u16(), whole.body.as_ref()),
        (200, b"0123456789".as_ref())
    );
    assert_eq!(whole.header("etag"), written.header("etag"));
    assert_eq!(whole.header("content-md5"), written.header("content-md5"));
    assert_eq!(
        (
            whole.header("x-ms-version"),
            whole.header("x-ms-client-request-id")
        ),
        ("2021-12-02", "17")
    );
    assert!(!whole.header("x-ms-request-id").is_empty());
    for (range, body, says) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
    ] {
        let part = call(&blob, "GET", "/data/a%20b/%C3%A9.txt")
            .with("x-ms-range", range)
            .send()
            .await;
        assert_eq!(
            (part.status.as_u16(), part.text().as_str()),
            (206, body),
            "{range}"
        );
        assert_eq!(part.header("content-range"), says);
        assert_eq!(
            part.header("x-ms-blob-content-md5"),
            written.header("content-md5")
        );
    }
    let head = call(&blob, "HEAD", "/data/a%20b/%C3%A9.txt")
        .with("x-ms-range", "bytes=0-1")
        .send()
        .await;
    assert_eq!(
        (head.status.as_u16(), head.header("content-length")),
        (200, "10")
    );
}

#[tokio::test]
async fn ranges_beyond_the_end_and_suffix_ranges_are_refused() {
    let blob = with_container().await;
    put(&blob, "/data/a", b"0123456789").await;
    put(&blob, "/data/empty", b"").await;
    let range = async |path: &str, name: &str, range: &str| {
        call(&blob, "GET", path).with(name, range).send().await
    };
    let beyond = range("/data/a", "range", "bytes=10-").await;
    assert_eq!(beyond.refusal(), (416, "InvalidRange"));
    assert_eq!(beyond.header("content-range"), "bytes */10");
    assert_eq!(
        range("/data/empty", "x-ms-range", "bytes=0-")
            .await
            .refusal(),
        (416, "InvalidRange")
    );
    assert_eq!(
        range("/data/a", "x-ms-range", "bytes=-3").await.refusal(),
        (400, "InvalidHeaderValue")
    );
    // The x-ms header wins over the standard one.
    let both = call(&blob, "GET", "/data/a")
        .with("range", "bytes=90-")
        .with("x-ms-range", "bytes=0-0")
        .send()
        .await;
    assert_eq!((both.status.as_u16(), both.text().as_str()), (206, "0"));
}

#[tokio::test]
async fn checksums_are_computed_for_ranges_and_verified_on_the_way_in() {
    let blob = with_container().await;
    put(&blob, "/data/a", b"123456789").await;
    let part = call(&blob, "GET", "/data/a")
        .with("x-ms-range", "bytes=0-")
        .with("x-ms-range-get-content-crc64", "true");
    assert_eq!(
        part.send().await.header("x-ms-content-crc64"),
        "iJh5CoYUi64="
    );
    let block = |crc: &str, body: &[u8]| {
        let path = format!("/data/b?comp=block&blockid={}", id(1));
        call(&blob, "PUT", &path)
            .with("x-ms-content-crc64", crc)
            .body(body)
    };
    assert_eq!(block("iJh5CoYUi64=", b"123456789").send().await.status, 201);
    assert_eq!(
        block("iJh5CoYUi64=", b"123456780").send().await.refusal(),
        (400, "Crc64Mismatch")
    );
    let md5 = |body: &[u8]| {
        let md5 = "JfnnlDI7RTiF9RgfG2JNCw==";
        call(&blob, "PUT", "/data/c")
            .with("x-ms-blob-type", "BlockBlob")
            .with("content-md5", md5)
            .body(body)
    };
    assert_eq!(md5(b"123456789").send().await.status, 201);
    assert_eq!(
        md5(b"123456780").send().await.refusal(),
        (400, "Md5Mismatch")
    );
    put(&blob, "/data/big", &vec![1; (4 << 20) + 1]).await;
    let large = call(&blob, "GET", "/data/big")
        .with("x-ms-range", "bytes=0-")
        .with("x-ms-range-get-content-crc64", "true");
    assert_eq!(large.send().await.refusal(), (400, "OutOfRangeInput"));
}
