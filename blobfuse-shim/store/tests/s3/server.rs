//! A service whose every answer the test writes, over TLS.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, Uri};
use axum::response::Response;
use axum::routing::any;
use blob_store::{S3Config, S3Credentials, S3Store};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use sidecar_http::{HttpsClient, Trust};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;
use zeroize::Zeroizing;

/// One request: method, path and query.
pub(crate) type Seen = (Method, String);

/// `None` never answers.
type Script = Box<dyn FnMut(&Seen) -> Option<Response> + Send>;

#[derive(Clone)]
struct Shared {
    script: Arc<Mutex<Script>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

pub(crate) struct Server {
    pub(crate) config: S3Config,
    ca: String,
    shared: Shared,
}

impl Server {
    /// Serves `script` on a free port.
    pub(crate) async fn start(
        script: impl FnMut(&Seen) -> Option<Response> + Send + 'static,
    ) -> Self {
        sidecar_http::install_crypto_provider();
        let (ca, config) = tls();
        let shared = Shared {
            script: Arc::new(Mutex::new(Box::new(script))),
            seen: Arc::default(),
        };
        let router = Router::new()
            .fallback(any(answer))
            .layer(DefaultBodyLimit::disable())
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
        let secret = Zeroizing::new("secret".to_owned());
        let credentials = S3Credentials::new("AKIA", &secret, None);
        let endpoint = Url::parse(&endpoint).unwrap();
        let mut config = S3Config::new(endpoint, "bucket", "eu-north-1", credentials);
        config.read_budget = Duration::from_secs(20);
        config.write_budget = Duration::from_secs(20);
        Self { config, ca, shared }
    }

    pub(crate) fn store(&self) -> S3Store {
        let trust = Trust::only_pem(self.ca.as_bytes()).unwrap();
        S3Store::new(self.config.clone(), HttpsClient::new(&trust).unwrap()).unwrap()
    }

    /// What was asked with a method, in order.
    pub(crate) fn seen(&self, method: &Method) -> Vec<String> {
        let seen = self.shared.seen.lock().unwrap();
        let of = seen.iter().filter(|(used, _)| used == method);
        of.map(|(_, path)| path.clone()).collect()
    }
}

async fn answer(State(shared): State<Shared>, method: Method, uri: Uri, _body: Bytes) -> Response {
    let seen = (method, uri.to_string());
    shared.seen.lock().unwrap().push(seen.clone());
    let answer = (shared.script.lock().unwrap())(&seen);
    match answer {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

fn tls() -> (String, ServerConfig) {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let pair = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&pair, &ca).unwrap();
    let key = PrivateKeyDer::Pkcs8(pair.serialize_der().into());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (ca.pem(), config)
}
