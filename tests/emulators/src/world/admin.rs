//! The same controls for other processes, over plain HTTP on loopback.
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::Services;
use crate::blob::Seen;
use crate::upset::{RequestRecord, Upset, Upsets};

/// Longest needle that `/wire/contains` takes, bytes.
const NEEDLE_CAP: usize = 16 << 20;
/// Largest content that `/blob` takes, bytes.
const BLOB_CAP: usize = 64 << 20;

/// What the admin routes act on.
#[derive(Debug)]
pub(super) struct Admin {
    pub(super) services: Services,
    pub(super) upsets: Upsets,
    pub(super) stop: CancellationToken,
}

#[derive(Deserialize)]
struct WhichService {
    service: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Commits {
    hold: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Corrupt {
    digest: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlobName {
    account: String,
    container: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Where {
    container: Option<String>,
}

/// `PUT /upset` (an [`Upset`]), `DELETE /upset`, `GET /requests?service=`, `POST /wire/contains[?container=]` (body:
/// the needle), `GET /wire[?container=]`, `PUT /commits {"hold"}`, `PUT /registry/corrupt {"digest"}`, `POST /blob/tamper`,
/// `GET`, `PUT` and `DELETE /blob?account=&container=&name=` (the bytes of a blob as stored, behind the service's back), `POST /stop`.
pub(super) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/upset", put(plan).delete(calm))
        .route("/requests", get(requests))
        .route("/wire", get(wire))
        .route(
            "/wire/contains",
            post(wire_contains).layer(DefaultBodyLimit::max(NEEDLE_CAP)),
        )
        .route("/commits", put(commits))
        .route("/registry/corrupt", put(corrupt))
        .route("/blob/tamper", post(tamper))
        .route(
            "/blob",
            get(stored)
                .put(replace)
                .delete(remove)
                .layer(DefaultBodyLimit::max(BLOB_CAP)),
        )
        .route("/stop", post(stop))
        .with_state(Arc::new(admin))
}

async fn plan(State(admin): State<Arc<Admin>>, Json(upset): Json<Upset>) {
    admin.upsets.plan(upset);
}

async fn calm(State(admin): State<Arc<Admin>>) {
    admin.upsets.calm();
}

async fn requests(
    State(admin): State<Arc<Admin>>,
    Query(which): Query<WhichService>,
) -> Json<Vec<RequestRecord>> {
    Json(admin.upsets.requests(&which.service))
}

async fn wire(State(admin): State<Arc<Admin>>, Query(place): Query<Where>) -> Json<Seen> {
    Json(admin.services.blob.wire().seen(place.container.as_deref()))
}

/// `true` or `false`; 409 where a "no" would prove nothing, because nothing came there or bodies were dropped.
async fn wire_contains(
    State(admin): State<Arc<Admin>>,
    Query(place): Query<Where>,
    needle: Bytes,
) -> Result<Json<bool>, (StatusCode, &'static str)> {
    let tap = admin.services.blob.wire();
    let container = place.container.as_deref();
    let (found, seen) = (tap.contains_in(container, &needle), tap.seen(container));
    match found {
        false if seen.bodies == 0 => Err((StatusCode::CONFLICT, "no body was received there")),
        false if seen.overflowed => Err((StatusCode::CONFLICT, "older bodies were dropped")),
        found => Ok(Json(found)),
    }
}

async fn commits(State(admin): State<Arc<Admin>>, Json(commits): Json<Commits>) {
    admin.services.hold_commits(commits.hold);
}

async fn corrupt(State(admin): State<Arc<Admin>>, Json(corrupt): Json<Corrupt>) {
    match corrupt.digest {
        Some(digest) => admin.services.registry.corrupt_blob(&digest),
        None => admin.services.registry.heal(),
    }
}

/// Flips one bit in the middle of a stored blob.
async fn tamper(State(admin): State<Arc<Admin>>, Json(blob): Json<BlobName>) -> Json<bool> {
    Json(
        admin
            .services
            .blob
            .tamper(&blob.account, &blob.container, &blob.name, |bytes| {
                let middle = bytes.len() / 2;
                if let Some(byte) = bytes.get_mut(middle) {
                    *byte ^= 1;
                }
            }),
    )
}

/// What a storage host can keep of a blob.
async fn stored(
    State(admin): State<Arc<Admin>>,
    Query(blob): Query<BlobName>,
) -> Result<Vec<u8>, StatusCode> {
    let blobs = &admin.services.blob;
    let content = blobs.content(&blob.account, &blob.container, &blob.name);
    content.ok_or(StatusCode::NOT_FOUND)
}

/// Other bytes under the blob's ETag.
async fn replace(
    State(admin): State<Arc<Admin>>,
    Query(blob): Query<BlobName>,
    body: Bytes,
) -> StatusCode {
    let blobs = &admin.services.blob;
    found(
        blobs.tamper(&blob.account, &blob.container, &blob.name, |bytes| {
            *bytes = body.to_vec();
        }),
    )
}

async fn remove(State(admin): State<Arc<Admin>>, Query(blob): Query<BlobName>) -> StatusCode {
    let blobs = &admin.services.blob;
    found(blobs.remove(&blob.account, &blob.container, &blob.name))
}

const fn found(found: bool) -> StatusCode {
    match found {
        true => StatusCode::NO_CONTENT,
        false => StatusCode::NOT_FOUND,
    }
}

async fn stop(State(admin): State<Arc<Admin>>) {
    admin.stop.cancel();
}
