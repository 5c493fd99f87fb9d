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
mod maa;
mod runtime;
mod token;

pub use context::{
    ContextPlace, ContextVariables, HostAmdCert, SecurityContext, Supplement, locate_context,
};
pub use device::{DeviceKind, SnpDevice};
pub use endorsements::{
    AzureCache, CertCache, EndorsementConfig, EndorsementSource, EndorsementStore,
    EndorsementTiming, Endorsements,
};
pub use endpoint::parse_endpoint;
pub use error::AttestError;
pub use evidence::{Attester, Evidence};
pub use maa::MaaClient;
pub use runtime::RuntimeData;
pub use snp::{ALLOW_ALL_HOST_DATA, Product, REPORT_LEN, Report, is_allow_all};
pub use token::{
    Expected, MaaToken, SigningKeys, TokenCache, TokenFlaw, Verified, read_claims, redacted,
    verify_token,
};
