//! Blob storage as the mount and the owner's command meet it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]
use std::sync::Arc;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use emulators::blob::{Blob, Caller};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|v| v.to_str().unwrap())
            .unwrap_or_default()
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    /// Status and error code, as the tables give them.
    fn refusal(&self) -> (u16, &str) {
        (self.status.as_u16(), self.header("x-ms-error-code"))
    }
}

/// Tokens are `<tenant>/<client>`.
fn storage() -> Blob {
    let blob = Blob::new(Arc::new(|token| {
        let (tenant, client) = token.split_once('/').ok_or("malformed token")?;
        Ok(Caller {
            tenant_id: tenant.to_owned(),
            client_id: client.to_owned(),
        })
    }));
    blob.add_account("litwarestore", "litware", &["guest".to_owned()]);
    blob
}

struct Call<'a> {
    blob: &'a Blob,
    request: http::request::Builder,
    body: Vec<u8>,
    length: bool,
}

fn call<'a>(blob: &'a Blob, method: &str, path: &str) -> Call<'a> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "litwarestore.blob.core.windows.net:4443");
    let request = request
        .header("authorization", "Bearer litware/owner")
        .header("x-ms-version", "2021-12-02");
    Call {
        blob,
        request,
        body: Vec::new(),
        length: true,
    }
}

impl Call<'_> {
    fn with(mut self, name: &str, value: &str) -> Self {
        let headers = self.request.headers_mut().unwrap();
        headers.insert(
            http::HeaderName::try_from(name).unwrap(),
            value.parse().unwrap(),
        );
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.request.headers_mut().unwrap().remove(name);
        self
    }

    fn key(self, key: &[u8; 32]) -> Self {
        self.with("x-ms-encryption-key", &STANDARD.encode(key))
            .with(
                "x-ms-encryption-key-sha256",
                &STANDARD.encode(Sha256::digest(key)),
            )
            .with("x-ms-encryption-algorithm", "AES256")
    }

    fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// As a client that leaves out the length of nothing.
    fn without_length(mut self) -> Self {
        self.length = false;
        self
    }

    async fn send(mut self) -> Answer {
        if self.length {
            let length = self.body.len().to_string();
            self = self.with("content-length", &length);
        }
        let request = self.request.body(Body::from(self.body)).unwrap();
        let response = self.blob.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }
}

async fn put(blob: &Blob, path: &str, body: &[u8]) -> Answer {
    call(blob, "PUT", path)
        .with("x-ms-blob-type", "BlockBlob")
        .body(body)
        .send()
        .await
}

async fn with_container() -> Blob {
    let blob = storage();
    assert_eq!(
        call(&blob, "PUT", "/data?restype=container")
            .send()
            .await
            .status,
        201
    );
    blob
}

fn id(n: u64) -> String {
    STANDARD
        .encode(n.to_be_bytes())
        .replace('+', "%2B")
        .replace('=', "%3D")
}

async fn stage(blob: &Blob, path: &str, n: u64, body: &[u8]) -> Answer {
    call(blob, "PUT", &format!("{path}?comp=block&blockid={}", id(n)))
        .body(body)
        .send()
        .await
}

fn list_of(ids: &[(&str, u64)]) -> String {
    let items = ids
        .iter()
        .map(|(tag, n)| format!("<{tag}>{}</{tag}>", STANDARD.encode(n.to_be_bytes())));
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{}</BlockList>",
        items.collect::<String>()
    )
}

async fn commit(blob: &Blob, path: &str, ids: &[(&str, u64)]) -> Answer {
    call(blob, "PUT", &format!("{path}?comp=blocklist"))
        .body(list_of(ids))
        .send()
        .await
}

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

