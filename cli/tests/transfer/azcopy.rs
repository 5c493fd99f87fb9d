//! Sealed files that another tool puts into the container.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use blob_format::Params;
use blob_fs::{FileSystem, Mode, Options};
use blob_store::{AzureConfig, AzureStore, FixedToken, Token};
use blobfuse_shim::fuse;
use bytes::Bytes;
use cleanroom_crypto::Dek;
use http::{Method, header};
use nix::mount::{MntFlags, umount2};
use sidecar_http::Request;
use tokio::sync::oneshot;

use crate::owner::{ACCOUNT, Owner, pattern};

/// What azcopy sends in one request; its default is 8 MiB.
const BLOCK: usize = 8 << 20;

/// Puts a file as azcopy does: small ones whole, large ones in blocks of its own names and sizes, with a content type that
/// it guesses from the name.
async fn put(owner: &Owner, token: &str, container: &str, name: &str, body: Vec<u8>) {
    let send = async |query: &str, content: Bytes, kind: &str| {
        let mut url = owner.world.url(&format!("{ACCOUNT}.blob.core.windows.net"));
        url.set_path(&format!("/{container}/{name}"));
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        let request = Request::new("azcopy", Method::PUT, url)
            .header(
                header::HeaderName::from_static("x-ms-version"),
                "2023-08-03",
            )
            .header(
                header::HeaderName::from_static("x-ms-blob-type"),
                "BlockBlob",
            )
            .header(header::CONTENT_TYPE, kind)
            .bearer(token)
            .deadline(Duration::from_secs(30))
            .body(content);
        let client = test_support::https(&owner.world).unwrap();
        let response = client.send(&request).await.unwrap();
        assert_eq!(response.status, 201, "{name}");
    };
    if body.len() <= BLOCK {
        return send("", body.into(), "text/plain; charset=utf-8").await;
    }
    let mut list = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>".to_owned();
    for (index, block) in body.chunks(BLOCK).enumerate() {
        // 48 bytes of base64: a GUID in text and an index.
        let id = BASE64_STANDARD.encode(format!("{:036}{index:05}", 42));
        let query = format!(
            "comp=block&blockid={}",
            id.replace('=', "%3D").replace('+', "%2B")
        );
        send(
            &query,
            Bytes::copy_from_slice(block),
            "application/octet-stream",
        )
        .await;
        list.push_str(&format!("<Latest>{id}</Latest>"));
    }
    list.push_str("</BlockList>");
    send("comp=blocklist", list.into(), "application/xml").await;
}

/// A kernel mount of a container, as the shim of a room makes it.
struct Mounted {
    path: PathBuf,
    ended: Option<oneshot::Receiver<()>>,
    _dir: tempfile::TempDir,
}

impl Mounted {
    async fn new(owner: &Owner, token: &str, container: &str) -> Self {
        let endpoint = owner.world.url(&format!("{ACCOUNT}.blob.core.windows.net"));
        let tokens = Arc::new(FixedToken(Token::new(token.to_owned())));
        let config = AzureConfig::new(endpoint, container, tokens);
        let store = AzureStore::new(config, test_support::https(&owner.world).unwrap()).unwrap();
        let key = fs::read(owner.path(&format!("keys/{container}.bin"))).unwrap();
        let dek = Arc::new(Dek::from_slice(&key).unwrap());
        let options = Options {
            read_only: true,
            ..Options::default()
        };
        let mode = Mode::CseV2(Params::default());
        let fs = FileSystem::new(Arc::new(store), dek, mode, options);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mount");
        let device = blobfuse_shim::mount::attach(&path, 10020, true).unwrap();
        let (ended, end) = oneshot::channel();
        fuse::serve(fs, device, ended).await.unwrap();
        Self {
            path,
            ended: Some(end),
            _dir: dir,
        }
    }

    async fn end(mut self) {
        umount2(&self.path, MntFlags::MNT_DETACH).unwrap();
        if let Some(ended) = self.ended.take() {
            let _ = tokio::time::timeout(Duration::from_secs(5), ended).await;
        }
    }
}

fn read_tree(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(&current).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_azcopy_uploads_mount_verify_and_download() {
    let owner = Owner::new("data", "CSE").await;
    let big = pattern((13 << 20) + 77);
    owner.write("in/folder/big file.csv", &big);
    owner.write("in/empty", b"");
    owner.write("in/small.txt", b"small");
    owner.ok(
        "datastore encrypt --name data --config datastores.yaml --source-path in --destination-path sealed",
    );
    let local = "datastore verify --name data --config datastores.yaml --src sealed";
    assert_eq!(owner.ok(local)["bad"], 0);
    let token = test_support::storage_token(&owner.world, "litware")
        .await
        .unwrap();
    for (name, body) in owner.tree("sealed") {
        put(&owner, &token, "data", &name, body).await;
    }

    let report = owner.ok("datastore verify --name data --config datastores.yaml");
    assert_eq!((&report["total"], &report["bad"]), (&3.into(), &0.into()));
    let mounted = Mounted::new(&owner, &token, "data").await;
    let path = mounted.path.clone();
    let expected: Vec<_> = owner.tree("in").into_iter().collect();
    let wanted = big.clone();
    tokio::task::spawn_blocking(move || {
        assert!(read_tree(&path) == expected);
        let file = fs::File::open(path.join("folder/big file.csv")).unwrap();
        let mut part = [0; 4096];
        file.read_exact_at(&mut part, 9 << 20).unwrap();
        assert_eq!(part[..], wanted[9 << 20..][..4096]);
    })
    .await
    .unwrap();
    mounted.end().await;
    owner.ok("datastore download --name data --config datastores.yaml --dst out");
    assert!(owner.tree("out/data/data") == owner.tree("in"));

    // And back, without any service.
    owner.ok(
        "datastore decrypt --name data --config datastores.yaml --source-path sealed --destination-path clear",
    );
    assert!(owner.tree("clear") == owner.tree("in"));
}
