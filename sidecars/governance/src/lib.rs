//! The governance sidecar: consent, audit events and tokens from CGS under attestation.
