//! The token issuer: keys, issuer URLs, ID tokens for clean rooms.
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::Uint;

use super::attested::{CleanRoom, ENCRYPTED};
use super::reply::{Answer, Refusal, Reply};
use super::routes::{Exchange, text};
use super::state::Tables;
use super::{consent, wrap};

/// Stands where no global issuer URL is set.
const PLACEHOLDER: &str = "{placeholder}";
/// Longest life of a token when bounded, and how far its start may be from now, seconds.
const LIFE: i64 = 600;
const SKEW: i64 = 300;

/// The issuer, once governance enabled it.
#[derive(Clone)]
pub(super) struct Issuer {
    pub(super) kid: String,
    /// Which generation of signing key is wanted.
    pub(super) request: u64,
}

#[derive(Clone)]
pub(super) struct SigningKey {
    request: u64,
    kid: String,
    pair: Arc<RsaKeyPair>,
}

impl Tables {
    /// The key of the issuer's current request; whether it had to be made.
    pub(super) fn signing_key(&mut self) -> Result<(SigningKey, bool), Refusal> {
        let enabled = self.issuer.as_ref().ok_or_else(|| {
            Refusal::not_allowed(
                "OidcIssuerNotEnabled",
                "The OIDC issuer has not been enabled by a proposal.",
            )
        })?;
        if let Some(key) = self
            .signing_key
            .as_ref()
            .filter(|key| key.request == enabled.request)
        {
            return Ok((key.clone(), false));
        }
        let pair =
            RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| Refusal::exception("no RSA key"))?;
        let kid = format!("{}-{}", enabled.kid, enabled.request);
        let key = SigningKey {
            request: enabled.request,
            kid,
            pair: Arc::new(pair),
        };
        self.signing_key = Some(key.clone());
        Ok((key, true))
    }

    /// `{"keys":[..]}` of the current signing key.
    pub(super) fn jwks(&self) -> Result<Value, Refusal> {
        let key = self.signing_key.as_ref().ok_or_else(no_key)?;
        let unreadable = |_| Refusal::exception("the signing key's public half is unreadable");
        let numbers = Vec::<Uint>::from_der(key.pair.public_key().as_ref()).map_err(unreadable)?;
        let encoded = |number: Option<&Uint>| number.map(|n| URL_SAFE_NO_PAD.encode(n.as_bytes()));
        let (n, e) = (encoded(numbers.first()), encoded(numbers.get(1)));
        // RS256 although tokens are PS256: so does the real service.
        Ok(
            json!({"keys": [{"alg": "RS256", "use": "sig", "kty": "RSA", "kid": key.kid, "e": e, "n": n}]}),
        )
    }
}

fn no_key() -> Refusal {
    Refusal::not_allowed(
        "SigningKeyNotAvailable",
        "Propose enable_oidc_issuer and generate signing key first.",
    )
}

pub(super) fn generate_signing_key(ex: &mut Exchange<'_>) -> Answer {
    ex.member()?;
    let (key, made) = ex.state.tables.signing_key()?;
    if made {
        ex.state.ledger.write();
    }
    Reply::json(&json!({"reqId": key.request.to_string(), "kid": key.kid}))
}

pub(super) fn keys(ex: &mut Exchange<'_>) -> Answer {
    Reply::json(&ex.state.tables.jwks()?)
}

pub(super) fn discovery(ex: &mut Exchange<'_>) -> Answer {
    let issuer = ex.state.tables.issuer_url.as_deref().unwrap_or(PLACEHOLDER);
    Reply::json(&json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["id_token"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }))
}

/// The issuer URL of the caller's tenant, at once.
pub(super) fn set_issuer_url(ex: &mut Exchange<'_>) -> Answer {
    let (_, member) = ex.member()?;
    let no_tenant = || {
        Refusal::bad(
            "NoTenantIdMemberData",
            "The member's member_data has no tenantId.",
        )
    };
    let tenant = member.tenant().ok_or_else(no_tenant)?.to_owned();
    let body = ex.json()?;
    let url = text(&body, "url").unwrap_or_default();
    if !Url::parse(url).is_ok_and(|url| url.scheme() == "https" && url.has_host()) {
        return Err(Refusal::bad(
            "InvalidUrl",
            format!("The issuer url {url:?} is not an https URL."),
        ));
    }
    ex.state.ledger.write();
    ex.state
        .tables
        .tenant_issuers
        .insert(tenant, url.to_owned());
    Ok(Reply::empty())
}

