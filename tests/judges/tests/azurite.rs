//! Our storage client and our file format against Azurite, a blob service that others wrote.
//!
//! Azurite takes unsigned tokens, ignores checksums and customer-provided keys in loose mode, and knows no roles: those
//! are judged elsewhere. What it stores is looked at through plain requests as well, past our client.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use blob_format::Params;
use blob_fs::{FileSystem, FsError, Kind, Mode, Options, ROOT};
use blob_store::{
    AzureConfig, AzureStore, BlobStore, BlockId, CachedTokens, Condition, CustomerKey, Etag,
    FixedToken, StoreError, Token,
};
use bytes::Bytes;
use cleanroom_crypto::Dek;
use http::{HeaderName, Method, StatusCode};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sidecar_http::{Coded, HttpsClient, Request, Response, Trust};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

const ACCOUNT: &str = "devstoreaccount1";
const STORAGE: &str = "https://storage.azure.com";
const HOUR: u64 = 3600;

/// A process of Azurite, ended with the value.
struct Azurite {
    process: Child,
    endpoint: Url,
    client: HttpsClient,
    _home: TempDir,
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Azurite {
    fn start() -> Self {
        let home = TempDir::new().unwrap();
        let at = |name: &str| home.path().join(name);
        let ca = certificates(&at("leaf.pem"), &at("leaf.key"));
        let mut process = Command::new(judges::node_programs("azurite").join("azurite-blob"))
            .args(["--blobHost", "127.0.0.1", "--blobPort", "0"])
            .args(["--oauth", "basic", "--skipApiVersionCheck", "--loose"])
            .args(["--silent", "--inMemoryPersistence", "--disableTelemetry"])
            .arg("--cert")
            .arg(at("leaf.pem"))
            .arg("--key")
            .arg(at("leaf.key"))
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = process.stdout.take().unwrap();
        let (found, address) = mpsc::channel();
        // Reads to the end: a full pipe would stop the server.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(address) = line.split("successfully listens on ").nth(1) {
                    let _ = found.send(address.trim().to_owned());
                }
            }
        });
        let Ok(address) = address.recv_timeout(Duration::from_secs(60)) else {
            let _ = process.kill();
            let _ = process.wait();
            panic!("Azurite does not listen");
        };
        let mut endpoint = Url::parse(&address).unwrap();
        endpoint.set_path(ACCOUNT);
        sidecar_http::install_crypto_provider();
        let client = HttpsClient::new(&Trust::only_pem(ca.as_bytes()).unwrap()).unwrap();
        Self {
            process,
            endpoint,
            client,
            _home: home,
        }
    }

    fn config(&self, container: &str) -> AzureConfig {
        let token = token(STORAGE, 0, HOUR);
        let mut config = AzureConfig::new(
            self.endpoint.clone(),
            container,
            Arc::new(FixedToken(token)),
        );
        config.read_budget = Duration::from_secs(20);
        config.write_budget = Duration::from_secs(20);
        config
    }

    fn store(&self, config: AzureConfig) -> AzureStore {
        AzureStore::new(config, self.client.clone()).unwrap()
    }

    /// A store over a new container.
    async fn container(&self, name: &str) -> AzureStore {
        let store = self.store(self.config(name));
        assert!(store.create_container().await.unwrap());
        store
    }

    /// A plain request, past our storage client; `path` is in the form of the wire.
    async fn raw(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Response {
        let url = Url::parse(&format!("{}/{path}", self.endpoint)).unwrap();
        let mut request = Request::new("Azurite", method, url)
            .header(HeaderName::from_static("x-ms-version"), "2021-12-02")
            .bearer(token(STORAGE, 0, HOUR).expose())
            .body(body);
        request.body_cap = 64 << 20;
        for (name, value) in headers {
            request = request.header(HeaderName::from_static(name), value);
        }
        self.client.send(&request).await.unwrap()
    }

    async fn stored(&self, path: &str) -> Bytes {
        let response = self.raw(Method::GET, path, &[], Bytes::new()).await;
        assert_eq!(response.status, StatusCode::OK, "{path}");
        response.body
    }
}

/// Writes a leaf for 127.0.0.1 and its key; gives the authority's certificate.
fn certificates(leaf: &std::path::Path, key: &std::path::Path) -> String {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let pair = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(leaf, params.signed_by(&pair, &ca).unwrap().pem()).unwrap();
    std::fs::write(key, pair.serialize_pem()).unwrap();
    ca.pem()
}

