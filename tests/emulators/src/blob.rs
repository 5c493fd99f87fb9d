//! Blob storage: block blobs of any number of accounts, in memory, as far as a mount and its owner's command go.
//!
//! An account may have hierarchical names: then directories are there of their own, and a second endpoint renames them.
//! Not here: leases, snapshots, tags, append and page blobs, server-side copies, access control lists (answered 501).
mod auth;
mod blocks;
mod conditions;
mod containers;
mod cpk;
mod dfs;
mod fault;
mod list;
mod objects;
mod range;
mod request;
mod store;
mod tree;
mod web;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response};

pub use self::auth::{Caller, STORAGE_AUDIENCE, TokenVerifier};
use self::fault::{BlobFault, Reply};
use self::request::Call;
use self::store::{Account, Container};
pub use self::wire::{Seen, WireTap};

/// Largest body of one request, bytes; the service takes more, no test does.
const BODY_CAP: usize = 1 << 30;

/// The service; clones share one state.
#[derive(Clone)]
pub struct Blob(Arc<Inner>);

struct Inner {
    accounts: Mutex<BTreeMap<String, Account>>,
    verify: TokenVerifier,
    wire: WireTap,
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blob").finish_non_exhaustive()
    }
}

/// One container as it was at a moment, for rolling it back.
#[derive(Clone, Debug)]
pub struct Snapshot(Container);

impl Blob {
    /// No account yet; bearer tokens are judged by `verify`.
    #[must_use]
    pub fn new(verify: TokenVerifier) -> Self {
        Self(Arc::new(Inner {
            accounts: Mutex::default(),
            verify,
            wire: WireTap::default(),
        }))
    }

    /// Adds an account: principals of `owner_tenant` and the client ids in `grants` hold a data role on it.
    pub fn add_account(&self, name: &str, owner_tenant: &str, grants: &[String]) {
        let account = Account::new(owner_tenant, grants);
        self.accounts(|accounts| {
            accounts.entry(name.to_owned()).or_insert(account);
        });
    }

    /// Makes the names of an account hierarchical; containers made before stay as they are.
    pub fn make_hierarchical(&self, name: &str) {
        self.accounts(|accounts| {
            if let Some(account) = accounts.get_mut(name) {
                account.hierarchical = true;
            }
        });
    }

    /// Lets one request to rename a directory move only `paths` of its paths, as the service may: the answer then says
    /// where to go on.
    pub fn rename_in_pages(&self, name: &str, paths: usize) {
        self.accounts(|accounts| {
            if let Some(account) = accounts.get_mut(name) {
                account.rename_page = paths;
            }
        });
    }

    /// The service; the account is the first label of `Host`.
    pub fn router(&self) -> Router {
        let blob = self.clone();
        Router::new().fallback(move |request: Request<Body>| {
            let blob = blob.clone();
            async move { blob.answer(request).await }
        })
    }

    /// Every body received, bounded.
    #[must_use]
    pub fn wire(&self) -> &WireTap {
        &self.0.wire
    }

    /// Content of a committed blob as stored.
    #[must_use]
    pub fn content(&self, account: &str, container: &str, name: &str) -> Option<Vec<u8>> {
        self.accounts(|accounts| {
            let committed = accounts
                .get(account)?
                .containers
                .get(container)?
                .committed(name)?;
            Some(
                committed
                    .blocks
                    .iter()
                    .flat_map(|block| block.data.to_vec())
                    .collect(),
            )
        })
    }

    /// Names of the committed blobs of a container, sorted; empty where there is no such container.
    #[must_use]
    pub fn names(&self, account: &str, container: &str) -> Vec<String> {
        self.accounts(|accounts| {
            let found = accounts
                .get(account)
                .and_then(|a| a.containers.get(container));
            found
                .map(|c| c.committed_names().cloned().collect())
                .unwrap_or_default()
        })
    }

