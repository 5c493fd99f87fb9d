//! The data encryption key: from `secrets`, for this user alone.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cleanroom_crypto::Dek;
use serde::{Deserialize, Serialize};
use sidecar_http::services::SECRETS;
use sidecar_kit::Process;
use zeroize::{Zeroize, Zeroizing};

use crate::{Args, ShimError};

/// Attestation, key release and two vaults are behind this call.
const DEADLINE: Duration = Duration::from_secs(180);

/// The request; `secrets` compares it member by member with the grant of this uid.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Unwrap<'a> {
    client_id: &'a str,
    tenant_id: &'a str,
    kid: &'a str,
    akv_endpoint: &'a str,
    kek: Kek<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Kek<'a> {
    kid: &'a str,
    akv_endpoint: &'a str,
    maa_endpoint: &'a str,
}

#[derive(Deserialize)]
struct Unwrapped {
    value: String,
}

impl Drop for Unwrapped {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

/// The key of the mount. Under SSE the contract names none: what would need one works with a key that nobody learns.
pub(crate) async fn obtain(args: &Args, process: &Process) -> Result<Dek, ShimError> {
    match args.is_keyed() {
        true => unwrap(args, process).await,
        false => Dek::generate().map_err(|_| ShimError::NotAKey),
    }
}

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

#[tracing::instrument(name = "secrets.unwrap", skip_all)]
async fn unwrap(args: &Args, process: &Process) -> Result<Dek, ShimError> {
    let key = &args.key;
    // All are there: the arguments were checked.
    let request = Unwrap {
        client_id: &args.client_id,
        tenant_id: &args.tenant_id,
        kid: text(&key.wrapped_dek_secret),
        akv_endpoint: text(&key.wrapped_dek_akv_endpoint),
        kek: Kek {
            kid: text(&key.kid),
            akv_endpoint: text(&key.akv_endpoint),
            maa_endpoint: text(&key.maa_endpoint),
        },
    };
    let secrets = process.client(&SECRETS).with_deadline(DEADLINE);
    let unwrapped: Unwrapped = secrets
        .post_json("/secrets/unwrap", &request)
        .await
        .map_err(ShimError::Key)?;
    let bytes = STANDARD.decode(&unwrapped.value).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| ShimError::NotAKey)?;
    Dek::from_slice(&bytes).map_err(|_| ShimError::NotAKey)
}
