//! amd.
