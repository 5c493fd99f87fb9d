use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use attestation::{
    AttestError, Attester, ContextPlace, EndorsementStore, Evidence, MaaClient, MaaToken, Report,
    RuntimeData, SecurityContext, TokenCache, Verified, Verifier,
};
use cleanroom_crypto::digest::sha256;
use futures::FutureExt;
use keyvault::ReleaseClient;
use sidecar_http::{ApiVersion, HttpsClient, Trust};
use sidecar_kit::Flights;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use url::Url;
use zeroize::Zeroizing;

use crate::SkrError;
use crate::allowed::Allowed;
use crate::error::SharedError;
use crate::identity::Identity;
use crate::keyprovider::KeyDirectory;
use crate::transfer::TransferKeys;
use crate::wire::Release;

/// Different releases at once, kept ones included.
const LIMIT: usize = 256;
/// How long a released key outlives its flight: long enough for the mounts of one start.
const KEEP: Duration = Duration::from_secs(60);

/// Tokens kept for callers of `/attest/maa`.
const TOKENS: u64 = 64;

/// What an [`Agent`] is told beside its attester and its trust.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the security context is.
    pub context: ContextPlace,
    /// Where the processor's certificates come from.
    pub endorsements: EndorsementStore,
    /// Under which api-version MAA is asked, if not under the client's own.
    pub maa_api_version: Option<ApiVersion>,
    /// As whom MAA is asked.
    pub maa_user_agent: Option<String>,
    /// Where evidence and access tokens may be sent.
    pub allowed: Allowed,
    /// As whom to get the access tokens that callers do not bring.
    pub identity: Option<Identity>,
    /// The public keys for `WrapKey`.
    pub key_directory: Option<KeyDirectory>,
}

/// Who may share a released key: same authority, vault, key, caller, and proof of access.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct ReleaseId {
    maa: Url,
    vault: Url,
    kid: String,
    caller: Option<u32>,
    /// Digest of the caller's token; `None` for the agent's own identity.
    token: Option<[u8; 32]>,
}

/// A released key as callers get it.
pub(crate) struct Released {
    pub(crate) jwk: Zeroizing<String>,
    /// Its URL in the vault, with version.
    pub(crate) kid: String,
}

/// Everything skr-agent can do, over one [`Attester`].
pub struct Agent<A> {
    pub(crate) attester: A,
    pub(crate) verifier: Verifier,
    pub(crate) config: Config,
    key_directory: Option<Arc<KeyDirectory>>,
    maa: MaaClient,
    tokens: TokenCache,
    vault: ReleaseClient,
    transfer_keys: TransferKeys,
    flights: Flights<ReleaseId, Released, SharedError>,
}

impl Config {
    /// The security context in `directory` and what is in it; any endpoint, no identity, no wrapping keys.
    pub fn for_directory(directory: impl Into<PathBuf>) -> Self {
        Self {
            context: ContextPlace {
                directory: Some(directory.into()),
                ..ContextPlace::default()
            },
            endorsements: EndorsementStore::context_only(),
            maa_api_version: None,
            maa_user_agent: None,
            allowed: Allowed::any(),
            identity: None,
            key_directory: None,
        }
    }
}

impl<A> std::fmt::Debug for Agent<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl<A: Attester> Agent<A> {
    /// An agent that gives out what `verifier` accepts of `attester`, speaks over `https` and believes vault signatures
    /// that chain to `trust`. Released keys are dropped when `stopping` is cancelled.
    pub fn new(
        attester: A,
        verifier: Verifier,
        https: HttpsClient,
        trust: Trust,
        config: Config,
        stopping: CancellationToken,
    ) -> Self {
        let mut maa = MaaClient::new(https.clone());
        if let Some(version) = &config.maa_api_version {
            maa = maa.with_api_version(version.clone());
        }
        if let Some(name) = &config.maa_user_agent {
            maa = maa.with_user_agent(name);
        }
        Self {
            attester,
            verifier,
            key_directory: config.key_directory.clone().map(Arc::new),
            config,
            maa,
            tokens: TokenCache::new(TOKENS),
            vault: ReleaseClient::new(https, trust),
            transfer_keys: TransferKeys::default(),
            flights: Flights::new(LIMIT, KEEP, stopping),
        }
    }

    /// Keeps one transfer key ready, so that a release does not wait for it; returns when `stopping` is cancelled.
    pub async fn keep_transfer_key_ready(&self, stopping: &CancellationToken) {
        self.transfer_keys.keep_one_ready(stopping).await;
    }

