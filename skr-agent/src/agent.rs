use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use attestation::{
    AttestError, Attester, EndorsementStore, Evidence, MaaClient, MaaToken, Report, RuntimeData,
    SecurityContext, Verified, locate_context,
};
use cleanroom_crypto::digest::sha256;
use cleanroom_crypto::rsa::PrivateKey;
use keyvault::ReleaseClient;
use sidecar_http::{HttpsClient, Trust};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use url::Url;
use zeroize::Zeroizing;

use crate::SkrError;
use crate::error::SharedError;
use crate::flights::{Flights, LIMIT};
use crate::wire::Release;

const TRANSFER_KEY_BITS: usize = 2048;
/// How long a released key outlives its flight: long enough for the mounts of one start.
const KEEP: Duration = Duration::from_secs(60);

/// Who may share a released key: same authority, vault, key, caller, and proof of access.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct ReleaseId {
    maa: Url,
    vault: Url,
    kid: String,
    caller: Option<u32>,
    token: [u8; 32],
}

/// A released key as the JWK that callers get.
pub(crate) struct Released {
    pub(crate) jwk: Zeroizing<String>,
}

/// Everything skr-agent can do, over one [`Attester`].
pub struct Agent<A> {
    attester: A,
    context_dir: Option<PathBuf>,
    endorsements: EndorsementStore,
    maa: MaaClient,
    vault: ReleaseClient,
    flights: Flights<ReleaseId, Released, SharedError>,
}

impl<A> std::fmt::Debug for Agent<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").finish_non_exhaustive()
    }
}

impl<A: Attester> Agent<A> {
    /// An agent that reads `context_dir` (or finds the only `/security-context-*`), speaks over `https`, and believes
    /// vault signatures that chain to `trust`. Released keys are dropped when `stopping` is cancelled.
    pub fn new(
        attester: A,
        context_dir: Option<PathBuf>,
        https: HttpsClient,
        trust: Trust,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            attester,
            context_dir,
            endorsements: EndorsementStore::context_only(),
            maa: MaaClient::new(https.clone()),
            vault: ReleaseClient::new(https, trust),
            flights: Flights::new(KEEP, stopping),
        }
    }

    /// Whether evidence can be given at all: a report that fits the policy, the certificates and the endorsement.
    ///
    /// # Errors
    /// What is missing or does not fit.
    #[tracing::instrument(name = "evidence.self_check", skip_all)]
    pub async fn self_check(&self) -> Result<(), SkrError> {
        self.evidence(&RuntimeData::new(*b"self-check")).await?;
        Ok(())
    }

    /// Evidence bound to `runtime`. The context is read anew, because the host's certificates change with its firmware.
    ///
    /// # Errors
    /// No report, or one that does not fit.
    #[tracing::instrument(name = "evidence.collect", skip_all)]
    pub async fn evidence(&self, runtime: &RuntimeData) -> Result<Evidence, SkrError> {
        let directory = locate_context(self.context_dir.as_deref(), Path::new("/"))?;
        let context = SecurityContext::read(&directory).await;
        let endorsements = &self.endorsements;
        Ok(Evidence::collect(&self.attester, &context, endorsements, runtime).await?)
    }

    pub(crate) async fn report(&self, runtime: &RuntimeData) -> Result<Report, SkrError> {
        let report = self.attester.report(runtime.report_data()).await?;
        report.refuse_open_guests().map_err(AttestError::from)?;
        Ok(report)
    }

    pub(crate) async fn token(
        &self,
        maa: &Url,
        runtime: &RuntimeData,
    ) -> Result<Verified<MaaToken>, SkrError> {
        let evidence = self.evidence(runtime).await?;
        Ok(self.maa.attest(maa, &evidence, runtime).await?)
    }

    /// Has a key released, or joins a release of the same key for the same caller.
    pub(crate) async fn release(
        self: &Arc<Self>,
        release: Release,
        caller: Option<u32>,
    ) -> Result<Arc<Released>, SharedError> {
        let id = ReleaseId {
            maa: release.maa.clone(),
            vault: release.vault.clone(),
            kid: release.kid.clone(),
            caller,
            token: sha256(release.access_token.as_bytes()),
        };
        let agent = Arc::clone(self);
        let start = || async move { Ok(agent.release_now(&release).await?) }.in_current_span();
        match self.flights.join(id, start).await {
            Some(outcome) => outcome,
            None => Err(SkrError::Crowded { limit: LIMIT }.into()),
        }
    }

    #[tracing::instrument(
        name = "key.release", skip_all,
        fields(vault = release.vault.host_str(), kid = release.kid)
    )]
    async fn release_now(&self, release: &Release) -> Result<Released, SkrError> {
        let transfer_key = transfer_key().await?;
        let runtime = RuntimeData::of_transfer_key(&transfer_key.public_key());
        let token = self.token(&release.maa, &runtime).await?;
        let key = self
            .vault
            .release(
                &release.vault,
                &release.kid,
                &release.access_token,
                token.jwt(),
                &transfer_key,
            )
            .await?;
        tracing::info!(version = key.version(), "key released");
        Ok(Released { jwk: key.to_jwk() })
    }
}

/// A key for one release. Finding its primes takes long enough to keep it off the event loop.
async fn transfer_key() -> Result<PrivateKey, SkrError> {
    let made = tokio::task::spawn_blocking(|| PrivateKey::generate(TRANSFER_KEY_BITS)).await;
    match made {
        Ok(key) => Ok(key?),
        Err(_) => Err(AttestError::Stopping.into()),
    }
}