/// An unsigned token for `audience`, valid from `start` to `end` seconds from now; a minute of grace for the clocks.
fn token(audience: &str, start: i64, end: u64) -> Token {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.unwrap().as_secs()).unwrap();
    let end = i64::try_from(end).unwrap();
    let claims = serde_json::json!({
        "aud": audience,
        "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
        "iat": now + start - 60,
        "nbf": now + start - 60,
        "exp": now + start + end,
    });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = serde_json::json!({"alg": "none", "typ": "JWT"});
    Token::new(format!("{}.{}.", part(&header), part(&claims)))
}

/// Bytes in which no two places of a file look alike.
fn body(length: usize, seed: u32) -> Bytes {
    (seed..).flat_map(u32::to_le_bytes).take(length).collect()
}

#[tokio::test]
async fn blobs_of_every_name_keep_their_bytes() {
    let azurite = Azurite::start();
    let store = azurite.container("names").await;
    assert!(!store.create_container().await.unwrap(), "made only once");
    // Name, and its form on the wire for the plain look.
    let names = [
        ("plain", "plain"),
        ("a b/ü?#%25+.txt", "a%20b/%C3%BC%3F%23%2525%2B.txt"),
        ("100%", "100%25"),
        ("%2e%2e/%00", "%252e%252e/%2500"),
        (
            " lead & <tag> \"q\" 'a'",
            "%20lead%20%26%20%3Ctag%3E%20%22q%22%20%27a%27",
        ),
        (
            "日本/😀=;:@,$!*()[]",
            "%E6%97%A5%E6%9C%AC/%F0%9F%98%80%3D%3B%3A%40%2C%24%21%2A%28%29%5B%5D",
        ),
        // The same letter to the eye, two blobs to the service.
        ("caf\u{e9}", "caf%C3%A9"),
        ("cafe\u{301}", "cafe%CC%81"),
    ];
    for (number, (name, wire)) in names.iter().enumerate() {
        let seed = u32::try_from(number * 5000).unwrap();
        let etag = store
            .put_blob(name, body(4099, seed), &Condition::Absent)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let info = store.head(name).await.unwrap();
        assert_eq!(
            (&info.etag, info.length, info.directory),
            (&etag, 4099, false)
        );
        assert!(info.modified.elapsed().unwrap_or_default() < Duration::from_secs(60));
        assert!(
            azurite.stored(&format!("names/{wire}")).await == body(4099, seed),
            "{name}"
        );
    }
    for (number, (name, _)) in names.iter().enumerate() {
        let seed = u32::try_from(number * 5000).unwrap();
        let etag = store.head(name).await.unwrap().etag;
        assert!(
            store.get_range(name, 0..4099, &etag).await.unwrap() == body(4099, seed),
            "{name}"
        );
    }
    let mut wanted: Vec<_> = names.iter().map(|(name, _)| (*name).to_owned()).collect();
    wanted.sort();
    let page = store.list("", false, None).await.unwrap();
    let mut listed: Vec<_> = page.blobs.iter().map(|(name, _)| name.clone()).collect();
    listed.sort();
    assert_eq!((listed, page.next), (wanted, None));
    for (name, info) in &page.blobs {
        assert_eq!(&store.head(name).await.unwrap(), info, "{name}");
    }
    for (name, _) in names {
        store.delete(name, &Condition::Always).await.unwrap();
        assert!(matches!(store.head(name).await, Err(StoreError::NotFound)));
    }
    assert!(store.list("", false, None).await.unwrap().blobs.is_empty());
}

