//! SEV-SNP evidence: reports, the device they come from, the endorsements beside them, and MAA tokens over them.
//!
//! An [`Attester`] gives a [`Report`]; [`Evidence::collect`] binds runtime data into one, adds what vouches for it and has
//! a [`Verifier`] judge the whole; [`MaaClient`] exchanges evidence for a token. What has been checked is
//! [`Verified`]`<`[`Evidence`]`>` and [`Verified`]`<`[`MaaToken`]`>`, which nothing but these checks can make.

mod context;
mod device;
mod endorsements;
mod endpoint;
mod error;
mod evidence;
mod maa;
mod runtime;
mod token;
mod verified;
mod verifier;

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
pub use snp::{ALLOW_ALL_HOST_DATA, Check, Product, REPORT_LEN, Report, is_allow_all};
pub use token::{
    Expected, MaaToken, SigningKeys, TokenCache, TokenFlaw, read_claims, redacted, verify_token,
};
pub use verified::Verified;
pub use verifier::Verifier;
