//! Every cryptographic operation of the clean room behind one small surface.
//!
//! aws-lc-rs does the work: it is in the tree as the TLS provider, its RSA private operation is constant-time, and its
//! AES-GCM uses what the processor offers. RustCrypto's `aes-gcm` and `rsa` stay as a [`second`] provider that the tests
//! hold against the first; the `rsa` crate also converts key encodings, which needs no private operation.
//!
//! Types that hold a secret wipe it on drop and print nothing of it.

pub mod aead;
mod dek;
pub mod digest;
pub mod ec;
mod error;
pub mod kdf;
pub mod keywrap;
pub mod mac;
pub mod random;
pub mod rsa;
pub mod second;

pub use dek::Dek;
pub use error::CryptoError;

/// A secret buffer that is wiped when dropped.
pub use zeroize::Zeroizing;
