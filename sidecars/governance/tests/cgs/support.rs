//! A CGS whose every answer the test writes, behind TLS with a service identity of its own.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use governance::{Args, Attestation, Cgs, Config, GovError, Governance, Room, RoomKey};
use http::{Method, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// One request as CGS saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) body: Bytes,
}

impl Seen {
    /// The event inside the envelope.
    pub(crate) fn event(&self) -> Value {
        let envelope: Value = serde_json::from_slice(&self.body).unwrap();
        let data = BASE64_STANDARD
            .decode(envelope["data"].as_str().unwrap())
            .unwrap();
        serde_json::from_slice(&data).unwrap()
    }
}

type Script = Box<dyn FnMut(&Seen) -> Response + Send>;

#[derive(Clone)]
struct Shared {
    script: Arc<Mutex<Script>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

pub(crate) struct Service {
    pub(crate) endpoint: String,
    pub(crate) service_cert: String,
    shared: Shared,
}

impl Service {
    /// Serves `script` on a free port.
    pub(crate) async fn start(script: impl FnMut(&Seen) -> Response + Send + 'static) -> Self {
        sidecar_http::install_crypto_provider();
        let (service_cert, config) = tls();
        let shared = Shared {
            script: Arc::new(Mutex::new(Box::new(script))),
            seen: Arc::default(),
        };
        let router = Router::new()
            .fallback(any(answer))
            .with_state(shared.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("https://{}", listener.local_addr().unwrap());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let service = TowerToHyperService::new(router);
                        let _ = Builder::new(TokioExecutor::new())
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    }
                });
            }
        });
        Self {
            endpoint,
            service_cert,
            shared,
        }
    }

    /// A governance sidecar of contract `c1` that is pinned to this service.
    pub(crate) fn sidecar(&self) -> Arc<Governance> {
        self.pinned_to(&self.service_cert)
    }

    /// The same, pinned to some other certificate.
    pub(crate) fn pinned_to(&self, service_cert: &str) -> Arc<Governance> {
        let config = Config::of(&Args {
            cgs_endpoint: self.endpoint.clone(),
            cgs_path_prefix: "app/contracts/c1".to_owned(),
            service_cert: BASE64_STANDARD.encode(service_cert),
            commit_deadline: 1,
        });
        let governance = Governance::new(Cgs::new(&config.unwrap()).unwrap()).unwrap();
        let attestation = Attestation {
            evidence: "ZXY=".to_owned(),
            endorsements: "ZW4=".to_owned(),
            uvm_endorsements: "dXY=".to_owned(),
        };
        governance.admit(Room::new(RoomKey::generate().unwrap(), attestation));
        Arc::new(governance)
    }

    /// The events that arrived, in order.
    pub(crate) fn events(&self) -> Vec<Seen> {
        let seen = self.shared.seen.lock().unwrap();
        seen.iter()
            .filter(|seen| seen.method == Method::PUT)
            .cloned()
            .collect()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }
}

async fn answer(State(shared): State<Shared>, method: Method, uri: Uri, body: Bytes) -> Response {
    let seen = Seen { method, uri, body };
    shared.seen.lock().unwrap().push(seen.clone());
    (shared.script.lock().unwrap())(&seen)
}

/// The CCF way: a self-signed service identity that signs a node certificate with no useful name.
fn tls() -> (String, ServerConfig) {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "CCF Network");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let service = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let node_key = KeyPair::generate().unwrap();
    let node = CertificateParams::new(vec!["node".to_owned()]).unwrap();
    let node = node.signed_by(&node_key, &issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(node_key.serialize_der().into());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![node.der().clone()], key)
        .unwrap();
    (service.pem(), config)
}

/// 204 as CGS answers a recorded event.
pub(crate) fn recorded(transaction: &str) -> Response {
    (
        StatusCode::NO_CONTENT,
        [("x-ms-ccf-transaction-id", transaction.to_owned())],
    )
        .into_response()
}

/// An answer with a body.
pub(crate) fn ok(transaction: &str, body: Value) -> Response {
    (
        [("x-ms-ccf-transaction-id", transaction.to_owned())],
        Json(body),
    )
        .into_response()
}

/// The state of a transaction.
pub(crate) fn state(status: &str) -> Response {
    Json(json!({"transaction_id": "2.1", "status": status})).into_response()
}

/// An error of CGS.
pub(crate) fn refused(status: u16, code: &str) -> Response {
    let body = Json(json!({"error": {"code": code, "message": "no"}}));
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

/// Puts an event into the default listing.
pub(crate) async fn put(
    sidecar: &Governance,
    message: &str,
) -> Result<governance::Answer, GovError> {
    let data = json!({"source": "code-launcher", "message": message});
    sidecar.put_event(None, "", data).await
}
