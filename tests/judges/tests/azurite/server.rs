//! The process under judgement, and plain requests to it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use blob_store::{AzureConfig, AzureStore, FixedToken, Token};
use bytes::Bytes;
use http::{HeaderName, Method, StatusCode};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sidecar_http::{HttpsClient, Request, Response, Trust};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use url::Url;

pub(crate) const ACCOUNT: &str = "devstoreaccount1";
pub(crate) const STORAGE: &str = "https://storage.azure.com";
pub(crate) const HOUR: u64 = 3600;

/// A process of Azurite, ended with the value.
pub(crate) struct Azurite {
    pub(crate) process: Child,
    pub(crate) endpoint: Url,
    pub(crate) client: HttpsClient,
    _home: TempDir,
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Azurite {
    pub(crate) fn start() -> Self {
        let home = TempDir::new().unwrap();
        let at = |name: &str| home.path().join(name);
        let ca = certificates(&at("leaf.pem"), &at("leaf.key"));
        let mut process = Command::new(judges::node_programs("azurite").join("azurite-blob"))
            .args(["--blobHost", "127.0.0.1", "--blobPort", "0"])
            .args(["--oauth", "basic", "--skipApiVersionCheck", "--loose"])
            .args(["--silent", "--inMemoryPersistence", "--disableTelemetry"])
            .arg("--cert")
            .arg(at("leaf.pem"))
            .arg("--key")
            .arg(at("leaf.key"))
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = process.stdout.take().unwrap();
        let (found, address) = mpsc::channel();
        // Reads to the end: a full pipe would stop the server.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(address) = line.split("successfully listens on ").nth(1) {
                    let _ = found.send(address.trim().to_owned());
                }
            }
        });
        let Ok(address) = address.recv_timeout(Duration::from_secs(60)) else {
            let _ = process.kill();
            let _ = process.wait();
            panic!("Azurite does not listen");
        };
        let mut endpoint = Url::parse(&address).unwrap();
        endpoint.set_path(ACCOUNT);
        sidecar_http::install_crypto_provider();
        let client = HttpsClient::new(&Trust::only_pem(ca.as_bytes()).unwrap()).unwrap();
        Self {
            process,
            endpoint,
            client,
            _home: home,
        }
    }

    pub(crate) fn config(&self, container: &str) -> AzureConfig {
        let token = token(STORAGE, 0, HOUR);
        let mut config = AzureConfig::new(
            self.endpoint.clone(),
            container,
            Arc::new(FixedToken(token)),
        );
        config.read_budget = Duration::from_secs(20);
        config.write_budget = Duration::from_secs(20);
        config
    }

    pub(crate) fn store(&self, config: AzureConfig) -> AzureStore {
        AzureStore::new(config, self.client.clone()).unwrap()
    }

    /// A store over a new container.
    pub(crate) async fn container(&self, name: &str) -> AzureStore {
        let store = self.store(self.config(name));
        assert!(store.create_container().await.unwrap());
        store
    }

    /// A plain request, past our storage client; `path` is in the form of the wire.
    pub(crate) async fn raw(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Response {
        let url = Url::parse(&format!("{}/{path}", self.endpoint)).unwrap();
        let mut request = Request::new("Azurite", method, url)
            .header(HeaderName::from_static("x-ms-version"), "2021-12-02")
            .bearer(token(STORAGE, 0, HOUR).expose())
            .body(body);
        request.body_cap = 64 << 20;
        for (name, value) in headers {
            request = request.header(HeaderName::from_static(name), value);
        }
        self.client.send(&request).await.unwrap()
    }

    pub(crate) async fn stored(&self, path: &str) -> Bytes {
        let response = self.raw(Method::GET, path, &[], Bytes::new()).await;
        assert_eq!(response.status, StatusCode::OK, "{path}");
        response.body
    }
}

/// Writes a leaf for 127.0.0.1 and its key; gives the authority's certificate.
pub(crate) fn certificates(leaf: &std::path::Path, key: &std::path::Path) -> String {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let pair = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(leaf, params.signed_by(&pair, &ca).unwrap().pem()).unwrap();
    std::fs::write(key, pair.serialize_pem()).unwrap();
    ca.pem()
}

/// An unsigned token for `audience`, valid from `start` to `end` seconds from now; a minute of grace for the clocks.
pub(crate) fn token(audience: &str, start: i64, end: u64) -> Token {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.unwrap().as_secs()).unwrap();
    let end = i64::try_from(end).unwrap();
    let claims = serde_json::json!({
        "aud": audience,
        "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
        "iat": now + start - 60,
        "nbf": now + start - 60,
        "exp": now + start + end,
    });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = serde_json::json!({"alg": "none", "typ": "JWT"});
    Token::new(format!("{}.{}.", part(&header), part(&claims)))
}

/// Bytes in which no two places of a file look alike.
pub(crate) fn body(length: usize, seed: u32) -> Bytes {
    (seed..).flat_map(u32::to_le_bytes).take(length).collect()
}