#[tokio::test]
async fn a_block_list_commits_in_its_order_and_discards_the_rest() {
    let blob = with_container().await;
    for (n, body) in [(1, "one"), (2, "two"), (3, "three")] {
        assert_eq!(
            stage(&blob, "/data/a", n, body.as_bytes()).await.status,
            201
        );
    }
    assert_eq!(
        call(&blob, "GET", "/data/a").send().await.refusal(),
        (404, "BlobNotFound")
    );
    let before = call(&blob, "GET", "/data/a?comp=blocklist&blocklisttype=all")
        .send()
        .await
        .text();
    assert!(
        before.contains("<CommittedBlocks></CommittedBlocks>")
            && before.matches("<Block>").count() == 3,
        "{before}"
    );
    let done = call(&blob, "PUT", "/data/a?comp=blocklist").with("x-ms-meta-kind", "test");
    assert_eq!(
        done.body(list_of(&[("Latest", 3), ("Uncommitted", 1)]))
            .send()
            .await
            .status,
        201
    );
    let whole = call(&blob, "GET", "/data/a").send().await;
    assert_eq!(
        (whole.text().as_str(), whole.header("x-ms-meta-kind")),
        ("threeone", "test")
    );
    // Block 2 was staged and not named.
    assert_eq!(
        commit(&blob, "/data/a", &[("Latest", 2)]).await.refusal(),
        (400, "InvalidBlockList")
    );
    // Committed blocks can be committed again, beside new ones; metadata not sent is gone.
    stage(&blob, "/data/a", 4, b"four").await;
    assert_eq!(
        commit(
            &blob,
            "/data/a",
            &[("Committed", 1), ("Latest", 4), ("Latest", 3)]
        )
        .await
        .status,
        201
    );
    let whole = call(&blob, "GET", "/data/a").send().await;
    assert_eq!(
        (whole.text().as_str(), whole.header("x-ms-meta-kind")),
        ("onefourthree", "")
    );
    let across = call(&blob, "GET", "/data/a")
        .with("x-ms-range", "bytes=2-7")
        .send()
        .await;
    assert_eq!(across.text(), "efourt");
}

#[tokio::test]
async fn of_two_writers_the_second_commit_finds_its_blocks_gone() {
    let blob = with_container().await;
    stage(&blob, "/data/a", 1, b"mine").await;
    stage(&blob, "/data/a", 2, b"theirs").await;
    assert_eq!(commit(&blob, "/data/a", &[("Latest", 1)]).await.status, 201);
    assert_eq!(
        commit(&blob, "/data/a", &[("Latest", 2)]).await.refusal(),
        (400, "InvalidBlockList")
    );
    assert_eq!(blob.content("litwarestore", "data", "a").unwrap(), b"mine");
}

#[tokio::test]
async fn block_ids_are_base64_and_of_one_length() {
    let blob = with_container().await;
    stage(&blob, "/data/a", 1, b"x").await;
    let other = async |id: &str| {
        call(&blob, "PUT", &format!("/data/a?comp=block&blockid={id}"))
            .body("x")
            .send()
            .await
    };
    assert_eq!(other("AAAA").await.refusal(), (400, "InvalidBlobOrBlock"));
    assert_eq!(
        other("***").await.refusal(),
        (400, "InvalidQueryParameterValue")
    );
    assert_eq!(
        other("").await.refusal(),
        (400, "InvalidQueryParameterValue")
    );
    commit(&blob, "/data/a", &[("Latest", 1)]).await;
    // Also against the blocks that are committed.
    assert_eq!(other("AAAA").await.refusal(), (400, "InvalidBlobOrBlock"));
    let broken = call(&blob, "PUT", "/data/a?comp=blocklist")
        .body("<BlockList><Latest>")
        .send()
        .await;
    assert_eq!(broken.refusal(), (400, "InvalidXmlDocument"));
}

#[tokio::test]
async fn a_customers_key_is_needed_wherever_its_blob_is_touched() {
    let blob = with_container().await;
    let (key, other) = ([7; 32], [8; 32]);
    let written = call(&blob, "PUT", "/data/a")
        .with("x-ms-blob-type", "BlockBlob")
        .key(&key)
        .body("secret")
        .send()
        .await;
    assert_eq!(written.status, 201);
    assert_eq!(
        written.header("x-ms-encryption-key-sha256"),
        STANDARD.encode(Sha256::digest(key))
    );
    let missing = (409, "BlobUsesCustomerSpecifiedEncryption");
    let wrong = (409, "BlobCustomerSpecifiedEncryptionMismatch");
    for method in ["GET", "HEAD"] {
        assert_eq!(
            call(&blob, method, "/data/a").send().await.refusal(),
            missing
        );
        assert_eq!(
            call(&blob, method, "/data/a")
                .key(&other)
                .send()
                .await
                .refusal(),
            wrong
        );
        let read = call(&blob, method, "/data/a").key(&key).send().await;
        assert_eq!(read.status, 200);
        assert_eq!(
            read.header("x-ms-encryption-key-sha256"),
            written.header("x-ms-encryption-key-sha256")
        );
    }
    assert_eq!(
        call(&blob, "PUT", "/data/a?comp=metadata")
            .send()
            .await
            .refusal(),
        missing
    );
    assert_eq!(
        call(&blob, "PUT", "/data/a?comp=metadata")
            .key(&key)
            .send()
            .await
            .status,
        200
    );
    put(&blob, "/data/plain", b"x").await;
    let needless = call(&blob, "GET", "/data/plain").key(&key).send().await;
    assert_eq!(
        needless.refusal(),
        (409, "BlobDoesNotUseCustomerSpecifiedEncryption")
    );
}

