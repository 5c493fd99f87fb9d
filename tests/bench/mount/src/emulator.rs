//! Emulated storage in a process of its own: over TLS as in production, and over plain HTTP to see what TLS costs.

use std::io::{BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use blob_store::{AzureConfig, AzureStore, BlobStore, FixedToken, Token};
use emulators::upset::{Kind, Upset};
use emulators::world::{World, WorldConfig};
use serde::{Deserialize, Serialize};
use sidecar_http::{HttpsClient, Room, Trust};
use url::Url;

use crate::plain::PlainStore;

const ACCOUNT: &str = "litwarestore";
const HOST: &str = "litwarestore.blob.core.windows.net";
const CONTAINER: &str = "bench";

/// How blobs are fetched.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Transport {
    Tls,
    Plain,
}

/// What a client of the emulator must know.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Emulated {
    pub(crate) transport: Transport,
    url: Url,
    ca_pem: String,
    plain: SocketAddr,
    token: String,
}

impl Emulated {
    /// The same by another way.
    pub(crate) fn over(&self, transport: Transport) -> Self {
        Self {
            transport,
            ..self.clone()
        }
    }

    /// A client of one container, with memory for content from there.
    pub(crate) fn store(&self, room: Option<Room>) -> anyhow::Result<Arc<dyn BlobStore>> {
        sidecar_http::install_crypto_provider();
        if self.transport == Transport::Plain {
            let store = PlainStore::new(self.plain, ACCOUNT, CONTAINER, &self.token, room)?;
            return Ok(Arc::new(store));
        }
        Ok(Arc::new(self.azure(room)?))
    }

    fn azure(&self, room: Option<Room>) -> anyhow::Result<AzureStore> {
        let trust = Trust::web()
            .with_extra_pem(self.ca_pem.as_bytes())?
            .with_resolve(HOST, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let tokens = Arc::new(FixedToken(Token::new(self.token.clone())));
        let mut config = AzureConfig::new(self.url.clone(), CONTAINER, tokens);
        config.room = room;
        Ok(AzureStore::new(config, HttpsClient::new(&trust)?)?)
    }
}

/// Serves until there are no more lines; a line is a delay for every request from then on, in milliseconds.
pub(crate) fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut lines = std::io::stdin().lock().lines();
    let say = |line: &str| {
        let mut out = std::io::stdout();
        writeln!(out, "{line}").and_then(|()| out.flush())
    };
    lines.next().context("no spec")??;
    let world = runtime.block_on(World::start(WorldConfig::two_parties()))?;
    let delay = Arc::new(AtomicU64::new(0));
    let emulated = runtime.block_on(serve(&world, &delay))?;
    say(&serde_json::to_string(&emulated)?)?;
    for line in lines {
        let milliseconds = line?.parse()?;
        delay.store(milliseconds, Ordering::Relaxed);
        world.upsets().calm();
        if milliseconds > 0 {
            world.upset(Upset::next("blob", Kind::Delay(milliseconds)).times(u32::MAX));
        }
        say("set")?;
    }
    Ok(())
}

async fn serve(world: &World, delay: &Arc<AtomicU64>) -> anyhow::Result<Emulated> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let plain = listener.local_addr()?;
    let delay = Arc::clone(delay);
    let routes = world.services().blob.router();
    let routes = routes.layer(from_fn(move |request: Request, next: Next| {
        let pause = Duration::from_millis(delay.load(Ordering::Relaxed));
        async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            next.run(request).await
        }
    }));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let emulated = Emulated {
        transport: Transport::Tls,
        url: world.url(HOST),
        ca_pem: world.ca_pem().to_owned(),
        plain,
        token: test_support::storage_token(world, "litware")
            .await
            .map_err(anyhow::Error::from_boxed)?,
    };
    sidecar_http::install_crypto_provider();
    emulated.azure(None)?.create_container().await?;
    Ok(emulated)
}
