//! AMD's key distribution service (AMD publication 57230). It limits rates by address, so requests keep a distance, and an
//! answer of 429 is believed.

use std::collections::HashMap;
use std::time::Duration;

use http::StatusCode;
use sidecar_http::{HttpsClient, HttpsError, Request, Response};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;
use x509_cert::der::pem::{LineEnding, encode_string};

use super::EndorsementTiming;
use super::attempt::Attempt;
use super::fit::{self, CHAIN_CAP, Misfit};
use snp::{Product, Report};

const HOP: &str = "AMD's key distribution service";
/// AMD's lists of revoked keys have less than 4 KiB.
const CRL_CAP: usize = 1 << 20;
/// What 429 means where it does not say.
const UNSPECIFIED: Duration = Duration::from_secs(60);
/// Nobody is kept away for longer, whatever the answer says.
const LONGEST_BAN: Duration = Duration::from_secs(60 * 60);

#[derive(Debug)]
pub(super) struct Kds {
    https: HttpsClient,
    endpoint: Url,
    /// When the next request may go.
    next: Mutex<Instant>,
    timing: EndorsementTiming,
    /// ASK and ARK of each product: the same for every chip.
    authorities: Mutex<HashMap<Product, String>>,
}

impl Kds {
    pub(super) fn new(https: HttpsClient, endpoint: Url, timing: EndorsementTiming) -> Self {
        Self {
            https,
            endpoint,
            next: Mutex::new(Instant::now()),
            timing,
            authorities: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> String {
        format!("{HOP} ({})", self.endpoint)
    }

    /// The chain for a report; `product` where the report itself does not tell.
    pub(super) async fn fetch(
        &self,
        report: &Report,
        product: Option<Product>,
    ) -> Result<String, Attempt> {
        let end = Instant::now() + self.timing.kds_deadline;
        let candidates = match product {
            Some(product) => vec![product],
            None => candidates(report),
        };
        let mut refused = Vec::new();
        for product in candidates {
            match self.chain(report, product, end).await {
                Ok(pem) => return Ok(pem),
                Err(Refused::Unknown) => refused.push(product.name()),
                Err(Refused::Attempt(attempt)) => return Err(attempt),
            }
        }
        let reason = format!(
            "no certificate for this chip and TCB (asked for {})",
            refused.join(", ")
        );
        Err(Attempt::new(self.name(), reason))
    }

    async fn chain(
        &self,
        report: &Report,
        product: Product,
        end: Instant,
    ) -> Result<String, Refused> {
        let response = self.ask(vcek_path(report, product), CHAIN_CAP, end).await?;
        if response.status == StatusCode::NOT_FOUND {
            return Err(Refused::Unknown);
        }
        let leaf = self.success(response)?;
        let leaf = encode_string("CERTIFICATE", LineEnding::LF, &leaf)
            .map_err(|error| self.refuse(format!("the certificate: {error}")))?;
        let known = self.authorities.lock().await.get(&product).cloned();
        if let Some(authorities) = known {
            return Ok(leaf + &authorities);
        }
        let path = format!("{product}/cert_chain");
        let response = self.ask((path, String::new()), CHAIN_CAP, end).await?;
        let authorities = String::from_utf8(self.success(response)?.to_vec())
            .map_err(|_| self.refuse("the chain is not PEM text"))?;
        let pem = format!("{leaf}{authorities}");
        // Only what a chain was made of with success is kept for the next one.
        if !matches!(fit::check(&pem, report), Err(Misfit::Unreadable(_))) {
            self.authorities.lock().await.insert(product, authorities);
        }
        Ok(pem)
    }

    /// The product's list of revoked keys, DER.
    pub(super) async fn crl(&self, product: Product) -> Result<Vec<u8>, Attempt> {
        let end = Instant::now() + self.timing.kds_deadline;
        let path = (format!("{product}/crl"), String::new());
        let response = self.ask(path, CRL_CAP, end).await?;
        Ok(self.success(response)?.to_vec())
    }

    /// One request, in its turn.
    async fn ask(
        &self,
        (path, query): (String, String),
        cap: usize,
        end: Instant,
    ) -> Result<Response, Attempt> {
        self.turn(end).await?;
        let mut url = self.endpoint.clone();
        url.set_path(&format!("vcek/v1/{path}"));
        url.set_query(Some(query.as_str()).filter(|query| !query.is_empty()));
        let request = Request::get(HOP, url)
            .deadline(Duration::from_secs(10))
            .body_cap(cap);
        let response = self.https.send(&request).await?;
        if response.status == StatusCode::TOO_MANY_REQUESTS {
            let ban = response
                .retry_after()
                .unwrap_or(UNSPECIFIED)
                .min(LONGEST_BAN);
            let mut next = self.next.lock().await;
            *next = (*next).max(Instant::now() + ban);
            let reason = format!(
                "answered {}, come again in {} s",
                response.status,
                ban.as_secs()
            );
            return Err(Attempt::later(self.name(), reason));
        }
        Ok(response)
    }

    async fn turn(&self, end: Instant) -> Result<(), Attempt> {
        let wait = async {
            let mut next = self.next.lock().await;
            if *next > end {
                let seconds = next.saturating_duration_since(Instant::now()).as_secs();
                return Err(format!("not asked: the next request may go in {seconds} s"));
            }
            tokio::time::sleep_until(*next).await;
            *next = Instant::now() + self.timing.kds_interval;
            Ok(())
        };
        match tokio::time::timeout_at(end, wait).await {
            Ok(turn) => turn.map_err(|reason| Attempt::later(self.name(), reason)),
            Err(_) => Err(Attempt::later(self.name(), "not asked: others were before")),
        }
    }

    fn success(&self, response: Response) -> Result<bytes::Bytes, Attempt> {
        if response.status.is_success() {
            return Ok(response.body);
        }
        Err(Attempt::status(self.name(), &response))
    }

    fn refuse(&self, reason: impl Into<String>) -> Attempt {
        Attempt::new(self.name(), reason)
    }
}

enum Refused {
    /// The service knows no such certificate.
    Unknown,
    Attempt(Attempt),
}

impl From<Attempt> for Refused {
    fn from(attempt: Attempt) -> Self {
        Self::Attempt(attempt)
    }
}

impl From<HttpsError> for Attempt {
    fn from(error: HttpsError) -> Self {
        Self::http(HOP, &error)
    }
}

/// The products that a report without one may be of: the chip ids of Turin are short.
fn candidates(report: &Report) -> Vec<Product> {
    let long = report.chip_id().iter().skip(8).any(|byte| *byte != 0);
    if long {
        vec![Product::Milan, Product::Genoa]
    } else {
        vec![Product::Turin]
    }
}

/// Path and query of a report's VCEK.
fn vcek_path(report: &Report, product: Product) -> (String, String) {
    let [a, b, c, d, .., snp, microcode] = report.reported_tcb().to_le_bytes();
    let chip = report.chip_id();
    match product {
        Product::Milan | Product::Genoa => (
            format!("{product}/{}", hex::encode(chip)),
            format!("blSPL={a}&teeSPL={b}&snpSPL={snp}&ucodeSPL={microcode}"),
        ),
        Product::Turin => (
            format!("{product}/{}", hex::encode(chip.get(..8).unwrap_or(chip))),
            format!("fmcSPL={a}&blSPL={b}&teeSPL={c}&snpSPL={d}&ucodeSPL={microcode}"),
        ),
    }
}
