//! Registries that lie: each way has an error of its own.
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

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path as Route, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use image_layers::source::{ImageSource, OciImages};
use image_layers::{HashedLayer, ImageError, Settings, hash_image};
use image_remote::{RegistryAccess, RegistryImage, names_registry};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::draft::{Draft, INDEX, MANIFEST, draft, hash, layers, wanted};

/// Serves whatever lies in a layout: tags are files of its folder, digests are blobs.
struct Registry {
    folder: TempDir,
    address: String,
}

async fn serve(
    State(folder): State<Arc<PathBuf>>,
    Route((kind, name)): Route<(String, String)>,
) -> Response {
    let path = match name.strip_prefix("sha256:") {
        Some(digest) => folder.join("blobs/sha256").join(digest),
        None => folder.join(&name),
    };
    let Ok(bytes) = std::fs::read(path) else {
        let code = if kind == "blobs" {
            "BLOB_UNKNOWN"
        } else {
            "MANIFEST_UNKNOWN"
        };
        let body = json!({ "errors": [{ "code": code, "message": "" }] });
        return (StatusCode::NOT_FOUND, body.to_string()).into_response();
    };
    let text = String::from_utf8_lossy(&bytes);
    let listed = text.contains("\"manifests\"");
    let media_type = if listed { INDEX } else { MANIFEST };
    ([(header::CONTENT_TYPE, media_type)], bytes).into_response()
}

/// The command does so; a second call finds the first one's.
fn install_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

impl Registry {
    async fn start(draft: &Draft) -> Self {
        install_provider();
        let folder = draft.write();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let routes = Router::new()
            .route("/v2/", get(|| async { "{}" }))
            .route("/v2/app/{kind}/{name}", get(serve))
            .with_state(Arc::new(folder.path().to_owned()));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { folder, address }
    }

    fn blob(&self, descriptor: &Value) -> PathBuf {
        let digest = descriptor["digest"].as_str().unwrap();
        let name = digest.trim_start_matches("sha256:");
        self.folder.path().join("blobs/sha256").join(name)
    }

    async fn hash(&self, name: &str) -> Result<Vec<HashedLayer>, ImageError> {
        let reference = format!("{}/app{name}", self.address);
        let image = RegistryImage::open(&reference, &RegistryAccess::default()).await?;
        let hashing = tokio::task::spawn_blocking(move || {
            let source = OciImages(image);
            let image = source.image(&wanted("linux/amd64", None))?;
            hash_image(&source, &image, &Settings::default())
        });
        hashing.await.unwrap()
    }

    /// By the tag `index.json`.
    async fn refusal(&self) -> ImageError {
        self.hash(":index.json").await.unwrap_err()
    }
}

fn by_digest(descriptor: &Value) -> String {
    format!("@{}", descriptor["digest"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_registry_gives_what_the_layout_gives() {
    let draft = draft(|_| {});
    let registry = Registry::start(&draft).await;
    let expected = hash(registry.folder.path()).unwrap();
    assert_eq!(registry.hash(":index.json").await.unwrap(), expected);
    let manifest = by_digest(&draft.index[0]);
    assert_eq!(registry.hash(&manifest).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_than_the_digest_says_are_refused_wherever_they_are() {
    let draft = draft(|_| {});
    let manifest: Value = {
        let registry = Registry::start(&draft).await;
        serde_json::from_slice(&std::fs::read(registry.blob(&draft.index[0])).unwrap()).unwrap()
    };
    let change = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let of = async |descriptor: &Value| {
        let registry = Registry::start(&draft).await;
        change(&registry.blob(descriptor));
        registry
            .hash(&by_digest(&draft.index[0]))
            .await
            .unwrap_err()
            .code()
    };
    assert_eq!(of(&draft.index[0]).await, "CR-LAYER-0035");
    assert_eq!(of(&manifest["config"]).await, "CR-LAYER-0035");
    assert_eq!(of(&manifest["layers"][1]).await, "CR-LAYER-0015");
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_lists_and_unknown_types_are_refused() {
    let mut forged = Draft::empty();
    let arm = forged.image("arm64", &layers(), |_| {});
    forged.list(
        arm,
        json!({ "platform": { "os": "linux", "architecture": "amd64" } }),
    );
    assert_eq!(
        Registry::start(&forged).await.refusal().await.code(),
        "CR-LAYER-0040"
    );

    let mut absent = Draft::empty();
    let arm = absent.image("arm64", &layers(), |_| {});
    absent.list(
        arm,
        json!({ "platform": { "os": "linux", "architecture": "arm64" } }),
    );
    assert_eq!(
        Registry::start(&absent).await.refusal().await.code(),
        "CR-LAYER-0039"
    );

    let confused = draft(|manifest| manifest["manifests"] = json!([]));
    assert_eq!(
        Registry::start(&confused).await.refusal().await.code(),
        "CR-LAYER-0038"
    );

    let unknown = draft(|manifest| {
        manifest["layers"][0]["mediaType"] = json!("application/vnd.example.layer");
    });
    assert_eq!(
        Registry::start(&unknown).await.refusal().await.code(),
        "CR-LAYER-0037"
    );

    let short = draft(|manifest| manifest["layers"][0]["size"] = json!(100));
    assert_eq!(
        Registry::start(&short).await.refusal().await.code(),
        "CR-LAYER-0016"
    );

    let mut missing = draft(|_| {});
    missing.index[0]["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    assert_eq!(
        Registry::start(&missing).await.refusal().await.code(),
        "CR-LAYER-0033"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_registrys_is_said_to_be_none() {
    install_provider();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Router::new().fallback(|| async { (StatusCode::BAD_GATEWAY, "<html>") });
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let reference = format!("{address}/app:one");
    let error = RegistryImage::open(&reference, &RegistryAccess::default()).await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), "CR-LAYER-0047");
    assert!(error.to_string().contains("502"), "{error}");
}

#[test]
fn only_what_begins_with_a_registry_is_a_reference() {
    for yes in [
        "localhost/app",
        "example.org/app@sha256:0",
        "127.0.0.1:5000/a/b:c",
    ] {
        assert!(names_registry(yes), "{yes}");
    }
    for no in [
        "layer.tar",
        "folder/layer.tar",
        "./layer.tar",
        "../a",
        "ubuntu:22.04",
        "",
    ] {
        assert!(!names_registry(no), "{no}");
    }
}
