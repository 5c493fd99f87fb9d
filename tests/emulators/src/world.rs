//! One world: every service on kernel-chosen loopback ports, under an authority of its own.
//!
//! Everything Azure shares one TLS port and is told apart by host name (SNI for the certificate, `Host` for the
//! service). CGS has its own port, its certificate chains to the CCF service identity and client certificates are
//! taken. THIM has a port without TLS, as the metadata service has. Dropping the world stops it.
mod admin;
mod authority;
mod config;
mod dispatch;
mod listen;
mod tls;
mod wiring;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use url::Url;

pub use self::authority::Authority;
pub use self::config::{
    ARM_HOST, AZURE_CACHE_HOST, CGS_HOST, ENTRA_HOST, KDS_HOST, MAA_HOST, ManagedIdentity, Party,
    ServicePrincipal, StorageAccount, VaultKind, VaultSpec, WorldConfig,
};
use self::dispatch::Dispatch;
pub use self::wiring::Services;
use crate::upset::{RequestRecord, Upset, Upsets};

/// Why a world does not start.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// No port could be bound.
    #[error("no loopback port could be bound")]
    Bind(#[from] io::Error),
    /// A certificate could not be issued.
    #[error("a certificate could not be issued")]
    Certificate(#[from] rcgen::Error),
    /// TLS could not be configured.
    #[error("TLS could not be configured")]
    Tls(#[from] rustls::Error),
    /// A private key is in no known encoding.
    #[error("a private key was refused: {0}")]
    Key(String),
    /// A service could not be made from its part of the configuration.
    #[error("the {service} emulator could not be made: {reason}")]
    Service {
        /// Which service.
        service: &'static str,
        /// What it said.
        reason: String,
    },
}

/// A running world.
#[derive(Debug)]
pub struct World {
    config: WorldConfig,
    services: Services,
    upsets: Upsets,
    hosts: Vec<String>,
    ca_pem: String,
    azure: SocketAddr,
    cgs: SocketAddr,
    thim: SocketAddr,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

/// The two listeners' dispatchers.
#[derive(Debug)]
struct Sites {
    azure: Arc<Dispatch>,
    cgs: Arc<Dispatch>,
}

/// What the services need to know of the world they are made for.
#[derive(Debug)]
struct Surroundings<'a> {
    config: &'a WorldConfig,
    authority: &'a Authority,
    azure: SocketAddr,
    /// Set once every service exists; the way from one service to another's published documents.
    sites: Weak<OnceLock<Sites>>,
}

impl Surroundings<'_> {
    /// `https://<host>:<port>`, as clients name it, without a trailing slash.
    fn origin(&self, host: &str) -> String {
        format!("https://{host}:{}", self.azure.port())
    }

    /// Reads a document that another service of this world publishes; fails when the world is gone.
    fn fetcher(
        &self,
    ) -> impl Fn(Url) -> BoxFuture<'static, Result<Bytes, String>> + Send + Sync + use<> {
        let sites = Weak::clone(&self.sites);
        move |url| {
            let sites = sites.upgrade();
            Box::pin(async move {
                let sites = sites
                    .as_ref()
                    .and_then(|sites| sites.get())
                    .ok_or("the world has ended")?;
                let dispatch = if url.host_str() == Some(CGS_HOST) {
                    &sites.cgs
                } else {
                    &sites.azure
                };
                dispatch.fetch(&url).await
            })
        }
    }
}

impl World {
    /// Starts every service of `config` and returns when all ports accept.
    ///
    /// # Errors
    /// [`WorldError`]: a port, a certificate or one service's configuration.
    pub async fn start(config: WorldConfig) -> Result<Self, WorldError> {
        Self::start_at(config, Ipv4Addr::LOCALHOST.into()).await
    }