pub(super) fn issuer_info(ex: &mut Exchange<'_>) -> Answer {
    let (_, member) = ex.member()?;
    let tables = &ex.state.tables;
    let mut info = json!({"enabled": tables.issuer.is_some()});
    if let Some(info) = info.as_object_mut() {
        if let Some(url) = &tables.issuer_url {
            info.insert("issuerUrl".to_owned(), json!(url));
        }
        if let Some((tenant, url)) = member
            .tenant()
            .and_then(|tenant| tables.tenant_issuers.get_key_value(tenant))
        {
            info.insert(
                "tenantData".to_owned(),
                json!({"tenantId": tenant, "issuerUrl": url}),
            );
        }
    }
    Reply::json(&info)
}

/// A token's payload; the order of members is the service's.
#[derive(Serialize)]
struct Payload<'a> {
    aud: &'a str,
    exp: Value,
    iss: &'a str,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<Value>,
    sub: &'a str,
    iat: Value,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

pub(super) fn token(ex: &mut Exchange<'_>) -> Answer {
    let contract = ex.param(0);
    let room = CleanRoom::admit(ex, &contract, ENCRYPTED)?;
    let want = |name: &str| {
        ex.query
            .get(name)
            .ok_or_else(|| Refusal::bad("InvalidInput", format!("The query has no {name}.")))
    };
    let (exp, iat, jti) = (want("exp")?, want("iat")?, want("jti")?);
    let (sub, tenant, aud) = (want("sub")?, want("tid")?, want("aud")?);
    let wrap_key = room.encryption_key()?;
    let strictness = ex.cgs.config.strictness;
    if strictness.token_subject_is_contract && sub != contract {
        let message =
            format!("A clean room of contract {contract} gets no token with subject {sub}.");
        return Err(Refusal::forbidden("SubjectNotAllowed", message));
    }
    if strictness.bounded_tokens {
        bounded(ex, exp, iat)?;
    }
    consent::for_secrets(ex, &contract)?;
    let tables = &ex.state.tables;
    let iss = tables
        .tenant_issuers
        .get(tenant)
        .or(tables.issuer_url.as_ref());
    let iss = iss.ok_or_else(|| {
        Refusal::not_allowed(
            "IssuerUrlNotSet",
            format!("Issuer url has not been configured for tenant {tenant}."),
        )
    })?;
    let key = tables.signing_key.as_ref().ok_or_else(no_key)?;
    let date = |date: &str| match date.parse::<i64>() {
        Ok(seconds) if ex.cgs.config.numeric_dates => json!(seconds),
        _ => json!(date),
    };
    let payload = Payload {
        aud,
        exp: date(exp),
        iss,
        jti,
        nbf: ex.query.get("nbf").map(date),
        sub,
        iat: date(iat),
    };
    let jwt = sign(key, &payload)?;
    wrap::wrapped(&wrap_key, jwt.as_bytes())
}

/// Starts about now, ends later, lives 10 minutes at most.
fn bounded(ex: &Exchange<'_>, exp: &str, iat: &str) -> Result<(), Refusal> {
    let now = (ex.cgs.config.now)()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let ok = match (exp.parse::<i64>(), iat.parse::<i64>()) {
        (Ok(exp), Ok(iat)) => {
            iat.abs_diff(now) <= SKEW.unsigned_abs()
                && exp > iat
                && exp.abs_diff(iat) <= LIFE.unsigned_abs()
        }
        _ => false,
    };
    if ok {
        return Ok(());
    }
    let message = format!(
        "A token starts about now and lives {LIFE} seconds at most, not from {iat} to {exp}."
    );
    Err(Refusal::bad("InvalidInput", message))
}

fn sign(key: &SigningKey, payload: &Payload<'_>) -> Result<String, Refusal> {
    let part = |json: serde_json::Result<Vec<u8>>| {
        json.map(|json| URL_SAFE_NO_PAD.encode(json))
            .map_err(|e| Refusal::exception(e.to_string()))
    };
    let header = Header {
        alg: "PS256",
        typ: "JWT",
        kid: &key.kid,
    };
    let signed = format!(
        "{}.{}",
        part(serde_json::to_vec(&header))?,
        part(serde_json::to_vec(payload))?
    );
    let mut signature = vec![0; key.pair.public_modulus_len()];
    key.pair
        .sign(
            &RSA_PSS_SHA256,
            &SystemRandom::new(),
            signed.as_bytes(),
            &mut signature,
        )
        .map_err(|_| Refusal::exception("the token could not be signed"))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
