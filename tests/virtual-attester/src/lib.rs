//! The virtual attester.
