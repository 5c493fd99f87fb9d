use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cleanroom_crypto::random;
use governance_client::{ConsentStatus, Scope, check_query_value};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use sidecar_http::Pace;
use zeroize::Zeroizing;

use crate::chain::Place;
use crate::journal::Journal;
use crate::{Answer, Cgs, GovError, Room};

/// An ID token is exchanged at once; CGS sets no bound of its own.
const TOKEN_LIFETIME: u64 = 300;
/// How long a cut-off node may keep answering before consent is an error.
const CATCH_UP: Duration = Duration::from_secs(5);

/// The sidecar's three operations, for one contract.
#[derive(Debug)]
pub struct Governance {
    cgs: Cgs,
    journal: Journal,
    room: OnceLock<Room>,
}

impl Governance {
    /// A sidecar without evidence yet: every operation fails with [`GovError::NotReady`].
    ///
    /// # Errors
    /// [`GovError::Crypto`] without random bytes.
    pub fn new(cgs: Cgs) -> Result<Self, GovError> {
        Ok(Self {
            journal: Journal::new(cgs.contract())?,
            cgs,
            room: OnceLock::new(),
        })
    }

    /// Key and evidence have arrived. A second call changes nothing.
    pub fn admit(&self, room: Room) {
        let _ = self.room.set(room);
    }

    /// Asks for consent and passes CGS' answer on as it is.
    ///
    /// # Errors
    /// CGS refused, answered from a state that is older than one it committed before, or with another shape.
    #[tracing::instrument(skip_all, fields(%scope))]
    pub async fn consent(&self, scope: Scope) -> Result<Answer, GovError> {
        let body = self.room()?.attested()?;
        let mut pace = Pace::new(Duration::from_millis(100), Duration::from_secs(1), CATCH_UP);
        loop {
            let path = format!("consentcheck/{scope}");
            let answer = self.cgs.ask(&path, None, body.clone()).await?;
            let stale = self.cgs.fresh(answer.transaction()?);
            match stale {
                Ok(()) => {
                    let status: ConsentStatus = answer.json()?;
                    if !matches!(status.status.as_str(), "enabled" | "disabled") {
                        return Err(GovError::Answer {
                            what: "a consent status that is neither enabled nor disabled",
                        });
                    }
                    return Ok(answer);
                }
                Err(error) if !pace.pause().await => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Records an event and returns after its commit. `id` and `scope` choose the listing.
    ///
    /// # Errors
    /// The event is not usable, CGS refused it, or its commit was not seen.
    #[tracing::instrument(skip_all, fields(scope))]
    pub async fn put_event(
        &self,
        id: Option<&str>,
        scope: &str,
        data: Value,
    ) -> Result<Answer, GovError> {
        let place = self.place(id, scope)?;
        let Value::Object(data) = data else {
            return Err(GovError::Request {
                reason: "an event is a JSON object".to_owned(),
            });
        };
        self.journal.put(&self.cgs, self.room()?, place, data).await
    }

    /// An ID token of this contract for `audience`, valid for five minutes, with the headers of CGS' answer.
    ///
    /// # Errors
    /// The subject is not the own contract, a value is unsafe, or CGS refused.
    #[tracing::instrument(skip_all, fields(tenant, audience))]
    pub async fn token(
        &self,
        subject: &str,
        tenant: &str,
        audience: &str,
    ) -> Result<(Zeroizing<String>, HeaderMap), GovError> {
        #[derive(Deserialize)]
        struct Wrapped {
            value: String,
        }
        check_query_value("sub", subject)?;
        check_query_value("tenantId", tenant)?;
        check_query_value("aud", audience)?;
        // CGS would mint a token for any subject, another collaboration's included.
        if subject != self.cgs.contract() {
            return Err(GovError::Subject {
                own: self.cgs.contract().to_owned(),
                asked: subject.to_owned(),
            });
        }
        let room = self.room()?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let jti = hex::encode(random::bytes::<16>()?);
        let query = format!(
            "nbf={now}&exp={exp}&iat={now}&jti={jti}&sub={subject}&tid={tenant}&aud={audience}",
            exp = now + TOKEN_LIFETIME,
        );
        let body = room.encrypted()?;
        let answer = self.cgs.ask("oauth/token", Some(&query), body).await?;
        let wrapped: Wrapped = answer.json()?;
        let wrapped = BASE64_STANDARD
            .decode(wrapped.value)
            .map_err(|_| GovError::Answer {
                what: "a wrapped token that is not base64",
            })?;
        let clear = room.key().unwrap(&wrapped)?;
        let token = std::str::from_utf8(&clear).map_err(|_| GovError::Answer {
            what: "a token that is not text",
        })?;
        Ok((Zeroizing::new(token.to_owned()), answer.headers))
    }

    fn room(&self) -> Result<&Room, GovError> {
        self.room.get().ok_or(GovError::NotReady)
    }

    fn place(&self, id: Option<&str>, scope: &str) -> Result<Place, GovError> {
        if !scope.is_empty() {
            check_query_value("scope", scope)?;
        }
        if let Some(id) = id {
            check_query_value("id", id)?;
        }
        // CGS names its maps `events-<contract>-<scope>`: a hyphen in the scope could reach another contract's map.
        let foreign = |name: &str| name.contains('-') || name.contains('/');
        let own = self.cgs.contract();
        if foreign(scope) || id.is_some_and(|id| id != own && foreign(id)) {
            return Err(GovError::Request {
                reason: "a scope or an id of an event has no - and no /".to_owned(),
            });
        }
        Ok(Place {
            id: id.map(str::to_owned),
            scope: scope.to_owned(),
        })
    }
}
