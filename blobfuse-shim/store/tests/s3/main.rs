//! The S3 store against a service that says what each test wants; `blobfuse-shim/tests/s3` has a real one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

mod server;

use std::time::Duration;

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use blob_store::{BlobStore, BlockId, Condition, S3Config, S3Credentials, S3Store, StoreError};
use bytes::Bytes;
use sidecar_http::{Coded, HttpsClient, Trust};
use url::Url;
use zeroize::Zeroizing;

use server::{Seen, Server};

/// The least size of a part.
const PART: usize = 5 << 20;

fn ok(body: &str) -> Response {
    ([("etag", "\"v1\"")], body.to_owned()).into_response()
}

/// Of an operation that tells of its outcome in the body.
fn xml(body: &str) -> Response {
    body.to_owned().into_response()
}

const STARTED: &str =
    "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>";
const COPIED: &str = "<CopyPartResult><ETag>\"p1\"</ETag></CopyPartResult>";
const COMPLETED: &str =
    "<CompleteMultipartUploadResult><ETag>\"v2\"</ETag></CompleteMultipartUploadResult>";
const FAILED: &str = "<Error><Code>InternalError</Code></Error>";

/// What a service answers to a commit of two blocks when all is well.
fn committing((method, path): &Seen) -> Response {
    match method.as_str() {
        "POST" if path.contains("uploads=") => xml(STARTED),
        "POST" => xml(COMPLETED),
        "PUT" if path.contains("partNumber=1") => xml(COPIED),
        "GET" => {
            let range = [("etag", "\"v1\""), ("content-range", "bytes 0-2/3")];
            (StatusCode::PARTIAL_CONTENT, range, "end").into_response()
        }
        "DELETE" => StatusCode::NO_CONTENT.into_response(),
        _ => ok(""),
    }
}

/// Stages a block that is copied and one that is sent again, and commits them.
async fn commit(server: &Server) -> Result<blob_store::Etag, StoreError> {
    let store = server.store();
    let ids = [0, 1].map(|number| BlockId::new([4; 8], number));
    let blocks = [Bytes::from(vec![7; PART]), Bytes::from_static(b"end")];
    for (id, block) in ids.into_iter().zip(blocks) {
        store.put_block("a", id, block).await.unwrap();
    }
    store.put_block_list("a", &ids, &Condition::Absent).await
}

#[tokio::test]
async fn an_error_below_a_good_status_is_repeated_as_one_with_a_bad_one() {
    let mut failures = [2, 2];
    let server = Server::start(move |seen| {
        let (method, path) = seen;
        let which = match method.as_str() {
            "PUT" if path.contains("partNumber=1") => 0,
            "POST" if path.contains("uploadId=") => 1,
            _ => return Some(committing(seen)),
        };
        if failures[which] > 0 {
            failures[which] -= 1;
            return Some(xml(FAILED));
        }
        Some(committing(seen))
    });
    let server = server.await;
    assert_eq!(commit(&server).await.unwrap().as_str(), "v2");
    let asked = |text: &str, method| {
        let seen = server.seen(&method);
        seen.iter().filter(|path| path.contains(text)).count()
    };
    assert_eq!(asked("partNumber=1", Method::PUT), 3);
    assert_eq!(asked("?uploadId=", Method::POST), 3);
    assert_eq!(asked("uploadId=", Method::DELETE), 0);
}

#[tokio::test]
async fn other_errors_below_a_good_status_are_final() {
    let server = Server::start(|seen| {
        let (method, path) = seen;
        Some(match method.as_str() {
            "POST" if path.contains("uploadId=") => {
                xml("<Error><Code>PreconditionFailed</Code></Error>")
            }
            "HEAD" => StatusCode::NOT_FOUND.into_response(),
            _ => committing(seen),
        })
    });
    let server = server.await;
    let refused = commit(&server).await;
    assert!(matches!(refused, Err(StoreError::Exists)), "{refused:?}");
    let completed = server.seen(&Method::POST);
    assert_eq!(completed.len(), 2, "{completed:?}");
}

