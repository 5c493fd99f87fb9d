//! Who vouches for the processor: the certificates of the chip and TCB that a report names, from wherever they are to be
//! had.
//!
//! The host's firmware may be updated, or the group moved to another host, while it runs. So certificates are looked up
//! for each report, by chip and **reported** TCB, and are used only if that is what their leaf vouches for. No source is
//! believed: signatures are the business of whoever verifies the evidence.

mod attempt;
mod azure;
mod config;
mod fit;
mod kds;
mod remote;
mod shelf;
mod thim;

use std::sync::Arc;

use sidecar_http::{HttpsClient, PlainClient};

pub use config::{AzureCache, CertCache, EndorsementConfig, EndorsementSource, EndorsementTiming};

use snp::{Product, Report};

use crate::{AttestError, SecurityContext};
use attempt::{Attempt, Attempts};
use fit::Misfit;
use kds::Kds;
use remote::Remote;
use shelf::Shelf;

/// Reports of more chips and TCBs than a group can meet.
const CHAINS: u64 = 32;

/// Certificates that fit one chip and TCB. Nobody has checked their signatures yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endorsements {
    pem: String,
    tcb: u64,
    source: String,
}

impl Endorsements {
    /// PEM: VCEK (or VLEK), ASK, ARK.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The TCB that the leaf vouches for, as in the report.
    pub const fn tcb(&self) -> u64 {
        self.tcb
    }

    /// The same in THIM's form: 16 upper-case hex digits.
    pub fn tcbm(&self) -> String {
        format!("{:016X}", self.tcb)
    }

    /// Where they came from, for logs.
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// Finds [`Endorsements`] and keeps them; clones share what is kept. One per process, because AMD limits the rate of
/// requests.
#[derive(Clone, Debug)]
pub struct EndorsementStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sources: Vec<Source>,
    chains: Shelf<Key, Endorsements, Attempts>,
    lists: Shelf<Product, Vec<u8>, Attempts>,
}

#[derive(Debug)]
enum Source {
    Context,
    Remote(Box<Remote>),
}

/// What certificates are for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Key {
    chip: [u8; 64],
    tcb: u64,
}

impl EndorsementStore {
    /// A store that asks `config`'s sources, over `https` and, for THIM alone, plain HTTP.
    ///
    /// # Errors
    /// A client cannot be made.
    pub fn new(config: EndorsementConfig, https: HttpsClient) -> Result<Self, AttestError> {
        let timing = config.timing;
        let sources = config
            .sources
            .into_iter()
            .map(|source| {
                Ok(Source::Remote(Box::new(match source {
                    EndorsementSource::Context => return Ok(Source::Context),
                    EndorsementSource::Thim(endpoint) => Remote::Thim(PlainClient::new(endpoint)?),
                    EndorsementSource::AzureCache(cache) => {
                        Remote::AzureCache(https.clone(), cache)
                    }
                    EndorsementSource::Kds(endpoint) => {
                        Remote::Kds(Kds::new(https.clone(), endpoint, timing))
                    }
                })))
            })
            .collect::<Result<_, AttestError>>()?;
        Ok(Self::of(sources, timing))
    }

    /// A store that has what the security context has, and fetches nothing.
    pub fn context_only() -> Self {
        Self::of(vec![Source::Context], EndorsementTiming::default())
    }

    fn of(sources: Vec<Source>, timing: EndorsementTiming) -> Self {
        Self(Arc::new(Inner {
            sources,
            chains: Shelf::new(CHAINS, timing),
            lists: Shelf::new(CHAINS, timing),
        }))
    }

    /// Certificates for `report`: the context's, if it is the first source and they fit, else those kept, else those of the
    /// first source that has some that fit. Concurrent calls for the same chip and TCB ask once.
    ///
    /// # Errors
    /// [`AttestError::TcbMismatch`] if all that was found is for another TCB of this chip, else
    /// [`AttestError::NoEndorsements`]; both name every source tried and its reason.
    pub async fn find(
        &self,
        report: &Report,
        context: &SecurityContext,
    ) -> Result<Arc<Endorsements>, AttestError> {
        let key = Key {
            chip: *report.chip_id(),
            tcb: report.reported_tcb(),
        };
        let mut offer = Offer::of(report, context);
        if let (Some(Source::Context), Ok(endorsements)) = (self.0.sources.first(), &offer.outcome)
        {
            let endorsements = endorsements.clone();
            self.0.chains.put(key, endorsements.clone()).await;
            return Ok(Arc::new(endorsements));
        }
        offer.product = report.product().or(offer.product);
        let (inner, asked) = (Arc::clone(&self.0), report.clone());
        let found = self
            .0
            .chains
            .get(
                key,
                move || async move { inner.gather(&asked, offer).await },
            )
            .await;
        match found {
            Some(outcome) => outcome.map_err(|attempts| attempts.into_error(report)),
            None => Err(AttestError::Stopping),
        }
    }

