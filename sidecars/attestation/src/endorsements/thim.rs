//! THIM: the certificates that the host has now, from the metadata service.

use std::time::Duration;

use http::HeaderName;
use sidecar_http::{PlainClient, Request};

use super::attempt::Attempt;
use super::fit::CHAIN_CAP;
use crate::HostAmdCert;

const HOP: &str = "THIM";

pub(super) async fn fetch(client: &PlainClient) -> Result<String, Attempt> {
    let url = client.endpoint().url();
    let name = name(client);
    let request = Request::get(HOP, url.clone())
        .header(HeaderName::from_static("metadata"), "true")
        .deadline(Duration::from_secs(5))
        .budget(Duration::from_secs(10))
        .body_cap(2 * CHAIN_CAP);
    let response = client
        .send_retrying(&request)
        .await
        .map_err(|error| Attempt::http(&name, &error))?;
    if !response.status.is_success() {
        return Err(Attempt::status(&name, &response));
    }
    let certificates =
        HostAmdCert::parse(&response.body).map_err(|reason| Attempt::new(&name, reason))?;
    Ok(certificates.chain_pem())
}

pub(super) fn name(client: &PlainClient) -> String {
    format!("{HOP} ({})", client.endpoint().url())
}
