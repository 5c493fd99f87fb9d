//! From a host name to a service, through the planned faults and into the request log.
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use url::Url;

use crate::upset::{Kind, RequestRecord, Upsets};

/// Bodies larger than this are cut off when a faulted answer has to be held whole.
const HELD_BODY: usize = 256 << 20;

/// The connection is to be cut instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was cut by an upset")]
pub(super) struct Cut;

#[derive(Debug)]
struct Site {
    service: &'static str,
    router: Router,
}

/// The sites of one world.
#[derive(Debug)]
pub(super) struct Dispatch {
    sites: HashMap<String, Site>,
    /// Answers to every name that has no site of its own.
    any: Option<Site>,
    upsets: Upsets,
}

impl Dispatch {
    pub(super) fn new(upsets: Upsets) -> Self {
        Self {
            sites: HashMap::new(),
            any: None,
            upsets,
        }
    }

    /// One service for whatever name a client uses.
    pub(super) fn only(upsets: Upsets, service: &'static str, router: Router) -> Self {
        Self {
            sites: HashMap::new(),
            any: Some(Site { service, router }),
            upsets,
        }
    }

    pub(super) fn add(&mut self, host: &str, service: &'static str, router: Router) {
        self.sites.insert(host.to_owned(), Site { service, router });
    }

    /// Answers one request; `connection` is cancelled to cut the transport below the answer.
    pub(super) async fn answer(
        &self,
        mut request: Request<Body>,
        connection: &CancellationToken,
    ) -> Result<Response<Body>, Cut> {
        let Some(authority) = authority_of(&request) else {
            return Ok(plain(StatusCode::BAD_REQUEST, "no host named"));
        };
        let host = authority
            .rsplit_once(':')
            .map_or(authority.as_str(), |(host, _)| host)
            .to_ascii_lowercase();
        let Some(site) = self.sites.get(&host).or(self.any.as_ref()) else {
            return Ok(plain(StatusCode::MISDIRECTED_REQUEST, "no such host here"));
        };
        // HTTP/2 carries the name in `:authority`; services read it from the one place.
        if !request.headers().contains_key(header::HOST)
            && let Ok(value) = HeaderValue::from_str(&authority)
        {
            request.headers_mut().insert(header::HOST, value);
        }
        let method = request.method().to_string();
        let path = request
            .uri()
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default();
        let kind = self.upsets.take(site.service, &method, &path);
        let began = Instant::now();
        let answer = faulted(site, kind, request, connection).await;
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let status = answer
            .as_ref()
            .map_or(0, |response| response.status().as_u16());
        tracing::debug!(service = site.service, %method, %path, status, "answered");
        self.upsets.record(
            site.service,
            RequestRecord {
                method,
                path,
                host,
                status,
                micros,
            },
        );
        answer
    }

    /// GET inside the process: the way one service of the world reads another's published document.
    pub(super) async fn fetch(&self, url: &Url) -> Result<Bytes, String> {
        let authority = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => return Err(format!("{url} names no host")),
        };
        let path = url.query().map_or_else(
            || url.path().to_owned(),
            |query| format!("{}?{query}", url.path()),
        );
        let request = Request::get(path)
            .header(header::HOST, authority)
            .body(Body::empty())
            .map_err(|e| format!("{url} cannot be requested: {e}"))?;
        let response = self
            .answer(request, &CancellationToken::new())
            .await
            .map_err(|e| format!("{url} not fetched: {e}"))?;
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|e| format!("{url} not read: {e}"))?
            .to_bytes();
        if status.is_success() {
            Ok(body)
        } else {
            Err(format!("{url} answered {status}"))
        }
    }
}

