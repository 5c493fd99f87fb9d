use sidecar_http::{HttpsClient, PlainClient};

use super::attempt::Attempt;
use super::kds::Kds;
use super::{AzureCache, azure, thim};
use snp::{Product, Report};

/// A service that has certificates.
#[derive(Debug)]
pub(super) enum Remote {
    Thim(PlainClient),
    AzureCache(HttpsClient, AzureCache),
    Kds(Kds),
}

impl Remote {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Thim(client) => thim::name(client),
            Self::AzureCache(_, cache) => azure::name(cache),
            Self::Kds(kds) => kds.name(),
        }
    }

    /// A chain that may be the report's.
    pub(super) async fn fetch(
        &self,
        report: &Report,
        product: Option<Product>,
    ) -> Result<String, Attempt> {
        // A report under a VLEK names no chip: only the host has that key's certificate.
        let masked = report.chip_id_masked();
        match self {
            Self::Thim(client) => thim::fetch(client).await,
            _ if masked => {
                let reason = "not asked: the report names no chip";
                Err(Attempt::new(self.name(), reason))
            }
            Self::AzureCache(https, cache) => azure::fetch(https, cache, report).await,
            Self::Kds(kds) => kds.fetch(report, product).await,
        }
    }
}
