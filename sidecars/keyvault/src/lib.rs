//! Azure Key Vault and Managed HSM, as far as a clean room and its owners need them.
//!
//! [`ReleaseClient`] has a key released against an attestation token and believes the answer only after its signature,
//! its certificates and every echo of the request are checked. [`KeyClient`] imports key encryption keys under a
//! [`ReleasePolicy`], which [`evaluate`] judges without a vault; [`SecretClient`] keeps wrapped data encryption keys.

mod error;
mod jws;
mod key;
mod kind;
mod policy;
mod release;
mod released;
mod secret;
mod wire;

pub use error::KeyVaultError;
pub use jws::JwsFlaw;
pub use key::{ImportKey, KeyClient, KeyInfo};
pub use kind::{Cloud, UnknownCloud, UnknownVaultKind, VaultKind};
pub use policy::{Clause, Explanation, Group, PolicyFlaw, ReleasePolicy, ReleaseTerms, evaluate};
pub use release::{Asked, ReleaseClient};
pub use released::ReleasedKey;
pub use secret::{SecretClient, SecretValue};

#[cfg(test)]
mod tests;
