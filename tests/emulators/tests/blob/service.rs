//! Rights, containers, the web site, what it does not do, and what a host can do to it.

use crate::calls::{call, put, storage, with_container};

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
