use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Json, Router};
use cleanroom_crypto::digest::sha256;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// One request as CCF saw it, with the id of the member whose certificate the connection showed.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) body: Bytes,
    pub(crate) member: String,
}

type Script = Box<dyn FnMut(&Seen) -> Value + Send>;

#[derive(Clone)]
struct Shared {
    script: Arc<Mutex<Script>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A CCF whose answers the test writes: JSON with 200, an `error` object with 404, `"202"` for a range being loaded.
/// Every transaction is `2.9`, pending at the first question of each write and committed at the second.
pub(crate) struct Ccf {
    pub(crate) endpoint: String,
    pub(crate) service_cert: String,
    shared: Shared,
}

impl Ccf {
    pub(crate) async fn start(script: impl FnMut(&Seen) -> Value + Send + 'static) -> Self {
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
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
                    let member = shown
                        .first()
                        .map(|cert| hex::encode(sha256(cert)))
                        .unwrap_or_default();
                    let service = TowerToHyperService::new(router.layer(Extension(member)));
                    let _ = Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            endpoint,
            service_cert,
            shared,
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }
}

async fn answer(
    State(shared): State<Shared>,
    Extension(member): Extension<String>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let seen = Seen {
        method,
        uri,
        body,
        member,
    };
    let before = {
        let mut all = shared.seen.lock().unwrap();
        all.push(seen.clone());
        all.len().checked_sub(2).and_then(|at| all.get(at)).cloned()
    };
    if seen.uri.path() == "/app/tx" {
        let again = before.is_some_and(|before| before.uri.path() == "/app/tx");
        let status = if again { "Committed" } else { "Pending" };
        return Json(json!({"transaction_id": "2.9", "status": status})).into_response();
    }
    let value = (shared.script.lock().unwrap())(&seen);
    let status = match &value {
        Value::String(text) if text == "202" => {
            return (StatusCode::ACCEPTED, [("retry-after", "0")]).into_response();
        }
        value if value.get("error").is_some() => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    };
    (status, [("x-ms-ccf-transaction-id", "2.9")], Json(value)).into_response()
}

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
        .with_client_cert_verifier(Arc::new(AnyMember))
        .with_single_cert(vec![node.der().clone()], key)
        .unwrap();
    (service.pem(), config)
}

/// CCF takes any certificate whose key the client holds and looks the member up itself.
#[derive(Debug)]
struct AnyMember;

impl AnyMember {
    fn algorithms() -> rustls::crypto::WebPkiSupportedAlgorithms {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms
    }
}

impl ClientCertVerifier for AnyMember {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &Self::algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &Self::algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::algorithms().supported_schemes()
    }
}
