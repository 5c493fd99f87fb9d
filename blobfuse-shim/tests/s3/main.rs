//! The S3 store, kernel mounts and the whole process over SeaweedFS, an object storage server that others wrote. Needs root
//! and /dev/fuse, and fails without them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

#[path = "../process/room.rs"]
mod group;
mod mount;
mod process;
#[path = "../semantics/room.rs"]
mod room;
mod server;
mod store;
