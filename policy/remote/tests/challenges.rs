//! Registries that answer without end, and registries that send their callers elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a test may fail by panicking"
)]

#[path = "../../layers/tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path as Route, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image_layers::source::{ImageSource, OciImages};
use image_layers::{HashedLayer, ImageError, Settings, hash_image};
use image_remote::{RegistryAccess, RegistryImage};
use serde_json::json;
use tempfile::TempDir;

use crate::common::draft::{draft, hash, wanted};

const PIECE: usize = 64 << 10;

/// What a registry does beside giving what lies in its folder.
#[derive(Default)]
struct Habits {
    /// The `WWW-Authenticate` header of who shows no token.
    challenge: Option<String>,
    /// For how many more requests each token counts.
    tokens: Mutex<BTreeMap<String, usize>>,
    /// Pieces of endless answers.
    pieces: AtomicUsize,
    /// Names and passwords that came.
    credentials: Mutex<Vec<String>>,
    /// Where blobs are.
    elsewhere: Option<String>,
    folder: Option<TempDir>,
}

struct Registry {
    address: SocketAddr,
    habits: Arc<Habits>,
}

impl Registry {
    async fn start(make: impl FnOnce(SocketAddr) -> Habits) -> Self {
        // The command does so; a second call finds the first one's.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let habits = Arc::new(make(address));
        let routes = Router::new()
            .route("/token", get(token))
            .route("/v2/app/{kind}/{name}", get(serve))
            .with_state(Arc::clone(&habits));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, habits }
    }

    async fn open(&self, name: &str) -> Result<RegistryImage, ImageError> {
        let config = tempfile::NamedTempFile::new().unwrap();
        let auth = BASE64_STANDARD.encode("user:word");
        let auths = json!({ "auths": { (self.address.to_string()): { "auth": auth } } });
        std::fs::write(config.path(), auths.to_string()).unwrap();
        let access = RegistryAccess {
            docker_config: Some(config.path().to_owned()),
            ..RegistryAccess::default()
        };
        RegistryImage::open(&format!("{}/app:{name}", self.address), &access).await
    }

    async fn refusal(&self, name: &str) -> ImageError {
        self.open(name).await.unwrap_err()
    }

    async fn hash(&self, name: &str) -> Result<Vec<HashedLayer>, ImageError> {
        let image = self.open(name).await?;
        let hashing = tokio::task::spawn_blocking(move || {
            let source = OciImages(image);
            let image = source.image(&wanted("linux/amd64", None))?;
            hash_image(&source, &image, &Settings::default())
        });
        hashing.await.unwrap()
    }
}

fn endless(habits: Arc<Habits>, status: StatusCode) -> Response {
    let pieces = futures::stream::repeat_with(move || {
        habits.pieces.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(Bytes::from(vec![b' '; PIECE]))
    });
    (status, Body::from_stream(pieces)).into_response()
}

async fn token(
    State(habits): State<Arc<Habits>>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    let shown = headers.get(header::AUTHORIZATION);
    let shown = shown.map(|value| value.to_str().unwrap().to_owned());
    habits.credentials.lock().unwrap().extend(shown);
    assert!(query.contains(&("scope".to_owned(), "repository:app:pull".to_owned())));
    if query.iter().any(|(_, service)| service == "endless") {
        return endless(habits, StatusCode::OK);
    }
    let mut tokens = habits.tokens.lock().unwrap();
    let token = format!("token-{}", tokens.len());
    tokens.insert(token.clone(), 2);
    json!({ "token": token }).to_string().into_response()
}