    /// Changes the stored bytes behind the service's back, keeping ETag and everything else: a host that tampers.
    /// False where there is no such blob.
    pub fn tamper(
        &self,
        account: &str,
        container: &str,
        name: &str,
        change: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        self.accounts(|accounts| {
            let found = accounts
                .get_mut(account)
                .and_then(|a| a.containers.get_mut(container));
            let Some(committed) = found.and_then(|c| c.committed_mut(name)) else {
                return false;
            };
            let mut whole: Vec<u8> = committed
                .blocks
                .iter()
                .flat_map(|block| block.data.to_vec())
                .collect();
            change(&mut whole);
            committed.replace_bytes(Bytes::from(whole));
            true
        })
    }

    /// Takes a committed blob away behind the service's back. False where there is none.
    pub fn remove(&self, account: &str, container: &str, name: &str) -> bool {
        self.accounts(|accounts| {
            let found = accounts
                .get_mut(account)
                .and_then(|a| a.containers.get_mut(container));
            found.is_some_and(|container| container.blobs.remove(name).is_some())
        })
    }

    /// A container as it is now.
    #[must_use]
    pub fn snapshot(&self, account: &str, container: &str) -> Option<Snapshot> {
        self.accounts(|accounts| {
            accounts
                .get(account)?
                .containers
                .get(container)
                .cloned()
                .map(Snapshot)
        })
    }

    /// Puts a container back as it was: a host that rolls back.
    pub fn restore(&self, account: &str, container: &str, snapshot: Snapshot) {
        self.accounts(|accounts| {
            if let Some(account) = accounts.get_mut(account) {
                account.containers.insert(container.to_owned(), snapshot.0);
            }
        });
    }

    /// Makes every listing of the account begin with an empty page that has a next marker, as the service may.
    pub fn begin_listings_empty(&self, account: &str, on: bool) {
        self.accounts(|accounts| {
            if let Some(account) = accounts.get_mut(account) {
                account.empty_first_page = on;
            }
        });
    }

    fn accounts<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Account>) -> T) -> T {
        f(&mut self
            .0
            .accounts
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, BODY_CAP).await;
        let head = parts.method == Method::HEAD;
        let echo = request::Echo::of(&parts.headers);
        let is_dfs = request::host_of(&parts.headers).contains(".dfs.core.");
        let outcome = match body {
            Ok(_) if request::lacks_length(&parts) => Err(BlobFault::new(
                411,
                "MissingContentLengthHeader",
                "Content-Length HTTP header is missing.",
            )),
            Ok(body) => {
                let call = Call::parse(parts, body.clone());
                let container = call
                    .as_ref()
                    .ok()
                    .and_then(|call| call.container.as_deref());
                self.0.wire.received(container.unwrap_or_default(), &body);
                call.and_then(|call| self.dispatch(&call))
            }
            Err(_) => Err(BlobFault::new(
                413,
                "RequestBodyTooLarge",
                "The request body is too large or was cut off.",
            )),
        };
        let response = outcome.unwrap_or_else(|fault| match is_dfs {
            true => fault.into_json(head),
            false => fault.into_response(head),
        });
        echo.onto(response)
    }

    fn dispatch(&self, call: &Call) -> Reply {
        if call.is_web {
            return self.accounts(|accounts| web::serve(accounts.get(&call.account), call));
        }
        call.check_version()?;
        let caller = auth::authenticate(&self.0.verify, call)?;
        self.accounts(|accounts| {
            let account = accounts.get_mut(&call.account).ok_or_else(|| {
                BlobFault::new(
                    404,
                    "ResourceNotFound",
                    "The specified resource does not exist.",
                )
            })?;
            auth::authorize(account, &caller)?;
            if call.is_dfs {
                return dfs::serve(account, call);
            }
            match (&call.container, &call.blob) {
                (None, _) => containers::account(account, call),
                (Some(container), None) => containers::container(account, container, call),
                (Some(container), Some(name)) => {
                    let found = account
                        .containers
                        .get_mut(container)
                        .ok_or_else(fault::no_container)?;
                    objects::object(found, name, call)
                }
            }
        })
    }
}
