//! SEV-SNP evidence: reports, the device they come from, the endorsements beside them, and MAA tokens over them.
//!
//! An [`Attester`] gives a [`Report`]; [`Evidence::collect`] binds runtime data into one and adds what vouches for it from
//! the [`SecurityContext`]; [`MaaClient`] exchanges evidence for a token. A token is only usable as
//! [`Verified`]`<`[`MaaToken`]`>`, which nothing but the check of signature and claims can make.

mod context;
mod device;
mod endorsements;
mod endpoint;
mod error;
mod evidence;
mod host_data;
mod maa;
mod report;
mod runtime;
mod token;

pub use context::{
    ContextPlace, ContextVariables, HostAmdCert, SecurityContext, Supplement, locate_context,
};
pub use device::{DeviceKind, SnpDevice};
pub use endorsements::{
    AzureCache, CertCache, EndorsementConfig, EndorsementSource, EndorsementStore,
    EndorsementTiming, Endorsements, Product,
};
pub use endpoint::parse_endpoint;
pub use error::AttestError;
pub use evidence::{Attester, Evidence};
pub use host_data::{ALLOW_ALL_HOST_DATA, is_allow_all};
pub use maa::MaaClient;
pub use report::{REPORT_LEN, Report};
pub use runtime::RuntimeData;
pub use token::{
    Expected, MaaToken, SigningKeys, TokenCache, TokenFlaw, Verified, read_claims, redacted,
    verify_token,
};