async fn serve(
    State(habits): State<Arc<Habits>>,
    Route((kind, name)): Route<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Some(challenge) = &habits.challenge {
        let mut tokens = habits.tokens.lock().unwrap();
        let shown = headers.get(header::AUTHORIZATION);
        let shown = shown.and_then(|shown| shown.to_str().unwrap().strip_prefix("Bearer "));
        match shown.and_then(|shown| tokens.get_mut(shown)) {
            Some(left @ 1..) => *left -= 1,
            _ => {
                let challenge = [(header::WWW_AUTHENTICATE, challenge.clone())];
                return (StatusCode::UNAUTHORIZED, challenge).into_response();
            }
        }
    }
    match name.as_str() {
        "endless" => return endless(habits, StatusCode::OK),
        "endless-error" => return endless(habits, StatusCode::INTERNAL_SERVER_ERROR),
        _ => {}
    }
    if let (Some(elsewhere), "blobs") = (&habits.elsewhere, kind.as_str()) {
        return Redirect::temporary(&format!("{elsewhere}/v2/app/blobs/{name}")).into_response();
    }
    let folder = habits.folder.as_ref().unwrap().path();
    let path = match name.strip_prefix("sha256:") {
        Some(digest) => folder.join("blobs/sha256").join(digest),
        None => folder.join(&name),
    };
    std::fs::read(path).unwrap().into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_cut_off() {
    let endless_token = |address| Habits {
        challenge: Some(format!(
            "Bearer realm=\"http://{address}/token\",service=endless"
        )),
        ..Habits::default()
    };
    for (registry, name, what) in [
        (
            Registry::start(|_| Habits::default()).await,
            "endless",
            "the manifest",
        ),
        (
            Registry::start(|_| Habits::default()).await,
            "endless-error",
            "an error",
        ),
        (Registry::start(endless_token).await, "one", "the token"),
    ] {
        let error = registry.refusal(name).await;
        assert_eq!(error.code(), "CR-LAYER-0047");
        assert!(
            error
                .to_string()
                .contains(&format!("{what} is larger than")),
            "{error}"
        );
        // What was sent beyond the cap fits into the buffers of the connection.
        let sent = registry.habits.pieces.load(Ordering::Relaxed) * PIECE;
        assert!(sent < 64 << 20, "{sent} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_goes_nowhere_without_tls_and_the_error_says_where_it_was_wanted() {
    for realm in [
        "http://registry.example/token",
        "http://localhost:1/token",
        "ftp://x/",
        "none",
    ] {
        let registry = Registry::start(|_| Habits {
            challenge: Some(format!("Bearer realm=\"{realm}\",service=\"s\"")),
            ..Habits::default()
        })
        .await;
        let error = registry.refusal("one").await;
        assert_eq!(error.code(), "CR-LAYER-0050", "{realm}");
        let text = error.to_string();
        assert!(
            text.contains(realm) && text.contains("nothing was sent there"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_with_the_credential_and_again_when_it_has_run_out() {
    let draft = draft(|_| {});
    let folder = draft.write();
    let expected = hash(folder.path()).unwrap();
    let registry = Registry::start(|address| Habits {
        challenge: Some(format!("Bearer realm=\"http://{address}/token\"")),
        folder: Some(folder),
        ..Habits::default()
    })
    .await;
    assert_eq!(registry.hash("index.json").await.unwrap(), expected);
    // Each token served two requests: index, manifest, configuration and two layers take three.
    assert!(registry.habits.tokens.lock().unwrap().len() >= 3);
    let credentials = registry.habits.credentials.lock().unwrap();
    let ours = format!("Basic {}", BASE64_STANDARD.encode("user:word"));
    assert!(credentials.iter().all(|shown| *shown == ours) && !credentials.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_may_be_elsewhere_but_not_without_tls() {
    let draft = draft(|_| {});
    let expected = hash(draft.write().path()).unwrap();
    let store = Registry::start(|_| Habits {
        folder: Some(draft.write()),
        ..Habits::default()
    })
    .await;
    let of = async |elsewhere: String| {
        let registry = Registry::start(|_| Habits {
            folder: Some(draft.write()),
            elsewhere: Some(elsewhere),
            ..Habits::default()
        })
        .await;
        registry.hash("index.json").await
    };
    assert_eq!(
        of(format!("http://{}", store.address)).await.unwrap(),
        expected
    );
    let error = of("http://blobs.example".to_owned()).await.unwrap_err();
    assert_eq!(error.code(), "CR-LAYER-0047");
    assert!(error.to_string().contains("without TLS"), "{error}");
}
