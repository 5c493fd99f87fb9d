//! From a request to the handler of its path and verb. Path segments are taken as sent, never decoded.
use axum::Router;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, Request, StatusCode, header};
use serde_json::Value;

use super::member::{Member, member_id};
use super::query::Query;
use super::reply::{Answer, CERT_POLICY, Refusal};
use super::state::State;
use super::{Cgs, ClientCertificate, Inner};
use super::{consent, contracts, documents, events, gov, oidc, policy, secrets, service};

/// Largest request body: 1 MiB, as CCF's default.
const BODY_CAP: usize = 1 << 20;

/// One request on its way through a handler.
pub(super) struct Exchange<'a> {
    pub(super) cgs: &'a Inner,
    pub(super) state: &'a mut State,
    pub(super) query: Query,
    pub(super) body: &'a [u8],
    pub(super) content_type: &'a str,
    params: Vec<String>,
    caller: Option<&'a [u8]>,
}

type Handler = fn(&mut Exchange<'_>) -> Answer;

/// `{}` stands for one segment, with what follows it in the pattern cut off.
const ROUTES: &[(&str, &str, Handler)] = &[
    ("GET", "node/network", service::network),
    ("GET", "app/tx", service::transaction),
    ("GET", "app/commit", service::commit),
    ("GET", "gov/service/info", service::info),
    ("GET", "gov/service/members", service::members),
    (
        "GET",
        "gov/service/transactions/{}",
        service::gov_transaction,
    ),
    ("POST", "gov/members/proposals:create", gov::create),
    ("GET", "gov/members/proposals", gov::list),
    ("GET", "gov/members/proposals/{}", gov::show),
    ("GET", "gov/members/proposals/{}/actions", gov::actions),
    ("POST", "gov/members/proposals/{}:withdraw", gov::withdraw),
    ("GET", "gov/members/proposals/{}/ballots/{}", gov::ballot),
    (
        "POST",
        "gov/members/proposals/{}/ballots/{}:submit",
        gov::submit,
    ),
    (
        "POST",
        "gov/members/state-digests/{}:update",
        gov::update_digest,
    ),
    ("POST", "gov/members/state-digests/{}:ack", gov::ack),
    ("GET", "app/contracts", contracts::list),
    ("GET", "app/contracts/{}", contracts::get),
    ("PUT", "app/contracts/{}", contracts::put),
    (
        "POST",
        "app/contracts/{}/checkstatus/{}",
        consent::for_member,
    ),
    (
        "POST",
        "app/contracts/{}/consentcheck/{}",
        consent::for_clean_room,
    ),
    ("POST", "app/contracts/{}/enable", consent::enable),
    ("POST", "app/contracts/{}/disable", consent::disable),
    ("GET", "app/contracts/{}/events", events::list),
    ("PUT", "app/contracts/{}/events", events::put),
    ("PUT", "app/contracts/{}/secrets/{}", secrets::put),
    ("POST", "app/contracts/{}/secrets/{}", secrets::get),
    ("GET", "app/contracts/{}/cleanroompolicy", policy::get),
    (
        "GET",
        "app/contracts/{}/deploymentspec",
        policy::deployment_spec,
    ),
    ("POST", "app/contracts/{}/oauth/token", oidc::token),
    (
        "POST",
        "app/contracts/{}/acceptedDocuments/{}",
        documents::accepted,
    ),
    ("GET", "app/documents", documents::list),
    ("GET", "app/documents/{}", documents::get),
    ("PUT", "app/documents/{}", documents::put),
    ("GET", "app/proposals/{}/historical", gov::historical),
    (
        "GET",
        "app/oidc/.well-known/openid-configuration",
        oidc::discovery,
    ),
    ("GET", "app/oidc/keys", oidc::keys),
    (
        "POST",
        "app/oidc/generateSigningKey",
        oidc::generate_signing_key,
    ),
    ("POST", "app/oidc/setIssuerUrl", oidc::set_issuer_url),
    ("GET", "app/oidc/issuerInfo", oidc::issuer_info),
    (
        "POST",
        "app/runtimeoptions/checkstatus/{}",
        consent::service_option,
    ),
];

pub(super) fn router(cgs: Cgs) -> Router {
    Router::new().fallback(serve).with_state(cgs)
}

async fn serve(Shared(cgs): Shared<Cgs>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_CAP).await;
    let mut state = cgs.state();
    state.ledger.begin();
    let answer = body.map_err(|_| too_large()).and_then(|body| {
        let (handler, params) = find(parts.method.as_str(), parts.uri.path())?;
        handler(&mut Exchange {
            cgs: &cgs.inner,
            state: &mut state,
            query: Query::read(
                parts.uri.query().unwrap_or_default(),
                cgs.inner.config.query_decoding,
            ),
            body: &body,
            content_type: parts
                .headers
                .get(header::CONTENT_TYPE)
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default(),
            params,
            caller: parts
                .extensions
                .get::<ClientCertificate>()
                .map(|cert| cert.0.as_slice()),
        })
    });
    let transaction = state.ledger.answered().to_string();
    drop(state);
    let mut response = answer.map_or_else(Refusal::into_response, |reply| reply.into_response());
    if let Ok(value) = HeaderValue::from_str(&transaction) {
        response
            .headers_mut()
            .insert("x-ms-ccf-transaction-id", value);
    }
    response
}