#[tokio::test]
async fn a_write_without_a_length_is_refused_even_of_nothing() {
    let blob = with_container().await;
    let write = || call(&blob, "PUT", "/data/empty").with("x-ms-blob-type", "BlockBlob");
    assert_eq!(
        write().without_length().send().await.refusal(),
        (411, "MissingContentLengthHeader")
    );
    assert_eq!(write().send().await.status, 201);
}

#[tokio::test]
async fn blocks_and_their_commit_use_one_key() {
    let blob = with_container().await;
    let (key, other) = ([7; 32], [8; 32]);
    let stage = async |n: u64, key: &[u8; 32]| {
        call(
            &blob,
            "PUT",
            &format!("/data/a?comp=block&blockid={}", id(n)),
        )
        .key(key)
        .body("x")
        .send()
        .await
    };
    let commit = || call(&blob, "PUT", "/data/a?comp=blocklist").body(list_of(&[("Latest", 1)]));
    assert_eq!(stage(1, &key).await.status, 201);
    assert_eq!(
        stage(2, &other).await.refusal(),
        (409, "BlobCustomerSpecifiedEncryptionMismatch")
    );
    assert_eq!(
        commit().send().await.refusal(),
        (409, "BlobUsesCustomerSpecifiedEncryption")
    );
    assert_eq!(
        commit().key(&other).send().await.refusal(),
        (409, "BlobCustomerSpecifiedEncryptionMismatch")
    );
    assert_eq!(commit().key(&key).send().await.status, 201);
}

#[tokio::test]
async fn incomplete_or_inconsistent_keys_are_refused() {
    let blob = with_container().await;
    let write = || {
        call(&blob, "PUT", "/data/a")
            .with("x-ms-blob-type", "BlockBlob")
            .key(&[7; 32])
    };
    for header in [
        "x-ms-encryption-key",
        "x-ms-encryption-key-sha256",
        "x-ms-encryption-algorithm",
    ] {
        assert_eq!(
            write().without(header).send().await.refusal(),
            (400, "MissingRequiredHeader"),
            "{header}"
        );
    }
    let hash = STANDARD.encode(Sha256::digest([8; 32]));
    let inconsistent = write()
        .with("x-ms-encryption-key-sha256", &hash)
        .send()
        .await;
    assert_eq!(inconsistent.refusal(), (400, "InvalidHeaderValue"));
    let short = write()
        .with("x-ms-encryption-key", &STANDARD.encode([7; 16]))
        .send()
        .await;
    assert_eq!(short.refusal(), (400, "InvalidHeaderValue"));
    assert_eq!(
        write()
            .with("x-ms-encryption-algorithm", "AES128")
            .send()
            .await
            .refusal(),
        (400, "InvalidHeaderValue")
    );
    assert!(blob.names("litwarestore", "data").is_empty());
}

fn names(xml: &str) -> Vec<String> {
    xml.split("<Name>")
        .skip(1)
        .map(|rest| rest.split("</Name>").next().unwrap().to_owned())
        .collect()
}

fn marker(xml: &str) -> Option<String> {
    Some(
        xml.split("<NextMarker>")
            .nth(1)?
            .split("</NextMarker>")
            .next()?
            .to_owned(),
    )
}

