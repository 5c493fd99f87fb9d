//! Endorsements of utility VMs: COSE_Sign1 over a launch measurement, under a did:x509 issuer.
//!
//! The issuer's identifier carries the SHA-256 of a certificate authority and an extended key usage that its leaf must have.
//! Leaves live for a year and endorsements for longer, so validity is judged at the time of signing that the signed header
//! states, and where none is stated at the end of the leaf's validity, as resolvers of did:x509 do.

mod parse;
mod root;
mod verify;

pub use parse::UvmEndorsement;
pub use root::UvmRoots;
