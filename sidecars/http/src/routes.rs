use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use http::StatusCode;
use http::request::Parts;

use crate::{WireError, services, trace};

/// Who may call a route over the Unix socket.
#[derive(Clone, Debug)]
pub enum Callers {
    /// Any sidecar of the group; never root, never the application.
    AnySidecar,
    /// The shims, each for itself.
    Shims,
    /// These users.
    Only(Vec<u32>),
}

impl Callers {
    fn admit(&self, uid: u32) -> bool {
        match self {
            Self::AnySidecar => services::is_sidecar(uid),
            Self::Shims => services::is_shim(uid),
            Self::Only(uids) => uid != 0 && uids.contains(&uid),
        }
    }
}

/// The other end of a connection, as the kernel tells it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Peer {
    /// A process of the group.
    Unix {
        /// User id (`SO_PEERCRED`).
        uid: u32,
        /// Group id.
        gid: u32,
    },
    /// A client of the measured `--tcp` listener, which exists only where no application runs beside.
    Tcp(SocketAddr),
}

impl Peer {
    /// The user id, or `None` over TCP.
    pub const fn uid(self) -> Option<u32> {
        match self {
            Self::Unix { uid, .. } => Some(uid),
            Self::Tcp(_) => None,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = WireError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, WireError> {
        parts.extensions.get::<Self>().copied().ok_or_else(|| {
            WireError::new(
                StatusCode::FORBIDDEN,
                "CR-HTTP-0001",
                "the connection carries no peer identity",
            )
        })
    }
}

/// A route table in which every route names its callers.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    router: Router,
    body_limit: Option<usize>,
}

const BODY_LIMIT: usize = 2 << 20;

impl Routes {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route. A caller outside `callers` gets 403 `CR-HTTP-0002` and the handler never runs.
    pub fn route(mut self, path: &str, method: MethodRouter, callers: Callers) -> Self {
        let method = method
            .layer(from_fn(trace::serve))
            .layer(from_fn_with_state(Arc::new(callers), check));
        self.router = self.router.route(path, method);
        self
    }

    /// Adds a route that leaves no span: for probes, which would drown a trace.
    pub fn quiet_route(mut self, path: &str, method: MethodRouter, callers: Callers) -> Self {
        let method = method.layer(from_fn_with_state(Arc::new(callers), check));
        self.router = self.router.route(path, method);
        self
    }

    /// Adds a whole router (a gRPC service) under one rule.
    pub fn merge(mut self, router: Router, callers: Callers) -> Self {
        let router = router.layer(from_fn_with_state(Arc::new(callers), check));
        self.router = self.router.merge(router);
        self
    }

    /// Adds the routes of another table.
    pub fn and(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.body_limit = self.body_limit.max(other.body_limit);
        self
    }

    /// Sets the largest request body in bytes (default 2 MiB).
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = Some(bytes);
        self
    }

    /// The table as one peer sees it: for tests that need no socket.
    pub fn router_as(self, peer: Peer) -> Router {
        self.into_router().layer(axum::Extension(peer))
    }

    pub(crate) fn into_router(self) -> Router {
        self.router
            .layer(DefaultBodyLimit::max(self.body_limit.unwrap_or(BODY_LIMIT)))
            .layer(tower_http::catch_panic::CatchPanicLayer::new())
    }
}

async fn check(
    State(callers): State<Arc<Callers>>,
    request: Request,
    next: Next,
) -> Result<Response, Infallible> {
    let refusal = match request.extensions().get::<Peer>() {
        Some(Peer::Unix { uid, .. }) if callers.admit(*uid) => None,
        Some(Peer::Unix { uid, .. }) => {
            Some(format!("uid {uid} may not call {}", request.uri().path()))
        }
        Some(Peer::Tcp(_)) => None,
        None => Some("the connection carries no peer identity".to_owned()),
    };
    Ok(match refusal {
        None => next.run(request).await,
        Some(message) => {
            tracing::warn!(code = "CR-HTTP-0002", message, "caller refused");
            WireError::new(StatusCode::FORBIDDEN, "CR-HTTP-0002", message).into_response()
        }
    })
}
