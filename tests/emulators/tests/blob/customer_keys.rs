//! Customer-provided keys, and lengths.

use crate::calls::{call, id, list_of, put, with_container};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

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
