//! AMD's key distribution service (publication 57230).

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;

use super::{Place, Refusal, Thim, hex_of};
use crate::amd::{Platform, Product, mint_authorities, mint_crl, mint_vcek};

pub(super) fn router(thim: Thim) -> Router {
    Router::new()
        .route("/vcek/v1/{product}/cert_chain", get(chain))
        .route("/vcek/v1/{product}/crl", get(list))
        .route("/vcek/v1/{product}/{chip}", get(vcek))
        .with_state(thim)
}

fn product(name: &str) -> Result<Product, Refusal> {
    Product::ALL
        .into_iter()
        .find(|product| product.name() == name)
        .ok_or_else(|| Refusal::unknown("no such product"))
}

async fn chain(State(thim): State<Thim>, Path(name): Path<String>) -> Result<Response, Refusal> {
    let pem = mint_authorities(product(&name)?)?;
    Ok(thim.answer(Place::Kds, "application/x-pem-file", pem.into_bytes()))
}

async fn list(State(thim): State<Thim>, Path(name): Path<String>) -> Result<Response, Refusal> {
    let list = mint_crl(product(&name)?)?;
    Ok(thim.answer(Place::Kds, "application/pkix-crl", list))
}

async fn vcek(
    State(thim): State<Thim>,
    Path((name, chip)): Path<(String, String)>,
    Query(levels): Query<BTreeMap<String, u8>>,
) -> Result<Response, Refusal> {
    let product = product(&name)?;
    let chip_id = match product {
        Product::Turin => {
            let mut whole = [0; 64];
            let short = hex_of::<8>(&chip)?;
            for (to, from) in whole.iter_mut().zip(short) {
                *to = from;
            }
            whole
        }
        Product::Milan | Product::Genoa => hex_of::<64>(&chip)?,
    };
    // The parameters in the order of the TCB's bytes; the gaps are reserved.
    let names: &[&str] = match product {
        Product::Milan | Product::Genoa => {
            &["blSPL", "teeSPL", "", "", "", "", "snpSPL", "ucodeSPL"]
        }
        Product::Turin => &[
            "fmcSPL", "blSPL", "teeSPL", "snpSPL", "", "", "", "ucodeSPL",
        ],
    };
    let mut tcb = [0; 8];
    for (level, name) in tcb.iter_mut().zip(names) {
        if !name.is_empty() {
            *level = *levels
                .get(*name)
                .ok_or_else(|| Refusal::bad(format!("{name} is missing")))?;
        }
    }
    if levels.len() != names.iter().filter(|name| !name.is_empty()).count() {
        return Err(Refusal::bad("a parameter that this product has not"));
    }
    if thim.product(&chip_id) != Some(product) {
        return Err(Refusal::unknown("no such chip of this product"));
    }
    let leaf = mint_vcek(&Platform {
        product,
        chip_id,
        tcb: u64::from_le_bytes(tcb),
        report_version: 3,
    })?;
    Ok(thim.answer(Place::Kds, "application/pkix-cert", leaf))
}
