//! The server that these tests share.

use std::path::Path;
use std::sync::OnceLock;

pub(crate) use judges::seaweedfs::{KEY, REGION, SECRET, Server};

/// One server for all tests; it ends with this process.
pub(crate) fn server() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("seaweedfs");
    SHARED.get_or_init(|| Server::start(&home))
}