fn too_large() -> Refusal {
    let message = format!("The request body is larger than {BODY_CAP} bytes, or broke off.");
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "RequestBodyTooLarge",
        message,
    )
}

fn find(method: &str, path: &str) -> Result<(Handler, Vec<String>), Refusal> {
    let mut allowed = Vec::new();
    for (verb, pattern, handler) in ROUTES {
        if let Some(params) = params(pattern, path) {
            if *verb == method {
                return Ok((*handler, params));
            }
            allowed.push(*verb);
        }
    }
    if allowed.is_empty() {
        return Err(Refusal::missing(
            "ResourceNotFound",
            format!("Unknown path: {path}."),
        ));
    }
    Err(Refusal::verb(&allowed))
}

fn params(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut params = Vec::new();
    let (mut want, mut have) = (pattern.split('/'), path.strip_prefix('/')?.split('/'));
    loop {
        match (want.next(), have.next()) {
            (None, None) => return Some(params),
            (Some(want), Some(have)) => match want.strip_prefix("{}") {
                Some(suffix) => params.push(
                    have.strip_suffix(suffix)
                        .filter(|param| !param.is_empty())?
                        .to_owned(),
                ),
                None if want == have => {}
                None => return None,
            },
            _ => return None,
        }
    }
}

impl<'a> Exchange<'a> {
    /// Segment `index` of those the path leaves open.
    pub(super) fn param(&self, index: usize) -> String {
        self.params.get(index).cloned().unwrap_or_default()
    }

    /// The member that the connection's certificate names, whatever its status.
    pub(super) fn member(&self) -> Result<(String, &Member), Refusal> {
        let refuse = |message: &str| Refusal::unauthenticated(CERT_POLICY, message);
        let id = member_id(self.caller.ok_or_else(|| refuse("No caller certificate"))?);
        match self.state.tables.members.get(&id) {
            Some(member) => Ok((id, member)),
            None => Err(refuse("Could not find matching member certificate")),
        }
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Value, Refusal> {
        serde_json::from_slice(self.body)
            .map_err(|e| Refusal::exception(format!("the body is not JSON: {e}")))
    }
}

/// A member of an object as text; none if it is absent, empty or something else.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value
        .get(name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_suffix_belongs_to_the_pattern_and_the_rest_is_the_parameter() {
        assert_eq!(
            params("a/{}:submit", "/a/b:submit"),
            Some(vec!["b".to_owned()])
        );
        for path in [
            "/a/b",
            "/a/:submit",
            "/a/b:submit/",
            "/a//b:submit",
            "a/b:submit",
        ] {
            assert_eq!(params("a/{}:submit", path), None, "{path}");
        }
        assert_eq!(params("a/{}", "/a/b%2Fc"), Some(vec!["b%2Fc".to_owned()]));
    }
}
