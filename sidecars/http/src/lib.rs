//! What every sidecar speaks.
//!
//! Inside the group: HTTP over Unix sockets where **both ends check who the other is** ([`Routes`] on the callee's side,
//! [`UnixClient`] on the caller's). Outside: HTTPS with explicit roots, deadlines, a body cap and one retry loop
//! ([`HttpsClient`]); plain HTTP only towards a [`PlainEndpoint`]. Errors carry a stable code and a verdict on who must
//! act ([`Coded`], [`Fault`]), from which the HTTP status and the retry decision follow.

mod api_version;
mod call;
mod fault;
mod https;
mod pace;
mod plain;
mod request;
mod retry;
mod routes;
mod serve;
pub mod services;
mod trace;
mod trust;
mod unix;
mod watch;
mod wire;

pub use api_version::{ApiVersion, BadApiVersion};
pub use call::{CallError, UnixReply};
pub use fault::{Coded, Fault};
pub use https::{HttpsClient, HttpsError};
pub use pace::Pace;
pub use plain::{PlainClient, PlainEndpoint};
pub use request::{Request, Response, Room};
pub use routes::{Callers, Peer, Routes};
pub use serve::{Limits, bind_unix, serve_tcp, serve_unix};
pub use trust::{Trust, install_crypto_provider};
pub use unix::UnixClient;
pub use watch::wait_for_path;
pub use wire::{WireError, chain};
