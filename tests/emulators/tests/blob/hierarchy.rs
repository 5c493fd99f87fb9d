//! Accounts with hierarchical names, at both endpoints.

use emulators::blob::Blob;
use serde_json::Value;

use crate::calls::{Answer, Call, call, commit, put, stage, storage, with_container};

async fn hierarchical() -> Blob {
    let blob = storage();
    blob.make_hierarchical("litwarestore");
    let made = dfs(&blob, "PUT", "/data?resource=filesystem").send().await;
    assert_eq!(made.status, 201);
    blob
}

fn dfs<'a>(blob: &'a Blob, method: &str, path: &str) -> Call<'a> {
    call(blob, method, path).with("host", "litwarestore.dfs.core.windows.net:4443")
}

async fn rename(blob: &Blob, from: &str, to: &str) -> Answer {
    let to = format!("/data/{to}");
    let from = format!("/data/{from}");
    dfs(blob, "PUT", &to)
        .with("x-ms-rename-source", &from)
        .send()
        .await
}

fn names(blob: &Blob) -> Vec<String> {
    blob.names("litwarestore", "data")
}

#[tokio::test]
async fn directories_are_made_above_a_path_and_stay_without_it() {
    let blob = hierarchical().await;
    assert_eq!(put(&blob, "/data/a/b/c", b"x").await.status, 201);
    assert_eq!(names(&blob), ["a", "a/b", "a/b/c"]);
    let below_a_file = put(&blob, "/data/a/b/c/d", b"x").await;
    assert_eq!(below_a_file.refusal(), (409, "PathConflict"));
    let over = put(&blob, "/data/a/b", b"x").await;
    assert_eq!(over.refusal(), (409, "ResourceTypeMismatch"));
    stage(&blob, "/data/a/b", 0, b"x").await;
    let over = commit(&blob, "/data/a/b", &[("Latest", 0)]).await;
    assert_eq!(over.refusal(), (409, "ResourceTypeMismatch"));
    let full = call(&blob, "DELETE", "/data/a/b").send().await;
    assert_eq!(full.refusal(), (409, "DirectoryIsNotEmpty"));
    call(&blob, "DELETE", "/data/a/b/c").send().await;
    assert_eq!(names(&blob), ["a", "a/b"]);
    let status = call(&blob, "DELETE", "/data/a/b").send().await.status;
    assert_eq!(status, 202);
    let head = call(&blob, "HEAD", "/data/a").send().await;
    assert_eq!(head.header("x-ms-meta-hdi_isfolder"), "true");
}

#[tokio::test]
async fn listings_say_what_is_a_directory_and_flat_accounts_have_no_permissions() {
    let blob = hierarchical().await;
    for path in ["/data/d/e/x", "/data/d-e", "/data/f"] {
        put(&blob, path, b"x").await;
    }
    let list = async |blob: &Blob, more: &str| {
        let path = format!("/data?restype=container&comp=list{more}");
        call(blob, "GET", &path).send().await
    };
    let cut = list(&blob, "&delimiter=/").await.text();
    let prefix = "<BlobPrefix><Name>d/</Name><Properties>";
    assert!(cut.contains(prefix) && cut.contains("<ResourceType>directory</ResourceType>"));
    assert_eq!(cut.matches("<Blob>").count(), 2);
    assert_eq!(cut.matches("<BlobPrefix>").count(), 1);
    let whole = list(&blob, "&include=metadata").await.text();
    assert_eq!(whole.matches("<Blob>").count(), 5);
    assert_eq!(
        whole.matches("<hdi_isfolder>true</hdi_isfolder>").count(),
        2
    );
    assert_eq!(list(&blob, "&include=permissions").await.status, 200);
    let flat = with_container().await;
    let refused = list(&flat, "&include=permissions").await;
    assert_eq!(refused.refusal(), (400, "InvalidQueryParameterValue"));
    let account = async |blob: &Blob| {
        let answer = call(blob, "GET", "/?restype=account&comp=properties");
        let answer = answer.send().await;
        answer.header("x-ms-is-hns-enabled").to_owned()
    };
    assert_eq!(account(&blob).await, "true");
    assert_eq!(account(&flat).await, "false");
    let at_the_other = dfs(&flat, "PUT", "/data/d?resource=directory");
    assert_eq!(
        at_the_other.send().await.refusal(),
        (400, "HierarchicalNamespaceNotEnabled")
    );
}

