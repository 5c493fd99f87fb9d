//! Writes reproducible OCI images and pushes them.
