//! Marker files for upstream's launcher and for people; nothing here trusts them.

use std::path::Path;

use blob_fs::FsError;
use blob_store::StoreError;
use serde_json::json;
use sidecar_http::{CallError, Coded};

use crate::{Args, ShimError};

pub(crate) async fn ready(args: &Args) {
    let body = json!({"mount_path": args.mount_path});
    write(args, "ready", body.to_string()).await;
}

pub(crate) async fn error(args: &Args, error: &anyhow::Error) {
    let code = code(error);
    tracing::error!(code, error = format!("{error:#}"), "nothing is mounted");
    let body = json!({
        "error_code": 1,
        "reason": code,
        "message": format!("{error:#}"),
    });
    write(args, "error", body.to_string()).await;
}

/// The stable code of the first error in the chain that has one.
pub(crate) fn code(error: &anyhow::Error) -> &str {
    let coded = error.chain().find_map(|cause| {
        let shim = cause.downcast_ref::<ShimError>().map(Coded::code);
        let fs = || cause.downcast_ref::<FsError>().map(Coded::code);
        let store = || cause.downcast_ref::<StoreError>().map(Coded::code);
        let call = || cause.downcast_ref::<CallError>().map(Coded::code);
        shim.or_else(fs).or_else(store).or_else(call)
    });
    coded.unwrap_or("unknown")
}

async fn write(args: &Args, kind: &str, body: String) {
    let path = Path::new(&args.volume_status);
    let path = path.join(format!("{}.volume.{kind}", args.access_name));
    if let Err(error) = tokio::fs::write(&path, body).await {
        tracing::warn!(kind, %error, "no marker file was written");
    }
}
