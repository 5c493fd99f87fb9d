//! Who asks: a bearer token for storage, and a data role on the account.
use std::sync::Arc;

use super::fault::BlobFault;
use super::request::Call;
use super::store::Account;

/// The audience a token for storage names.
pub const STORAGE_AUDIENCE: &str = "https://storage.azure.com";

/// Who a verified token speaks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caller {
    /// Tenant (`tid`).
    pub tenant_id: String,
    /// Application (`appid`).
    pub client_id: String,
}

/// Judges a token for [`STORAGE_AUDIENCE`]; the error says why it was refused.
pub type TokenVerifier = Arc<dyn Fn(&str) -> Result<Caller, String> + Send + Sync>;

pub(super) fn authenticate(verify: &TokenVerifier, call: &Call) -> Result<Caller, BlobFault> {
    let challenge = "Bearer authorization_uri=https://login.microsoftonline.com/common/oauth2/authorize \
                     resource_id=https://storage.azure.com";
    let Some(value) = call.header("authorization") else {
        return Err(BlobFault::new(
            401,
            "NoAuthenticationInformation",
            "Server failed to authenticate the request.",
        )
        .with("www-authenticate", challenge));
    };
    let refused = |why: String| {
        BlobFault::new(
            401,
            "InvalidAuthenticationInfo",
            format!("Server failed to authenticate the request: {why}"),
        )
        .with("www-authenticate", challenge)
    };
    let token = value
        .strip_prefix("Bearer ")
        .ok_or_else(|| refused("only bearer tokens are taken".to_owned()))?;
    verify(token).map_err(refused)
}

pub(super) fn authorize(account: &Account, caller: &Caller) -> Result<(), BlobFault> {
    if caller.tenant_id == account.owner_tenant || account.grants.contains(&caller.client_id) {
        return Ok(());
    }
    Err(BlobFault::new(
        403,
        "AuthorizationPermissionMismatch",
        "This request is not authorized to perform this operation using this permission.",
    ))
}