#[tokio::test]
async fn renaming_moves_whole_directories_and_keeps_the_version() {
    let blob = hierarchical().await;
    put(&blob, "/data/d/x", b"1").await;
    put(&blob, "/data/d/e/y", b"2").await;
    put(&blob, "/data/d-not", b"3").await;
    let before = call(&blob, "HEAD", "/data/d/x").send().await;
    assert_eq!(rename(&blob, "d", "moved").await.status, 201);
    let all = ["d-not", "moved", "moved/e", "moved/e/y", "moved/x"];
    assert_eq!(names(&blob), all);
    let after = call(&blob, "HEAD", "/data/moved/x").send().await;
    for header in ["etag", "x-ms-creation-time"] {
        assert_eq!(after.header(header), before.header(header));
    }
    for (from, to, status, code) in [
        ("none", "x", 404, "SourcePathNotFound"),
        ("moved", "moved/x/z", 409, "InvalidDestinationPath"),
        ("moved", "moved", 409, "InvalidDestinationPath"),
        (
            "moved",
            "no/where",
            404,
            "RenameDestinationParentPathNotFound",
        ),
        (
            "d-not",
            "moved",
            409,
            "InvalidSourceOrDestinationResourceType",
        ),
        (
            "moved",
            "d-not",
            409,
            "InvalidSourceOrDestinationResourceType",
        ),
    ] {
        let refused = rename(&blob, from, to).await;
        assert_eq!(refused.refusal(), (status, code), "{from} {to}");
        let body: Value = serde_json::from_str(&refused.text()).unwrap();
        assert_eq!(body["error"]["code"], code);
    }
    let elsewhere = dfs(&blob, "PUT", "/data/x").with("x-ms-rename-source", "/other/d-not");
    assert_eq!(elsewhere.send().await.refusal(), (400, "InvalidSourceUri"));
    assert_eq!(names(&blob), all, "what is refused changes nothing");
    dfs(&blob, "PUT", "/data/full?resource=directory")
        .send()
        .await;
    put(&blob, "/data/full/z", b"4").await;
    let onto = rename(&blob, "moved", "full").await;
    assert_eq!(onto.refusal(), (409, "DirectoryNotEmpty"));
}

#[tokio::test]
async fn a_rename_has_conditions_on_both_names() {
    let blob = hierarchical().await;
    put(&blob, "/data/a", b"1").await;
    let etag = call(&blob, "HEAD", "/data/a").send().await;
    let etag = etag.header("etag").to_owned();
    put(&blob, "/data/b", b"2").await;
    let request = |name: &str, value: &str| {
        dfs(&blob, "PUT", "/data/b")
            .with("x-ms-rename-source", "/data/a")
            .with(name, value)
    };
    let refused = request("if-none-match", "*").send().await;
    assert_eq!(refused.refusal(), (409, "PathAlreadyExists"));
    let refused = request("if-match", &etag).send().await;
    assert_eq!(refused.refusal(), (412, "ConditionNotMet"));
    let refused = request("x-ms-source-if-match", "\"0x1\"").send().await;
    assert_eq!(refused.refusal(), (412, "SourceConditionNotMet"));
    let moved = request("x-ms-source-if-match", &etag).send().await;
    assert_eq!((moved.status.as_u16(), moved.header("etag")), (201, &*etag));
    assert_eq!(names(&blob), ["b"]);
    assert_eq!(blob.content("litwarestore", "data", "b").unwrap(), b"1");
}

#[tokio::test]
async fn a_large_directory_is_renamed_in_several_requests() {
    let blob = hierarchical().await;
    for number in 0..5 {
        put(&blob, &format!("/data/d/{number}"), b"x").await;
    }
    blob.rename_in_pages("litwarestore", 2);
    let mut at = "/data/e".to_owned();
    let mut requests = 0;
    loop {
        let answer = dfs(&blob, "PUT", &at).with("x-ms-rename-source", "/data/d");
        let answer = answer.send().await;
        assert_eq!(answer.status, 201);
        requests += 1;
        match answer.header("x-ms-continuation") {
            "" => break,
            next => at = format!("/data/e?continuation={next}"),
        }
    }
    assert_eq!(requests, 3);
    assert_eq!(names(&blob), ["e", "e/0", "e/1", "e/2", "e/3", "e/4"]);
}