#[tokio::test]
async fn a_listing_pages_through_names_and_prefixes_once_each() {
    let blob = with_container().await;
    for name in [
        "a", "dir/1", "dir/2", "dir/3", "dir.txt", "z/deep/1", "z/deep/2", "zz",
    ] {
        put(&blob, &format!("/data/{name}"), name.as_bytes()).await;
    }
    stage(&blob, "/data/only-staged", 1, b"x").await;
    let collect = async |query: &str| {
        let (mut found, mut pages, mut next) = (Vec::new(), 0, None::<String>);
        loop {
            let from = next.map(|m| format!("&marker={m}")).unwrap_or_default();
            let page = call(
                &blob,
                "GET",
                &format!("/data?restype=container&comp=list{query}{from}"),
            )
            .send()
            .await
            .text();
            found.extend(names(&page));
            pages += 1;
            match marker(&page) {
                Some(more) => next = Some(more),
                None => return (found, pages),
            }
        }
    };
    let all = [
        "a", "dir.txt", "dir/1", "dir/2", "dir/3", "z/deep/1", "z/deep/2", "zz",
    ];
    assert_eq!(collect("").await, (all.map(str::to_owned).to_vec(), 1));
    assert_eq!(
        collect("&maxresults=3").await,
        (all.map(str::to_owned).to_vec(), 3)
    );
    let top = ["a", "dir.txt", "dir/", "z/", "zz"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(collect("&delimiter=/").await, (top.clone(), 1));
    assert_eq!(collect("&delimiter=/&maxresults=1").await, (top, 5));
    assert_eq!(
        collect("&prefix=dir/&delimiter=/").await.0,
        ["dir/1", "dir/2", "dir/3"]
    );
    assert_eq!(collect("&prefix=none").await.0, [""; 0]);
    blob.begin_listings_empty("litwarestore", true);
    assert_eq!(collect("").await, (all.map(str::to_owned).to_vec(), 2));
}

#[tokio::test]
async fn a_listing_shows_metadata_but_not_that_of_blobs_under_a_key() {
    let blob = with_container().await;
    let write = |path: &str| {
        call(&blob, "PUT", path)
            .with("x-ms-blob-type", "BlockBlob")
            .with("x-ms-meta-kind", "a<b")
    };
    write("/data/open").send().await;
    write("/data/closed").key(&[7; 32]).send().await;
    let list = async |query: &str| {
        call(
            &blob,
            "GET",
            &format!("/data?restype=container&comp=list{query}"),
        )
        .send()
        .await
    };
    let text = list("&include=metadata").await.text();
    assert_eq!(text.matches("<kind>a&lt;b</kind>").count(), 1);
    assert_eq!(text.matches("<CustomerProvidedKeySha256>").count(), 1);
    assert!(text.contains("ServiceEndpoint=\"https://litwarestore.blob.core.windows.net:4443/\""));
    assert!(!list("").await.text().contains("<Metadata>"));
    // Mounts tell flat accounts from hierarchical ones by this refusal.
    assert_eq!(
        list("&include=permissions").await.refusal(),
        (400, "InvalidQueryParameterValue")
    );
    assert_eq!(
        list("&maxresults=0").await.refusal(),
        (400, "InvalidQueryParameterValue")
    );
    assert_eq!(
        list("&marker=***").await.refusal(),
        (400, "InvalidQueryParameterValue")
    );
}

#[tokio::test]
async fn names_that_xml_cannot_carry_are_listed_encoded() {
    let blob = with_container().await;
    put(&blob, "/data/a%01b", b"x").await;
    put(&blob, "/data/a%26b", b"x").await;
    let text = call(&blob, "GET", "/data?restype=container&comp=list")
        .send()
        .await
        .text();
    assert!(
        text.contains("<Name Encoded=\"true\">a%01b</Name>")
            && text.contains("<Name>a&amp;b</Name>"),
        "{text}"
    );
}

#[tokio::test]
async fn callers_without_a_token_or_a_role_are_refused() {
    let blob = with_container().await;
    put(&blob, "/data/a", b"x").await;
    let read = || call(&blob, "GET", "/data/a");
    let none = read().without("authorization").send().await;
    assert_eq!(none.refusal(), (401, "NoAuthenticationInformation"));
    assert!(none.header("www-authenticate").starts_with("Bearer"));
    let bad = read().with("authorization", "Bearer nonsense").send().await;
    assert_eq!(bad.refusal(), (401, "InvalidAuthenticationInfo"));
    let key = read()
        .with("authorization", "SharedKey litwarestore:AAAA")
        .send()
        .await;
    assert_eq!(key.refusal(), (401, "InvalidAuthenticationInfo"));
    let stranger = read()
        .with("authorization", "Bearer fabrikam/other")
        .send()
        .await;
    assert_eq!(stranger.refusal(), (403, "AuthorizationPermissionMismatch"));
    assert_eq!(
        read()
            .with("authorization", "Bearer fabrikam/guest")
            .send()
            .await
            .status,
        200
    );
    assert_eq!(
        read().without("x-ms-version").send().await.refusal(),
        (400, "InvalidHeaderValue")
    );
    let unknown = call(&blob, "GET", "/data/a")
        .with("host", "contosostore.blob.core.windows.net")
        .send()
        .await;
    assert_eq!(unknown.refusal(), (404, "ResourceNotFound"));
}

#[tokio::test]
async fn containers_live_and_die() {
    let blob = storage();
    let container = async |method: &str, name: &str| {
        call(&blob, method, &format!("/{name}?restype=container"))
            .send()
            .await
    };
    assert_eq!(
        container("HEAD", "data").await.refusal(),
        (404, "ContainerNotFound")
    );
    assert_eq!(
        put(&blob, "/data/a", b"x").await.refusal(),
        (404, "ContainerNotFound")
    );
    assert_eq!(container("PUT", "data").await.status, 201);
    assert_eq!(
        container("PUT", "data").await.refusal(),
        (409, "ContainerAlreadyExists")
    );
    assert_eq!(
        container("PUT", "Data").await.refusal(),
        (400, "InvalidResourceName")
    );
    assert_eq!(container("GET", "data").await.status, 200);
    assert_eq!(container("DELETE", "data").await.status, 202);
    assert_eq!(
        container("DELETE", "data").await.refusal(),
        (404, "ContainerNotFound")
    );
    assert!(container("HEAD", "data").await.body.is_empty());
}

#[tokio::test]
async fn the_static_web_site_shows_its_container_to_anyone() {
    let blob = storage();
    call(&blob, "PUT", "/$web?restype=container").send().await;
    let path = "/$web/issuer/.well-known/openid-configuration";
    let write = call(&blob, "PUT", path).with("x-ms-blob-type", "BlockBlob");
    write
        .with("x-ms-blob-content-type", "application/json")
        .body("{}")
        .send()
        .await;
    let web = async |method: &str, path: &str| {
        let request =
            call(&blob, method, path).with("host", "litwarestore.z1.web.core.windows.net:4443");
        request
            .without("authorization")
            .without("x-ms-version")
            .send()
            .await
    };
    let found = web("GET", "/issuer/.well-known/openid-configuration").await;
    assert_eq!((found.status.as_u16(), found.text().as_str()), (200, "{}"));
    assert_eq!(found.header("content-type"), "application/json");
    assert_eq!(web("GET", "/issuer/other").await.status, 404);
    assert_eq!(web("PUT", "/issuer/other").await.status, 405);
}

#[tokio::test]
async fn operations_it_does_not_do_are_refused_as_such() {
    let blob = with_container().await;
    put(&blob, "/data/a", b"x").await;
    let copy = call(&blob, "PUT", "/data/b").with(
        "x-ms-copy-source",
        "https://litwarestore.blob.core.windows.net/data/a",
    );
    assert_eq!(copy.send().await.refusal(), (501, "NotImplemented"));
    assert_eq!(
        call(&blob, "PUT", "/data/a?comp=lease")
            .send()
            .await
            .refusal(),
        (501, "NotImplemented")
    );
    assert_eq!(
        call(&blob, "PUT", "/data/a")
            .body("x")
            .send()
            .await
            .refusal(),
        (400, "MissingRequiredHeader")
    );
    let page = call(&blob, "PUT", "/data/a")
        .with("x-ms-blob-type", "PageBlob")
        .send()
        .await;
    assert_eq!(page.refusal(), (501, "NotImplemented"));
}

#[tokio::test]
async fn a_host_can_read_the_wire_tamper_and_roll_back() {
    let blob = with_container().await;
    put(&blob, "/data/a", b"clear text").await;
    assert!(blob.wire().contains(b"clear text"));
    assert!(!blob.wire().contains(b"cipher text"));
    let before = blob.snapshot("litwarestore", "data").unwrap();
    let etag = call(&blob, "HEAD", "/data/a")
        .send()
        .await
        .header("etag")
        .to_owned();
    assert!(blob.tamper("litwarestore", "data", "a", |bytes| bytes[0] ^= 1));
    let read = call(&blob, "GET", "/data/a")
        .with("if-match", &etag)
        .send()
        .await;
    assert_eq!(read.text(), "blear text");
    put(&blob, "/data/a", b"newer").await;
    blob.restore("litwarestore", "data", before);
    assert_eq!(
        call(&blob, "GET", "/data/a").send().await.text(),
        "clear text"
    );
}
