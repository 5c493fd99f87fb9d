//! Reads manifests and blobs of a registry (OCI Distribution Specification 1.1, §"Pull"), whatever it answers.
//!
//! Written here because the client library reads every answer but a blob's into memory, as long as it is, and follows a
//! registry's challenge to wherever it points, with the credential. Here every answer has a cap and a deadline, and a
//! credential or token goes nowhere without TLS. Nothing is compared with its digest: that is for the caller.
//!
//! The process must have installed a provider of cryptography for TLS.

mod challenge;
mod client;
mod error;

pub use client::{Access, Credential, Registry, Roots, Wanted};
pub use error::RegistryError;
pub use oci_spec::distribution::Reference;
