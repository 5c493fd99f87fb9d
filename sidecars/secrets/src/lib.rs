//! The secrets sidecar: unwraps one dataset's DEK for the one shim that may have it.