    /// AMD's list of revoked keys of `product`: DER, signed by the product's ARK, unverified. Kept as certificates are.
    ///
    /// # Errors
    /// [`AttestError::NoRevocationList`]: AMD is not among the sources, or gives none.
    pub async fn crl(&self, product: Product) -> Result<Arc<Vec<u8>>, AttestError> {
        let inner = Arc::clone(&self.0);
        let fetch = move || async move {
            for source in &inner.sources {
                if let Source::Remote(remote) = source
                    && let Remote::Kds(kds) = remote.as_ref()
                {
                    return kds.crl(product).await.map_err(|one| vec![one].into());
                }
            }
            let reason = "not among the configured sources";
            Err(vec![Attempt::new("AMD's key distribution service", reason)].into())
        };
        match self.0.lists.get(product, fetch).await {
            Some(outcome) => outcome.map_err(|tried: Attempts| AttestError::NoRevocationList {
                product: product.name(),
                tried: tried.to_string(),
                retry: tried.retry(),
            }),
            None => Err(AttestError::Stopping),
        }
    }
}

/// What the security context has for a report.
struct Offer {
    outcome: Result<Endorsements, Attempt>,
    /// The chip's product, where its certificates tell.
    product: Option<Product>,
}

impl Offer {
    fn of(report: &Report, context: &SecurityContext) -> Self {
        const NAME: &str = "the security context";
        let pem = match context.host_amd_cert() {
            Ok(host) => host.chain_pem(),
            Err(error) => {
                return Self {
                    outcome: Err(Attempt::new(NAME, error.to_string())),
                    product: None,
                };
            }
        };
        let mut product = None;
        Self {
            outcome: checked(NAME.to_owned(), pem, report, &mut product),
            product,
        }
    }
}

impl Inner {
    async fn gather(&self, report: &Report, offer: Offer) -> Result<Endorsements, Attempts> {
        let mut product = offer.product;
        let mut offered = Some(offer.outcome);
        let mut attempts = Vec::new();
        for source in &self.sources {
            let outcome = match source {
                Source::Context => match offered.take() {
                    Some(outcome) => outcome,
                    None => continue,
                },
                Source::Remote(remote) => match remote.fetch(report, product).await {
                    Ok(pem) => checked(remote.name(), pem, report, &mut product),
                    Err(attempt) => Err(attempt),
                },
            };
            match outcome {
                Ok(endorsements) => {
                    let (source, tcb) = (endorsements.source(), endorsements.tcbm());
                    tracing::info!(source, tcb, "certificates of the processor found");
                    return Ok(endorsements);
                }
                Err(attempt) => attempts.push(attempt),
            }
        }
        let tried = Attempts::from(attempts);
        tracing::warn!(%tried, "nobody has certificates for the report");
        Err(tried)
    }
}

/// The endorsements in `pem` if they are for `report`; learns the chip's product on the way.
fn checked(
    source: String,
    pem: String,
    report: &Report,
    product: &mut Option<Product>,
) -> Result<Endorsements, Attempt> {
    match fit::check(&pem, report) {
        Ok(()) => Ok(Endorsements {
            pem,
            tcb: report.reported_tcb(),
            source,
        }),
        Err(Misfit::Tcb(tcb, found)) => {
            product.get_or_insert(found);
            Err(Attempt::other_tcb(source, tcb))
        }
        Err(Misfit::Chip(reason)) => {
            let reason = format!("certificates of another chip: {reason}");
            Err(Attempt::new(source, reason))
        }
        Err(Misfit::Unreadable(reason)) => {
            let reason = format!("no chain of leaf, ASK and ARK: {reason}");
            Err(Attempt::new(source, reason))
        }
    }
}

/// Enough of a chip id to tell it from others.
fn chip_shown(report: &Report) -> String {
    hex::encode(report.chip_id().get(..8).unwrap_or_default())
}
