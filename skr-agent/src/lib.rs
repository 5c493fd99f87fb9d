//! Attestation evidence, MAA tokens and secure key release.