#[tokio::test]
async fn ranges_are_exact_or_refused() {
    let azurite = Azurite::start();
    let store = azurite.container("ranges").await;
    let all = body(3 << 20, 1);
    let length = all.len() as u64;
    let etag = store
        .put_blob("a", all.clone(), &Condition::Absent)
        .await
        .unwrap();
    for (start, end) in [
        (0, 1),
        (0, 10),
        (1_000_001, 1_500_003),
        (length - 1, length),
        (length - 10, length),
        (0, length),
    ] {
        let read = store.get_range("a", start..end, &etag).await.unwrap();
        let slice = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
        assert!(read == all.slice(slice), "{start}..{end}");
    }
    assert!(store.get_range("a", 7..7, &etag).await.unwrap().is_empty());

    // Fewer bytes than asked are not an answer.
    let over = store.get_range("a", length - 1..length + 1, &etag).await;
    assert!(
        matches!(
            over,
            Err(StoreError::Answer {
                operation: "Get Blob",
                reason: "another range"
            })
        ),
        "{over:?}"
    );
    // Azurite answers to the first byte past the end with none of them, Azure with 416.
    for (start, end) in [(length, length + 1), (length + 1, length + 2)] {
        let past = store.get_range("a", start..end, &etag).await;
        match past {
            Err(StoreError::Answer {
                reason: "another range",
                ..
            }) if start == length => {}
            Err(StoreError::Refused {
                status: 416, code, ..
            }) => assert_eq!(code, "InvalidRange"),
            other => panic!("{start}: {other:?}"),
        }
    }
    // Of a blob that is gone Azurite says that its version does not match.
    let none = store.get_range("b", 0..1, &etag).await;
    assert!(
        matches!(none, Err(StoreError::NotFound | StoreError::Changed)),
        "{none:?}"
    );

    // A read is of one version.
    let later = store
        .put_blob("a", body(10, 9), &Condition::Match(etag.clone()))
        .await
        .unwrap();
    assert_ne!(later, etag);
    let stale = store.get_range("a", 0..10, &etag).await;
    assert!(matches!(stale, Err(StoreError::Changed)), "{stale:?}");
    assert_eq!(
        store.get_range("a", 0..10, &later).await.unwrap(),
        body(10, 9)
    );
}

#[tokio::test]
async fn an_empty_blob_and_a_directory_are_told_apart() {
    let azurite = Azurite::start();
    let store = azurite.container("empty").await;
    let etag = store
        .put_blob("file", Bytes::new(), &Condition::Absent)
        .await
        .unwrap();
    store
        .put_block_list("blocks", &[], &Condition::Absent)
        .await
        .unwrap();
    let folder = store.put_directory("folder").await.unwrap();
    for (name, directory) in [("file", false), ("blocks", false), ("folder", true)] {
        let info = store.head(name).await.unwrap();
        assert_eq!((info.length, info.directory), (0, directory), "{name}");
        assert!(azurite.stored(&format!("empty/{name}")).await.is_empty());
    }
    assert!(
        store
            .get_range("file", 0..0, &etag)
            .await
            .unwrap()
            .is_empty()
    );
    let first = store.get_range("file", 0..1, &etag).await;
    let Err(StoreError::Answer { .. } | StoreError::Refused { status: 416, .. }) = first else {
        panic!("{first:?}");
    };
    let again = store.put_directory("folder").await;
    assert!(matches!(again, Err(StoreError::Exists)), "{again:?}");
    assert_eq!(store.head("folder").await.unwrap().etag, folder);
    let page = store.list("", true, None).await.unwrap();
    let listed: Vec<_> = page
        .blobs
        .iter()
        .map(|(name, info)| (name.as_str(), info.length, info.directory))
        .collect();
    assert_eq!(
        listed,
        [
            ("blocks", 0, false),
            ("file", 0, false),
            ("folder", 0, true)
        ]
    );
}

