//! Azure Key Vault and Managed HSM, as far as a clean room and its owners need them.
//!
//! [`ReleaseClient`] has a key released against an attestation token and believes the answer only after its signature,
//! its certificates and every echo of the request are checked. [`KeyClient`] imports key encryption keys under a
//! [`ReleasePolicy`]; [`SecretClient`] keeps wrapped data encryption keys.

mod error;
mod jws;
mod key;
mod kind;
mod policy;
mod release;
mod secret;
mod wire;

pub use error::KeyVaultError;
pub use key::{KeyClient, KeyInfo};
pub use kind::{UnknownVaultKind, VaultKind};
pub use policy::ReleasePolicy;
pub use release::{ReleaseClient, ReleasedKey};
pub use secret::{SecretClient, SecretValue};

#[cfg(test)]
mod tests;
