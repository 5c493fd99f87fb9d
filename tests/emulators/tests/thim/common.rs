//! A world, a group on one of its hosts, and a store with sources of that world.

use std::time::Duration;

use attestation::{
    AttestError, AzureCache, EndorsementConfig, EndorsementSource, EndorsementStore,
    EndorsementTiming, Report, SecurityContext,
};
use emulators::amd::{Platform, issue_report_on};
use emulators::thim::Thim;
use emulators::world::{AZURE_CACHE_HOST, KDS_HOST, World, WorldConfig};
use sidecar_http::PlainEndpoint;
use tempfile::TempDir;

pub(crate) const POLICY: &[u8] = b"policy";
/// Other firmware than the test certificates'; both microcodes do not fit into seven bits.
pub(crate) const NEWER: u64 = 0xdc19_0000_0000_0004;

/// The sources of a test, in order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum From {
    Context,
    Thim,
    Azure,
    Kds,
}

pub(crate) const ALL: [From; 4] = [From::Context, From::Thim, From::Azure, From::Kds];

/// A started world with the security context of one group.
pub(crate) struct Setting {
    pub(crate) world: World,
    pub(crate) context: TempDir,
}

impl Setting {
    pub(crate) async fn new() -> Self {
        sidecar_http::install_crypto_provider();
        let context = tempfile::tempdir().unwrap();
        emulators::amd::write_context(context.path(), POLICY).unwrap();
        Self {
            world: World::start(WorldConfig::two_parties()).await.unwrap(),
            context,
        }
    }

    pub(crate) fn thim(&self) -> &Thim {
        &self.world.services().thim
    }

    pub(crate) async fn context(&self) -> SecurityContext {
        SecurityContext::read(self.context.path()).await
    }

    pub(crate) fn store(&self, from: &[From]) -> EndorsementStore {
        self.store_with(from, quick())
    }

    pub(crate) fn store_with(&self, from: &[From], timing: EndorsementTiming) -> EndorsementStore {
        let source = |from: &From| match from {
            From::Context => EndorsementSource::Context,
            From::Thim => {
                let endpoint = PlainEndpoint::explicit(&self.world.thim_endpoint());
                EndorsementSource::Thim(endpoint.unwrap())
            }
            From::Azure => EndorsementSource::AzureCache(AzureCache {
                endpoint: self.world.url(AZURE_CACHE_HOST),
                tee_type: "SevSnpVM".to_owned(),
                api_version: "2020-10-15-preview".to_owned(),
                client_id: "ConfidentialACI".to_owned(),
            }),
            From::Kds => EndorsementSource::Kds(self.world.url(KDS_HOST)),
        };
        let config = EndorsementConfig {
            sources: from.iter().map(source).collect(),
            timing,
        };
        EndorsementStore::new(config, test_support::https(&self.world).unwrap()).unwrap()
    }

    /// What the store finds for a report of `platform`: where from.
    pub(crate) async fn find(
        &self,
        store: &EndorsementStore,
        platform: &Platform,
    ) -> Result<String, AttestError> {
        let (report, context) = (report(platform), self.context().await);
        let found = store.find(&report, &context).await?;
        assert_eq!(found.tcb(), platform.tcb);
        assert_eq!(found.tcbm(), format!("{:016X}", platform.tcb));
        assert_eq!(found.pem().matches("BEGIN CERTIFICATE").count(), 3);
        Ok(found.source().to_owned())
    }

    /// Requests that each service got: THIM, the Azure cache, AMD.
    pub(crate) fn asked(&self) -> [usize; 3] {
        ["thim", "acccache", "kds"].map(|service| self.world.requests(service).len())
    }
}

/// A day of freshness and a minute of silence, as in production; AMD without its distance.
pub(crate) fn quick() -> EndorsementTiming {
    EndorsementTiming {
        first_pause: Duration::from_secs(60),
        kds_interval: Duration::ZERO,
        ..EndorsementTiming::default()
    }
}

pub(crate) fn report(platform: &Platform) -> Report {
    let report = issue_report_on(platform, &[1; 32], &[2; 64]).unwrap();
    Report::parse(&report).unwrap()
}
