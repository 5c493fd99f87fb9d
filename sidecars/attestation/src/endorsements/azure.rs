//! The Azure certificate cache.

use std::time::Duration;

use sidecar_http::{HttpsClient, Request};

use super::AzureCache;
use super::attempt::Attempt;
use super::fit::CHAIN_CAP;
use crate::Report;

const HOP: &str = "the Azure certificate cache";

pub(super) async fn fetch(
    https: &HttpsClient,
    cache: &AzureCache,
    report: &Report,
) -> Result<String, Attempt> {
    let name = name(cache);
    let mut url = cache.endpoint.clone();
    // The cache spells the TCB without leading zeros.
    url.set_path(&format!(
        "{}/certificates/{}/{:x}",
        cache.tee_type,
        hex::encode(report.chip_id()),
        report.reported_tcb()
    ));
    url.query_pairs_mut()
        .append_pair("api-version", &cache.api_version)
        .append_pair("clientId", &cache.client_id);
    let request = Request::get(HOP, url)
        .deadline(Duration::from_secs(5))
        .budget(Duration::from_secs(15))
        .body_cap(CHAIN_CAP);
    let response = https
        .send_retrying(&request)
        .await
        .map_err(|error| Attempt::http(&name, &error))?;
    if !response.status.is_success() {
        return Err(Attempt::status(&name, &response));
    }
    String::from_utf8(response.body.to_vec())
        .map_err(|_| Attempt::new(&name, "the answer is not PEM text"))
}

pub(super) fn name(cache: &AzureCache) -> String {
    format!("{HOP} ({})", cache.endpoint)
}