/// A listing of 15 January 2026 of objects of days in that month.
fn listed(objects: &[(&str, Option<u32>)]) -> Response {
    let objects: String = objects
        .iter()
        .map(|(key, modified)| {
            let modified = modified.map_or_else(String::new, |day| {
                format!("<LastModified>2026-01-{day:02}T00:00:00.000Z</LastModified>")
            });
            format!("<Contents><Key>{key}</Key>{modified}<ETag>e</ETag><Size>1</Size></Contents>")
        })
        .collect();
    let listing = format!("<ListBucketResult>{objects}</ListBucketResult>");
    ([("date", "Thu, 15 Jan 2026 00:00:01 GMT")], listing).into_response()
}

#[tokio::test]
async fn the_sweep_removes_old_staged_blocks_whatever_a_listing_names_and_the_clock_here_says() {
    let mut server = Server::start(|(method, _)| {
        let staged = |digit: char| format!("in/.cleanroom/staged/{}", digit.to_string().repeat(32));
        let [old, young, undated] = ['a', 'b', 'c'].map(staged);
        let escape = format!("in/.cleanroom/staged/../{}", "a".repeat(29));
        Some(match method.as_str() {
            "GET" => listed(&[
                (&old, Some(7)),
                (&young, Some(9)),
                (&undated, None),
                ("in/.cleanroom/staged/data", Some(1)),
                ("in/.cleanroom/manifest", Some(1)),
                ("in/data", Some(1)),
                ("another/data", Some(1)),
                ("d", Some(1)),
                (&old[3..], Some(1)),
                (&escape, Some(1)),
            ]),
            _ => StatusCode::NO_CONTENT.into_response(),
        })
    })
    .await;
    server.config.prefix = "in".to_owned();
    assert_eq!(server.store().remove_abandoned().await.unwrap(), 1);
    let removed = server.seen(&Method::DELETE);
    let old = format!("/bucket/in/.cleanroom/staged/{}", "a".repeat(32));
    assert_eq!(removed, [old]);
}

#[tokio::test]
async fn a_commit_that_is_cut_off_aborts_its_upload() {
    let server = Server::start(|seen| {
        let is_part = seen.1.contains("partNumber=1") && seen.0 == Method::PUT;
        (!is_part).then(|| committing(seen))
    });
    let server = server.await;
    let asked = async {
        let is_part = |path: &String| path.contains("partNumber=1");
        while !server.seen(&Method::PUT).iter().any(is_part) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        done = commit(&server) => panic!("nothing answers the copy: {done:?}"),
        () = asked => {}
    }
    let aborted = async {
        while server.seen(&Method::DELETE) != ["/bucket/a?uploadId=u1"] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let aborted = tokio::time::timeout(Duration::from_secs(10), aborted).await;
    assert!(aborted.is_ok(), "{:?}", server.seen(&Method::DELETE));
}

#[tokio::test]
async fn a_commit_is_told_although_what_was_staged_for_it_cannot_be_removed() {
    let server = Server::start(|seen| {
        let answer = committing(seen);
        Some(match seen.0 == Method::DELETE {
            true => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            false => answer,
        })
    });
    let server = server.await;
    let done = tokio::time::timeout(Duration::from_secs(10), commit(&server)).await;
    assert_eq!(done.unwrap().unwrap().as_str(), "v2");
}

#[test]
fn a_place_that_cannot_be_one_is_refused_before_anything_is_sent() {
    sidecar_http::install_crypto_provider();
    let client = HttpsClient::new(&Trust::web()).unwrap();
    let possible = || {
        let secret = Zeroizing::new("secret".to_owned());
        let credentials = S3Credentials::new("AKIA", &secret, None);
        let endpoint = Url::parse("https://s3.example").unwrap();
        S3Config::new(endpoint, "bucket", "eu-north-1", credentials)
    };
    S3Store::new(possible(), client.clone()).unwrap();
    let changes: [fn(&mut S3Config); 7] = [
        |config| config.endpoint = Url::parse("http://s3.example").unwrap(),
        |config| config.bucket = "ab".to_owned(),
        |config| config.bucket = "Upper".to_owned(),
        |config| config.bucket = "a/../b".to_owned(),
        |config| config.region.clear(),
        |config| config.region = "eu/north".to_owned(),
        |config| config.prefix = "a/../b".to_owned(),
    ];
    for change in changes {
        let mut config = possible();
        change(&mut config);
        let refused = S3Store::new(config, client.clone()).unwrap_err();
        assert_eq!(refused.code(), "CR-BLOB-0001", "{refused}");
    }
}