    /// As [`World::start`], on another address than loopback: for a world in a container.
    ///
    /// # Errors
    /// As [`World::start`].
    pub async fn start_at(config: WorldConfig, ip: IpAddr) -> Result<Self, WorldError> {
        let any_port = SocketAddr::new(ip, 0);
        let azure_listener = TcpListener::bind(any_port).await?;
        let cgs_listener = TcpListener::bind(any_port).await?;
        let thim_listener = TcpListener::bind(any_port).await?;
        let (azure, cgs) = (azure_listener.local_addr()?, cgs_listener.local_addr()?);
        let thim = thim_listener.local_addr()?;
        let authority = Authority::new("Emulated web root")?;
        let upsets = Upsets::default();

        let sites = Arc::new(OnceLock::new());
        let around = Surroundings {
            config: &config,
            authority: &authority,
            azure,
            sites: Arc::downgrade(&sites),
        };
        let services = Services::start(&around).await?;
        let mut dispatch = Dispatch::new(upsets.clone());
        let hosts = services.mount(&config, &mut dispatch);
        let azure_tls = tls::azure(&authority, &hosts)?;
        let (chain, key) = services.cgs_tls();
        let cgs_tls = tls::cgs(chain, key)?;
        let dispatchers = sites.get_or_init(|| Sites {
            azure: Arc::new(dispatch),
            cgs: Arc::new(Dispatch::only(upsets.clone(), "cgs", services.cgs_router())),
        });
        let thim_dispatch = Dispatch::only(upsets.clone(), "thim", services.thim_router());
        let listeners = [
            (
                azure_listener,
                Some(azure_tls),
                Arc::clone(&dispatchers.azure),
            ),
            (cgs_listener, Some(cgs_tls), Arc::clone(&dispatchers.cgs)),
            // The metadata service speaks plain HTTP.
            (thim_listener, None, Arc::new(thim_dispatch)),
        ];
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        for (listener, tls, dispatch) in listeners {
            let accepting = listen::accept(listener, tls, dispatch, tasks.clone(), stop.clone());
            // The services hold the way to each other weakly: it lives as long as someone can call them.
            let keep = Arc::clone(&sites);
            tasks.spawn(async move {
                accepting.await;
                drop(keep);
            });
        }
        let ca_pem = authority.pem();
        let guard = stop.clone().drop_guard();
        Ok(Self {
            config,
            services,
            upsets,
            hosts,
            ca_pem,
            azure,
            cgs,
            thim,
            tasks,
            stop,
            _stop_on_drop: guard,
        })
    }

    /// `https://<host>:<port>` of any host of this world; also for hosts it does not serve, which then answer 421.
    ///
    /// # Panics
    /// When `host` is no host name.
    #[must_use]
    #[expect(clippy::panic, reason = "a test's own spelling")]
    pub fn url(&self, host: &str) -> Url {
        let port = if host == CGS_HOST {
            self.cgs.port()
        } else {
            self.azure.port()
        };
        match Url::parse(&format!("https://{host}:{port}")) {
            Ok(url) => url,
            Err(error) => panic!("{host} is no host name: {error}"),
        }
    }

    /// Where CGS is.
    #[must_use]
    pub fn cgs_url(&self) -> Url {
        self.url(CGS_HOST)
    }

    /// Root certificate of everything but CGS, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// CCF service identity, PEM: the only root for CGS.
    #[must_use]
    pub fn service_cert_pem(&self) -> String {
        self.services.service_cert_pem()
    }

    /// Host names on the shared port, sorted, without CGS.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        self.hosts.clone()
    }

    /// A complete `/etc/hosts`: localhost and every name of this world.
    #[must_use]
    pub fn hosts_file(&self) -> String {
        let own = self.hosts.iter().map(String::as_str).chain([CGS_HOST]);
        let lines = own
            .map(|host| format!("127.0.0.1 {host}\n"))
            .collect::<String>();
        format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{lines}")
    }

    /// Address of the shared port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.azure
    }

    /// Address of the CGS port.
    #[must_use]
    pub fn cgs_addr(&self) -> SocketAddr {
        self.cgs
    }

    /// THIM's endpoint in this world, `host:port/path`: plain HTTP, on a port of its own.
    #[must_use]
    pub fn thim_endpoint(&self) -> String {
        let port = self.thim.port();
        format!("127.0.0.1:{port}{}", crate::thim::THIM_PATH)
    }

    /// What this world was made from.
    #[must_use]
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// The services, for typed access by tests.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// The planned faults and request logs, cheap to clone.
    #[must_use]
    pub fn upsets(&self) -> &Upsets {
        &self.upsets
    }

    /// Plans a fault.
    pub fn upset(&self, upset: Upset) {
        self.upsets.plan(upset);
    }

    /// The requests that `service` got, oldest first.
    #[must_use]
    pub fn requests(&self, service: &str) -> Vec<RequestRecord> {
        self.upsets.requests(service)
    }

    /// Whether `needle` was in one body that blob storage received.
    #[must_use]
    pub fn blob_wire_contains(&self, needle: &[u8]) -> bool {
        self.services.blob.wire().contains(needle)
    }

    /// Serves the controls over plain HTTP on a loopback port of their own, for other processes; ends with the world.
    ///
    /// # Errors
    /// [`WorldError::Bind`].
    pub async fn serve_admin(&self) -> Result<SocketAddr, WorldError> {
        let listener = TcpListener::bind(SocketAddr::new(self.azure.ip(), 0)).await?;
        let addr = listener.local_addr()?;
        let admin = admin::Admin {
            services: self.services.clone(),
            upsets: self.upsets.clone(),
            stop: self.stop.clone(),
        };
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let serving = axum::serve(listener, admin::router(admin));
            if let Err(error) = serving.with_graceful_shutdown(stop.cancelled_owned()).await {
                tracing::warn!(%error, "admin listener ended");
            }
        });
        Ok(addr)
    }

    /// Completes when the world was told to stop.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Closes every connection and waits for the tasks to end.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
