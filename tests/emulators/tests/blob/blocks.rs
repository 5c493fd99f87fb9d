//! Blocks and their commit.

use crate::calls::{call, commit, list_of, stage, with_container};

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
