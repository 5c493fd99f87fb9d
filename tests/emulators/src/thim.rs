//! Who has AMD's certificates: THIM of the host (plain HTTP), the Azure certificate cache, and AMD's key distribution
//! service. All three know the chips they were told of, under every TCB; the host has the certificate of one.

mod kds;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use x509_cert::der::pem::{LineEnding, encode_string};

use crate::amd::{AmdError, Platform, Product, mint_authorities, mint_vcek};

/// Path of THIM in the metadata service.
pub const THIM_PATH: &str = "/metadata/THIM/amd/certification";

/// The three services' common knowledge; clones share it.
#[derive(Clone, Debug)]
pub struct Thim(Arc<Mutex<Known>>);

#[derive(Debug)]
struct Known {
    host: Platform,
    chips: BTreeMap<[u8; 64], Product>,
    instead: BTreeMap<Place, Vec<u8>>,
}

/// One of the three services.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Place {
    /// THIM.
    Thim,
    /// The Azure certificate cache.
    AzureCache,
    /// AMD's service.
    Kds,
}

impl Default for Thim {
    /// A host with the platform of the test certificates.
    fn default() -> Self {
        let host = Platform::default();
        Self(Arc::new(Mutex::new(Known {
            chips: BTreeMap::from([(host.chip_id, host.product)]),
            host,
            instead: BTreeMap::new(),
        })))
    }
}

impl Thim {
    /// What the host has certificates for from now on; the others learn of the chip.
    pub fn set_host(&self, host: Platform) {
        let mut known = self.known();
        known.chips.insert(host.chip_id, host.product);
        known.host = host;
    }

    /// A chip that the Azure cache and AMD have certificates for, and the host has not.
    pub fn add_chip(&self, platform: &Platform) {
        self.known()
            .chips
            .insert(platform.chip_id, platform.product);
    }

    /// Every good answer of `place` is `body` instead, or itself again.
    pub fn answer_instead(&self, place: Place, body: Option<Vec<u8>>) {
        let mut known = self.known();
        match body {
            Some(body) => known.instead.insert(place, body),
            None => known.instead.remove(&place),
        };
    }

    /// THIM's routes.
    pub fn thim_router(&self) -> Router {
        Router::new()
            .route(THIM_PATH, get(thim))
            .with_state(self.clone())
    }

    /// The Azure cache's routes.
    pub fn azure_router(&self) -> Router {
        Router::new()
            .route("/{tee}/certificates/{chip}/{tcb}", get(azure))
            .with_state(self.clone())
    }

    /// The routes of AMD's service.
    pub fn kds_router(&self) -> Router {
        kds::router(self.clone())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn product(&self, chip: &[u8; 64]) -> Option<Product> {
        self.known().chips.get(chip).copied()
    }

    fn answer(&self, place: Place, kind: &'static str, body: Vec<u8>) -> Response {
        let body = self.known().instead.get(&place).cloned().unwrap_or(body);
        ([(header::CONTENT_TYPE, kind)], body).into_response()
    }
}

/// THIM's JSON for a platform.
///
/// # Errors
/// The test root is unusable.
pub fn thim_json(platform: &Platform) -> Result<Value, AmdError> {
    Ok(json!({
        "vcekCert": leaf_pem(platform)?,
        "tcbm": format!("{:016X}", platform.tcb),
        "certificateChain": mint_authorities(platform.product)?,
        "cacheControl": "86400",
    }))
}

/// VCEK, ASK, ARK of a platform, PEM.
///
/// # Errors
/// The test root is unusable.
pub fn chain_of(platform: &Platform) -> Result<String, AmdError> {
    Ok(leaf_pem(platform)? + &mint_authorities(platform.product)?)
}

fn leaf_pem(platform: &Platform) -> Result<String, AmdError> {
    encode_string("CERTIFICATE", LineEnding::LF, &mint_vcek(platform)?)
        .map_err(|_| AmdError::Root("PEM"))
}

/// Why a request gets no certificate.
#[derive(Debug)]
struct Refusal(StatusCode, String);

impl Refusal {
    fn bad(reason: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, reason.into())
    }

    fn unknown(reason: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, reason.into())
    }
}

impl From<AmdError> for Refusal {
    fn from(error: AmdError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"error": {"code": self.0.as_u16().to_string(), "message": self.1}});
        (self.0, Json(body)).into_response()
    }
}

async fn thim(State(thim): State<Thim>, headers: HeaderMap) -> Result<Response, Refusal> {
    // The metadata service refuses what a browser or a redirect could send.
    if headers.get("metadata").is_none_or(|value| value != "true") {
        return Err(Refusal::bad("the header Metadata: true is missing"));
    }
    if headers.contains_key("x-forwarded-for") {
        return Err(Refusal::bad("forwarded requests are refused"));
    }
    let host = thim.known().host;
    let body = thim_json(&host)?.to_string().into_bytes();
    Ok(thim.answer(Place::Thim, "application/json", body))
}

#[derive(Deserialize)]
struct CacheQuery {
    #[serde(rename = "api-version")]
    api_version: String,
    #[serde(rename = "clientId")]
    client_id: String,
}

async fn azure(
    State(thim): State<Thim>,
    Path((tee, chip, tcb)): Path<(String, String, String)>,
    Query(query): Query<CacheQuery>,
) -> Result<Response, Refusal> {
    if tee != "SevSnpVM" || query.api_version != "2020-10-15-preview" || query.client_id.is_empty()
    {
        return Err(Refusal::bad("no such cache, api-version or client"));
    }
    let chip_id = hex_of::<64>(&chip)?;
    let number = u64::from_str_radix(&tcb, 16).map_err(|_| Refusal::bad("the TCB is not hex"))?;
    if format!("{number:x}") != tcb {
        return Err(Refusal::bad(
            "the TCB is lower-case hex without leading zeros",
        ));
    }
    let product = thim
        .product(&chip_id)
        .ok_or_else(|| Refusal::unknown("the chip is not known"))?;
    let chain = chain_of(&Platform {
        product,
        chip_id,
        tcb: number,
        report_version: 3,
    })?;
    Ok(thim.answer(
        Place::AzureCache,
        "application/x-pem-file",
        chain.into_bytes(),
    ))
}

fn hex_of<const N: usize>(text: &str) -> Result<[u8; N], Refusal> {
    let bytes = hex::decode(text).map_err(|_| Refusal::bad("the chip id is not hex"))?;
    bytes
        .try_into()
        .map_err(|_| Refusal::bad(format!("the chip id has not {N} bytes")))
}