#[tokio::test]
async fn blocks_become_a_blob_in_the_order_of_the_list() {
    let azurite = Azurite::start();
    let store = azurite.container("blocks").await;
    // A writer's bytes that need all of base64's alphabet, `+` and `/` too.
    let ids: Vec<_> = (0..4)
        .map(|n| BlockId::new([0xfb, 0xef, 0xff, 0, 0x3e, 0x3f, 0xfe, 1], n))
        .collect();
    let part = |n: u32| body(100_000 + n as usize, n * 1_000_000);
    for (id, n) in ids.iter().zip(0..) {
        store.put_block("a b/ü", *id, part(n)).await.unwrap();
    }
    // Staged is not written.
    assert!(matches!(
        store.head("a b/ü").await,
        Err(StoreError::NotFound)
    ));
    let order = [ids[2], ids[0], ids[3], ids[1]];
    let first = store
        .put_block_list("a b/ü", &order, &Condition::Absent)
        .await
        .unwrap();
    let whole: Bytes = [2, 0, 3, 1].into_iter().flat_map(part).collect();
    assert!(azurite.stored("blocks/a%20b/%C3%BC").await == whole);
    let info = store.head("a b/ü").await.unwrap();
    assert_eq!((&info.etag, info.length), (&first, whole.len() as u64));
    assert!(
        store
            .get_range("a b/ü", 99_000..201_000, &first)
            .await
            .unwrap()
            == whole.slice(99_000..201_000)
    );

    // What the service calls the blocks is the base64 of what we call them.
    let list = azurite
        .stored("blocks/a%20b/%C3%BC?comp=blocklist&blocklisttype=all")
        .await;
    let list = String::from_utf8(list.to_vec()).unwrap();
    let named: Vec<_> = list
        .split("<Name>")
        .skip(1)
        .map(|rest| rest.split("</Name>").next().unwrap())
        .collect();
    let wanted: Vec<_> = order.iter().map(|id| STANDARD.encode(id.0)).collect();
    assert_eq!(named, wanted);
    assert!(wanted[0].starts_with("++//AD4//gE"), "{wanted:?}");

    // A later commit may keep earlier blocks and add new ones.
    let added = BlockId::new([8; 8], 0);
    store.put_block("a b/ü", added, body(10, 77)).await.unwrap();
    let second = store
        .put_block_list(
            "a b/ü",
            &[ids[0], added, ids[0]],
            &Condition::Match(first.clone()),
        )
        .await
        .unwrap();
    let whole: Bytes = [part(0), body(10, 77), part(0)]
        .into_iter()
        .flatten()
        .collect();
    assert!(azurite.stored("blocks/a%20b/%C3%BC").await == whole);

    // Dropped and never staged blocks cannot be committed, and nothing changes.
    for lost in [ids[2], BlockId::new([9; 8], 0)] {
        let gone = store
            .put_block_list("a b/ü", &[lost], &Condition::Always)
            .await;
        assert!(matches!(gone, Err(StoreError::BlocksGone)), "{gone:?}");
    }
    // Another writer's commit takes our staged blocks away.
    let (ours, theirs) = (BlockId::new([5; 8], 0), BlockId::new([6; 8], 0));
    store.put_block("a b/ü", ours, body(10, 1)).await.unwrap();
    store.put_block("a b/ü", theirs, body(20, 2)).await.unwrap();
    let third = store
        .put_block_list("a b/ü", &[theirs], &Condition::Match(second.clone()))
        .await
        .unwrap();
    for (condition, gone) in [
        (Condition::Match(third.clone()), true),
        (Condition::Match(second), false),
    ] {
        match store.put_block_list("a b/ü", &[ours], &condition).await {
            Err(StoreError::BlocksGone) => assert!(gone),
            Err(StoreError::Changed) => assert!(!gone),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(store.head("a b/ü").await.unwrap().etag, third);
    assert_eq!(azurite.stored("blocks/a%20b/%C3%BC").await, body(20, 2));
}

#[tokio::test]
async fn a_condition_that_does_not_hold_changes_nothing() {
    let azurite = Azurite::start();
    let store = azurite.container("conditions").await;
    let id = BlockId::new([1; 8], 0);
    let never = Condition::Match(Etag::new("\"0x8D0000000000000\""));

    // Where nothing is, no version matches.
    let missing = store.put_blob("a", body(1, 0), &never).await;
    assert!(matches!(missing, Err(StoreError::Changed)), "{missing:?}");
    // Another name than below: to Put Blob of Azurite, not of Azure, a blob of staged blocks alone exists.
    store.put_block("staged", id, body(5, 5)).await.unwrap();
    let missing = store.put_block_list("staged", &[id], &never).await;
    assert!(matches!(missing, Err(StoreError::Changed)), "{missing:?}");
    let head = store.head("staged").await;
    assert!(matches!(head, Err(StoreError::NotFound)), "{head:?}");
    let missing = store.delete("b", &Condition::Always).await;
    assert!(matches!(missing, Err(StoreError::NotFound)), "{missing:?}");
    let missing = store.delete("b", &never).await;
    assert!(
        matches!(missing, Err(StoreError::NotFound | StoreError::Changed)),
        "{missing:?}"
    );

    let first = store
        .put_blob("a", body(10, 1), &Condition::Absent)
        .await
        .unwrap();
    store.put_block("a", id, body(5, 5)).await.unwrap();
    for (condition, taken) in [(&Condition::Absent, true), (&never, false)] {
        for outcome in [
            store.put_blob("a", body(11, 2), condition).await,
            store.put_block_list("a", &[id], condition).await,
        ] {
            match outcome {
                Err(StoreError::Exists) => assert!(taken),
                Err(StoreError::Changed) => assert!(!taken),
                other => panic!("{condition:?}: {other:?}"),
            }
        }
    }
    let refused = store.delete("a", &never).await;
    assert!(matches!(refused, Err(StoreError::Changed)), "{refused:?}");
    assert_eq!(store.head("a").await.unwrap().etag, first);
    assert_eq!(azurite.stored("conditions/a").await, body(10, 1));

    // The refused commits left the staged block where it was.
    let second = store
        .put_block_list("a", &[id], &Condition::Match(first.clone()))
        .await
        .unwrap();
    assert_eq!(azurite.stored("conditions/a").await, body(5, 5));
    for late in [
        store
            .put_blob("a", body(12, 3), &Condition::Match(first.clone()))
            .await
            .map(drop),
        store
            .put_block_list("a", &[id], &Condition::Match(first.clone()))
            .await
            .map(drop),
        store.delete("a", &Condition::Match(first)).await,
    ] {
        assert!(matches!(late, Err(StoreError::Changed)), "{late:?}");
    }
    let third = store
        .put_blob("a", body(12, 3), &Condition::Match(second))
        .await
        .unwrap();
    store
        .put_blob("a", body(13, 4), &Condition::Always)
        .await
        .unwrap();
    assert!(matches!(
        store.delete("a", &Condition::Match(third)).await,
        Err(StoreError::Changed)
    ));

    // Somebody's lease is neither a changed version nor a missing right.
    let path = "conditions/a?comp=lease";
    let lease = [
        ("x-ms-lease-action", "acquire"),
        ("x-ms-lease-duration", "-1"),
    ];
    let leased = azurite.raw(Method::PUT, path, &lease, Bytes::new()).await;
    assert_eq!(leased.status, StatusCode::CREATED);
    let put = store.put_blob("a", body(1, 1), &Condition::Always).await;
    assert!(matches!(put, Err(StoreError::Leased)), "{put:?}");
    let delete = store.delete("a", &Condition::Always).await;
    assert!(matches!(delete, Err(StoreError::Leased)), "{delete:?}");
    let end = [
        ("x-ms-lease-action", "break"),
        ("x-ms-lease-break-period", "0"),
    ];
    let broken = azurite.raw(Method::PUT, path, &end, Bytes::new()).await;
    assert_eq!(broken.status, StatusCode::ACCEPTED);
    let etag = store.head("a").await.unwrap().etag;
    store.delete("a", &Condition::Match(etag)).await.unwrap();
    assert!(matches!(store.head("a").await, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn a_listing_is_whole_over_pages_prefixes_and_directories() {
    const MANY: usize = 5003;
    let azurite = Azurite::start();
    let outer = azurite.container("lists").await;
    let mut config = azurite.config("lists");
    config.prefix = "in/side".to_owned();
    let store = azurite.store(config);
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            for number in (worker..MANY).step_by(8) {
                let name = format!("many/{number:05}");
                store
                    .put_blob(&name, body(number % 7, 0), &Condition::Always)
                    .await
                    .unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for name in ["many-not", "top", "a b/é%/x"] {
        store
            .put_blob(name, body(1, 0), &Condition::Always)
            .await
            .unwrap();
    }
    outer
        .put_blob("in/sideways", body(1, 0), &Condition::Always)
        .await
        .unwrap();
    outer
        .put_blob("secret", body(1, 0), &Condition::Always)
        .await
        .unwrap();

    let (mut seen, mut from, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = store.list("many/", false, from.as_deref()).await.unwrap();
        assert!(page.blobs.len() <= 5000 && page.prefixes.is_empty());
        seen.extend(
            page.blobs
                .into_iter()
                .map(|(name, info)| (name, info.length)),
        );
        pages += 1;
        from = page.next;
        if from.is_none() || pages > 5 {
            break;
        }
    }
    let wanted: Vec<_> = (0..MANY)
        .map(|n| (format!("many/{n:05}"), n as u64 % 7))
        .collect();
    assert_eq!(pages, 2);
    assert!(seen == wanted, "{} blobs", seen.len());

    let top = store.list("", true, None).await.unwrap();
    assert_eq!(top.prefixes, ["a b/", "many/"]);
    let files: Vec<_> = top.blobs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((files, top.next), (vec!["many-not", "top"], None));
    let deep = store.list("a b/", true, None).await.unwrap();
    assert_eq!(
        (deep.prefixes, deep.blobs.len()),
        (vec!["a b/é%/".to_owned()], 0)
    );
    let deep = store.list("a b/é%/", true, None).await.unwrap();
    assert_eq!(
        (deep.prefixes.len(), deep.blobs[0].0.as_str()),
        (0, "a b/é%/x")
    );
    let none = store.list("nothing", false, None).await.unwrap();
    assert!(none.blobs.is_empty() && none.prefixes.is_empty() && none.next.is_none());
    let all = outer.list("", true, None).await.unwrap();
    assert_eq!(
        (all.prefixes, all.blobs[0].0.as_str()),
        (vec!["in/".to_owned()], "secret")
    );
    assert!(matches!(
        store.head("../../secret").await,
        Err(StoreError::Config(_))
    ));

    let missing = azurite.store(azurite.config("nothing-here"));
    let listed = missing.list("", false, None).await;
    assert!(matches!(listed, Err(StoreError::NoContainer)), "{listed:?}");
    let put = missing.put_blob("a", body(1, 0), &Condition::Always).await;
    assert!(matches!(put, Err(StoreError::NoContainer)), "{put:?}");
    let head = missing.head("a").await;
    assert!(matches!(head, Err(StoreError::NoContainer)), "{head:?}");
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_a_renewed_one_taken() {
    let azurite = Azurite::start();
    azurite
        .container("tokens")
        .await
        .put_blob("a", body(10, 0), &Condition::Absent)
        .await
        .unwrap();
    let with = |token: Token| {
        let mut config = azurite.config("tokens");
        config.tokens = Arc::new(FixedToken(token));
        azurite.store(config)
    };
    assert_eq!(
        with(token(STORAGE, 0, HOUR))
            .head("a")
            .await
            .unwrap()
            .length,
        10
    );
    for (why, wrong) in [
        (
            "of another audience",
            token("https://vault.azure.net", 0, HOUR),
        ),
        ("expired", token(STORAGE, -7200, HOUR)),
        ("of the future", token(STORAGE, 7200, HOUR)),
        ("no token", Token::new("forged".to_owned())),
    ] {
        let store = with(wrong);
        let id = BlockId::new([1; 8], 0);
        for outcome in [
            store.head("a").await.map(drop),
            store.get_range("a", 0..1, &Etag::new("x")).await.map(drop),
            store
                .put_blob("a", body(1, 0), &Condition::Always)
                .await
                .map(drop),
            store.put_block("a", id, body(1, 0)).await,
            store
                .put_block_list("a", &[], &Condition::Always)
                .await
                .map(drop),
            store.list("", false, None).await.map(drop),
            store.delete("a", &Condition::Always).await,
            store.create_container().await.map(drop),
        ] {
            let error = outcome.unwrap_err();
            assert_eq!(error.code(), "CR-BLOB-0007", "{why}: {error}");
        }
    }
    assert_eq!(azurite.stored("tokens/a").await, body(10, 0));

    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let mut config = azurite.config("tokens");
    config.tokens = Arc::new(CachedTokens::new(move || {
        // Expired at first although it was said to live for an hour.
        let start = if count.fetch_add(1, Ordering::SeqCst) == 0 {
            -7200
        } else {
            0
        };
        Box::pin(async move { Ok((token(STORAGE, start, HOUR), Duration::from_secs(HOUR))) })
    }));
    let store = azurite.store(config);
    assert_eq!(store.head("a").await.unwrap().length, 10);
    assert_eq!(store.head("a").await.unwrap().length, 10);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_service_that_ignores_the_customers_key_is_found_out() {
    let azurite = Azurite::start();
    let plain = azurite.container("keys").await;
    let etag = plain
        .put_blob("a", body(10, 0), &Condition::Absent)
        .await
        .unwrap();
    let mut config = azurite.config("keys");
    config.key = Some(Arc::new(CustomerKey::new(
        &Dek::from_slice(&[1; 32]).unwrap(),
    )));
    let keyed = azurite.store(config);
    for outcome in [
        keyed
            .put_blob("b", body(10, 0), &Condition::Absent)
            .await
            .map(drop),
        keyed
            .put_block("b", BlockId::new([1; 8], 0), body(1, 0))
            .await,
        keyed.head("a").await.map(drop),
        keyed.get_range("a", 0..10, &etag).await.map(drop),
    ] {
        assert!(
            matches!(outcome, Err(StoreError::KeyNotUsed)),
            "{outcome:?}"
        );
    }
    assert_eq!(
        plain.get_range("a", 0..10, &etag).await.unwrap(),
        body(10, 0)
    );
}

/// A way to the server that can lose answers: the next bytes from it end their connection instead.
struct Lossy {
    endpoint: Url,
    lose: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
}

impl Lossy {
    async fn before(azurite: &Azurite) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut endpoint = azurite.endpoint.clone();
        let port = listener.local_addr().unwrap().port();
        endpoint.set_port(Some(port)).unwrap();
        let server = azurite.endpoint.port().unwrap();
        let lossy = Self {
            endpoint,
            lose: Arc::default(),
            connections: Arc::default(),
        };
        let (lose, connections) = (Arc::clone(&lossy.lose), Arc::clone(&lossy.connections));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let lose = Arc::clone(&lose);
                tokio::spawn(async move {
                    let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                    let (mut asks, mut hears) = client.into_split();
                    let (mut answers, mut listens) = server.into_split();
                    let down = async {
                        let mut part = vec![0; 64 << 10];
                        while let Ok(length @ 1..) = answers.read(&mut part).await {
                            if lose.swap(false, Ordering::SeqCst) {
                                break;
                            }
                            if hears.write_all(&part[..length]).await.is_err() {
                                break;
                            }
                        }
                    };
                    tokio::select! {
                        () = down => {}
                        _ = tokio::io::copy(&mut asks, &mut listens) => {}
                    }
                });
            }
        });
        lossy
    }

    /// Loses the answer to the next request. Only over an open connection: a handshake would be lost instead.
    fn lose(&self) -> usize {
        self.lose.store(true, Ordering::SeqCst);
        self.connections.load(Ordering::SeqCst)
    }

    /// It was one answer, and the request came again over one new connection.
    fn lost(&self, before: usize) {
        assert!(!self.lose.load(Ordering::SeqCst));
        assert_eq!(self.connections.load(Ordering::SeqCst), before + 1);
    }
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_known_to_have_happened() {
    let azurite = Azurite::start();
    let direct = azurite.container("lossy").await;
    let lossy = Lossy::before(&azurite).await;
    let mut config = azurite.config("lossy");
    config.endpoint = lossy.endpoint.clone();
    let store = azurite.store(config);
    let none = store.head("a").await;
    assert!(matches!(none, Err(StoreError::NotFound)), "{none:?}");

    let before = lossy.lose();
    let first = store
        .put_blob("a", body(100, 1), &Condition::Absent)
        .await
        .unwrap();
    lossy.lost(before);
    assert_eq!(direct.head("a").await.unwrap().etag, first);
    assert_eq!(azurite.stored("lossy/a").await, body(100, 1));

    // The repetition meets its own blocks committed and its condition gone.
    let id = BlockId::new([1; 8], 0);
    store.put_block("a", id, body(200, 2)).await.unwrap();
    let before = lossy.lose();
    let second = store
        .put_block_list("a", &[id], &Condition::Match(first.clone()))
        .await
        .unwrap();
    lossy.lost(before);
    assert_ne!(second, first);
    assert_eq!(direct.head("a").await.unwrap().etag, second);
    assert_eq!(azurite.stored("lossy/a").await, body(200, 2));

    // Somebody else's version is not taken for ours.
    for condition in [Condition::Absent, Condition::Match(first)] {
        let before = lossy.lose();
        let refused = store.put_blob("a", body(300, 3), &condition).await;
        lossy.lost(before);
        match refused {
            Err(StoreError::Exists) => assert_eq!(condition, Condition::Absent),
            Err(StoreError::Changed) => assert_ne!(condition, Condition::Absent),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(direct.head("a").await.unwrap().etag, second);

    // A read is repeated.
    let before = lossy.lose();
    assert_eq!(
        store.get_range("a", 3..150, &second).await.unwrap(),
        body(200, 2).slice(3..150)
    );
    lossy.lost(before);
}

/// A mount of format v2 over a store.
fn mount(store: &AzureStore, key: u8, read_only: bool) -> FileSystem {
    let options = Options {
        read_only,
        ..Options::default()
    };
    let dek = Arc::new(Dek::from_slice(&[key; 32]).unwrap());
    FileSystem::new(
        Arc::new(store.clone()),
        dek,
        Mode::CseV2(Params::default()),
        options,
    )
}

async fn read_file(fs: &FileSystem, parent: u64, name: &str) -> Result<Vec<u8>, FsError> {
    let attr = fs.look_up(parent, name).await?;
    assert_eq!(attr.kind, Kind::File);
    let handle = fs.open(attr.ino, false, false).await?.handle;
    let mut out = Vec::new();
    let outcome = loop {
        match fs.read(handle, out.len() as u64, 128 << 10).await {
            Ok(part) if part.is_empty() => break Ok(()),
            Ok(part) => out.extend(part),
            Err(error) => break Err(error),
        }
    };
    fs.release(handle).await?;
    outcome.map(|()| out)
}

#[tokio::test]
async fn a_file_in_our_format_survives_and_the_service_sees_no_clear_text() {
    const MARK: &[u8] = b"the clear text nobody may see";
    let azurite = Azurite::start();
    let store = azurite.container("format").await;
    let clear: Vec<u8> = (0_u64..)
        .flat_map(|line| format!("{line:012} {}\n", str::from_utf8(MARK).unwrap()).into_bytes())
        .take((9 << 20) + 12_345)
        .collect();

    let fs = mount(&store, 7, false);
    let directory = fs.make_directory(ROOT, "out put").await.unwrap();
    let (_, opened) = fs.create(directory.ino, "ü%.csv").await.unwrap();
    for (number, part) in clear.chunks(128 << 10).enumerate() {
        let offset = (number * (128 << 10)) as u64;
        fs.write(opened.handle, offset, part).await.unwrap();
    }
    fs.flush(opened.handle).await.unwrap();
    fs.release(opened.handle).await.unwrap();
    let (_, empty) = fs.create(ROOT, "empty").await.unwrap();
    fs.flush(empty.handle).await.unwrap();
    fs.release(empty.handle).await.unwrap();
    let sealed = fs.seal().await.unwrap();
    assert_eq!((sealed.files, sealed.bytes), (2, clear.len() as u64));

    let wire = "format/out%20put/%C3%BC%25.csv";
    let stored = azurite.stored(wire).await;
    let expected = Params::default().blob_len(clear.len() as u64).unwrap();
    assert_eq!(stored.len() as u64, expected);
    let holds = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(holds(&clear, MARK) && !holds(&stored, MARK));
    assert!(!holds(&stored, &clear[..13]) && !holds(&stored, b"clear"));

    let reader = mount(&store, 7, true);
    let found = reader.look_up(ROOT, "out put").await.unwrap();
    assert_eq!(found.kind, Kind::Directory);
    let attr = reader.look_up(found.ino, "ü%.csv").await.unwrap();
    assert_eq!(attr.size, clear.len() as u64);
    assert!(read_file(&reader, found.ino, "ü%.csv").await.unwrap() == clear);
    assert!(read_file(&reader, ROOT, "empty").await.unwrap().is_empty());
    let handle = reader.open(attr.ino, false, false).await.unwrap().handle;
    let part = reader.read(handle, 4_194_300, 10).await.unwrap();
    assert_eq!(
        part,
        clear[4_194_300..4_194_310],
        "over the border of two extents"
    );
    reader.release(handle).await.unwrap();

    let stranger = mount(&store, 8, true);
    let parent = stranger.look_up(ROOT, "out put").await.unwrap().ino;
    let error = read_file(&stranger, parent, "ü%.csv").await.unwrap_err();
    assert_eq!(error.code(), "CR-FORMAT-0004");

    // One bit, changed where it is stored.
    let mut changed = stored.to_vec();
    changed[5 << 20] ^= 1;
    let kind = [("x-ms-blob-type", "BlockBlob")];
    let put = azurite.raw(Method::PUT, wire, &kind, changed.into()).await;
    assert_eq!(put.status, StatusCode::CREATED);
    let again = mount(&store, 7, true);
    let parent = again.look_up(ROOT, "out put").await.unwrap().ino;
    let error = read_file(&again, parent, "ü%.csv").await.unwrap_err();
    assert_eq!(error.code(), "CR-FORMAT-0006");
}