async fn faulted(
    site: &Site,
    kind: Option<Kind>,
    request: Request<Body>,
    connection: &CancellationToken,
) -> Result<Response<Body>, Cut> {
    match kind {
        None => Ok(serve(site, request).await),
        Some(Kind::Status(status)) => {
            drain(request.into_body()).await;
            Ok(front_end(site.service, status))
        }
        Some(Kind::Throttle(seconds)) => {
            drain(request.into_body()).await;
            Ok(throttled(site.service, &seconds.to_string()))
        }
        Some(Kind::ThrottleUntil(seconds)) => {
            drain(request.into_body()).await;
            let date = SystemTime::now() + Duration::from_secs(seconds);
            Ok(throttled(site.service, &httpdate::fmt_http_date(date)))
        }
        Some(Kind::Delay(milliseconds)) => {
            tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            Ok(serve(site, request).await)
        }
        Some(Kind::Reset) => {
            connection.cancel();
            Err(Cut)
        }
        Some(Kind::LoseAnswer) => {
            serve(site, request).await;
            connection.cancel();
            Err(Cut)
        }
        Some(Kind::TamperBody) => tampered(serve(site, request).await).await,
        Some(Kind::TruncateBody) => truncated(serve(site, request).await, connection.clone()).await,
    }
}

async fn serve(site: &Site, request: Request<Body>) -> Response<Body> {
    match site.router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Half of the body under headers that promise all of it.
async fn truncated(
    response: Response<Body>,
    connection: CancellationToken,
) -> Result<Response<Body>, Cut> {
    let (mut parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, HELD_BODY)
        .await
        .map_err(|_| Cut)?;
    if whole.is_empty() {
        connection.cancel();
        return Err(Cut);
    }
    parts
        .headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let half = whole.slice(..whole.len() / 2);
    // Pending once, so that the server writes the half out before the connection goes.
    let cut = async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        connection.cancel();
        Err(Cut)
    };
    let frames = stream::once(async move { Ok(half) }).chain(stream::once(cut.boxed()));
    Ok(Response::from_parts(parts, Body::from_stream(frames)))
}

/// The same answer with one character changed, so that it is still of its form.
async fn tampered(response: Response<Body>) -> Result<Response<Body>, Cut> {
    let (parts, body) = response.into_parts();
    let mut whole = axum::body::to_bytes(body, HELD_BODY)
        .await
        .map_err(|_| Cut)?
        .to_vec();
    let middle = whole.len() / 2;
    let letter = whole
        .iter_mut()
        .skip(middle)
        .find(|byte| byte.is_ascii_alphanumeric());
    if let Some(byte) = letter {
        *byte = if *byte == b'A' { b'B' } else { b'A' };
    }
    Ok(Response::from_parts(parts, Body::from(whole)))
}

/// The answer of an overloaded front end, in the shape the service's clients parse.
fn front_end(service: &str, status: u16) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let code = match status.as_u16() {
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServerBusy",
        _ => "Upset",
    };
    let (kind, body) = match service {
        "blob" => (
            "application/xml",
            format!(
                "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>upset</Message></Error>"
            ),
        ),
        "registry" => (
            "application/json",
            format!(r#"{{"errors":[{{"code":"{code}","message":"upset"}}]}}"#),
        ),
        _ => (
            "application/json",
            format!(r#"{{"error":{{"code":"{code}","message":"upset"}}}}"#),
        ),
    };
    let mut response = plain(status, &body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if matches!(service, "blob" | "dfs") {
        response
            .headers_mut()
            .insert("x-ms-error-code", HeaderValue::from_static(code));
    }
    response
}

fn throttled(service: &str, retry_after: &str) -> Response<Body> {
    let mut response = front_end(service, 429);
    if let Ok(value) = HeaderValue::from_str(retry_after) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    response
}

async fn drain(body: Body) {
    let mut frames = body.into_data_stream();
    while let Some(Ok(_)) = frames.next().await {}
}

fn authority_of(request: &Request<Body>) -> Option<String> {
    let named = request.uri().authority().map(ToString::to_string);
    named.or_else(|| {
        Some(
            request
                .headers()
                .get(header::HOST)?
                .to_str()
                .ok()?
                .to_owned(),
        )
    })
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = status;
    response
}
