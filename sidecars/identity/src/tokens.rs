use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governance_client::GovernanceClient;
use moka::Expiry;
use moka::future::Cache;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::{EntraClient, Identities, IdentityError, SharedError};

/// A token is given out until so long before it expires.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// A failure answers everyone for so long.
const NEGATIVE: Duration = Duration::from_secs(5);
const CAPACITY: u64 = 256;

/// An access token; wiped on drop, never printed.
pub struct AccessToken {
    secret: Zeroizing<String>,
    expires_on: OffsetDateTime,
}

impl AccessToken {
    pub(crate) const fn new(secret: Zeroizing<String>, expires_on: OffsetDateTime) -> Self {
        Self { secret, expires_on }
    }

    /// The bearer token.
    pub fn expose(&self) -> &str {
        &self.secret
    }

    /// When Entra ID ends it.
    pub const fn expires_on(&self) -> OffsetDateTime {
        self.expires_on
    }

    /// Seconds until then, at least 0.
    pub fn expires_in(&self) -> u64 {
        let left = self.expires_on - OffsetDateTime::now_utc();
        u64::try_from(left.whole_seconds()).unwrap_or(0)
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("expires_on", &self.expires_on)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct TokenId {
    tenant: String,
    client: String,
    scope: String,
}

type Outcome = Result<Arc<AccessToken>, SharedError>;

struct Lifetime;

impl Expiry<TokenId, Outcome> for Lifetime {
    fn expire_after_create(&self, _: &TokenId, outcome: &Outcome, _: Instant) -> Option<Duration> {
        Some(match outcome {
            Ok(token) => Duration::from_secs(token.expires_in()).saturating_sub(MARGIN),
            Err(_) => NEGATIVE,
        })
    }
}

/// Tokens for the identities of the policy; one flow at a time for each.
pub struct Tokens {
    identities: Identities,
    governance: GovernanceClient,
    entra: EntraClient,
    cache: Cache<TokenId, Outcome>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("identities", &self.identities)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    /// Tokens of `identities`, whose ID tokens come from `governance`.
    pub fn new(identities: Identities, governance: GovernanceClient, entra: EntraClient) -> Self {
        let cache = Cache::builder()
            .max_capacity(CAPACITY)
            .expire_after(Lifetime)
            .build();
        Self {
            identities,
            governance,
            entra,
            cache,
        }
    }

    /// A token for one client in one tenant.
    ///
    /// # Errors
    /// The request is not usable, the client is unknown, or a hop of the flow refused; the error is repeated for 5 s.
    pub async fn get(
        &self,
        tenant: &str,
        client_id: &str,
        scope: &str,
    ) -> Result<Arc<AccessToken>, SharedError> {
        check("tenantId", tenant, 253, |c| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '.')
        })?;
        check("scope", scope, 1024, |c| c.is_ascii_graphic())?;
        // Unknown clients are refused before they could fill the cache.
        self.identities.find(client_id)?;
        let id = TokenId {
            tenant: tenant.to_ascii_lowercase(),
            client: client_id.to_ascii_lowercase(),
            scope: scope.to_owned(),
        };
        let flow = async {
            self.fetch(&id)
                .await
                .map(Arc::new)
                .map_err(SharedError::from)
        };
        self.cache.get_with_by_ref(&id, flow).await
    }

    #[tracing::instrument(name = "identity.token", skip_all, fields(tenant = id.tenant, client_id = id.client, scope = id.scope))]
    async fn fetch(&self, id: &TokenId) -> Result<AccessToken, IdentityError> {
        let federation = self.identities.find(&id.client)?;
        let assertion = self
            .governance
            .id_token(&federation.subject, &id.tenant, &federation.audience)
            .await?;
        self.entra
            .exchange(&id.tenant, &id.client, &id.scope, &assertion)
            .await
    }
}

fn check(
    name: &'static str,
    text: &str,
    longest: usize,
    allowed: impl Fn(char) -> bool,
) -> Result<(), IdentityError> {
    if text.is_empty() {
        return Err(IdentityError::Request {
            name,
            reason: "is missing or empty",
        });
    }
    if text.len() > longest || !text.chars().all(allowed) || matches!(text, "." | "..") {
        return Err(IdentityError::Request {
            name,
            reason: "is not usable",
        });
    }
    Ok(())
}