    pub(crate) const fn key_directory(&self) -> Option<&Arc<KeyDirectory>> {
        self.key_directory.as_ref()
    }

    /// The security context as it is now: the host's certificates change with its firmware.
    pub(crate) async fn context(&self) -> SecurityContext {
        SecurityContext::find(&self.config.context).await
    }

    /// Evidence bound to `runtime`, as whoever relies on it would accept it.
    ///
    /// # Errors
    /// No report, or evidence that does not verify.
    #[tracing::instrument(name = "evidence.collect", skip_all)]
    pub async fn evidence(&self, runtime: &RuntimeData) -> Result<Verified<Evidence>, AttestError> {
        let context = self.context().await;
        let (store, verifier) = (&self.config.endorsements, &self.verifier);
        Evidence::collect(&self.attester, &context, store, verifier, runtime).await
    }

    /// A report bound to `runtime`, verified as far as something vouches for it.
    pub(crate) async fn report(&self, runtime: &RuntimeData) -> Result<Report, SkrError> {
        let context = self.context().await;
        let (store, verifier) = (&self.config.endorsements, &self.verifier);
        let report =
            Evidence::report_alone(&self.attester, &context, store, verifier, runtime).await?;
        Ok(report)
    }

    /// A token over runtime data that the caller chose: the one that is kept, or a new one.
    pub(crate) async fn token(
        &self,
        maa: &Url,
        runtime: &RuntimeData,
    ) -> Result<Arc<Verified<MaaToken>>, SkrError> {
        self.config.allowed.check_maa(maa)?;
        // Boxed: the way to a token is long, and the cache holds it in several frames.
        let fetch = || self.fresh_token(maa, runtime).boxed();
        match self.tokens.get(maa, runtime, fetch()).await {
            // Dropped while it was asked for: it is as good as not there.
            Err(AttestError::Forgotten) => Ok(self.tokens.get(maa, runtime, fetch()).await?),
            outcome => Ok(outcome?),
        }
    }

    async fn fresh_token(
        &self,
        maa: &Url,
        runtime: &RuntimeData,
    ) -> Result<Verified<MaaToken>, AttestError> {
        let evidence = self.evidence(runtime).await?;
        self.maa.attest(maa, &evidence, runtime).await
    }

    /// Has a key released, or joins a release of the same key for the same caller.
    pub(crate) async fn release(
        self: &Arc<Self>,
        release: Release,
        caller: Option<u32>,
    ) -> Result<Arc<Released>, SharedError> {
        self.config.allowed.check_maa(&release.maa)?;
        self.config.allowed.check_vault(&release.vault)?;
        let token = release.access_token.as_deref();
        let id = ReleaseId {
            maa: release.maa.clone(),
            vault: release.vault.clone(),
            kid: release.kid.clone(),
            caller,
            token: token.map(|token| sha256(token.as_bytes())),
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
        let (access_token, transfer_key) =
            tokio::try_join!(self.access_token(release), self.transfer_keys.take())?;
        let runtime = RuntimeData::of_transfer_key(&transfer_key.public_key());
        // A transfer key is used once, and so is the token that names it.
        let token = self.fresh_token(&release.maa, &runtime).await?;
        let key = self
            .vault
            .release(
                &release.vault,
                &release.kid,
                &access_token,
                token.jwt(),
                &transfer_key,
            )
            .await?;
        tracing::info!(version = key.version(), "key released");
        Ok(Released {
            jwk: key.to_jwk(),
            kid: key.kid().to_owned(),
        })
    }

    /// The caller's token, or one of the agent's own identity, which goes to listed vaults only.
    async fn access_token(&self, release: &Release) -> Result<Zeroizing<String>, SkrError> {
        if let Some(token) = &release.access_token {
            return Ok(token.clone());
        }
        let refuse = |reason| SkrError::NoToken {
            vault: release.vault.to_string(),
            reason,
        };
        let identity = self.config.identity.as_ref().ok_or_else(|| {
            refuse("send one, or set --identity-client-id and --identity-tenant-id")
        })?;
        let kind = self.config.allowed.vault_kind(&release.vault);
        let kind = kind.ok_or_else(|| refuse("list the vault and its kind with --allow-vault"))?;
        identity.token(&release.vault, kind).await
    }
}

#[cfg(test)]
mod tests;
