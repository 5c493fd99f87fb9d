//! Blob storage as the mount and the owner's command meet it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

mod blocks;
mod calls;
mod conditions;
mod content;
mod customer_keys;
mod hierarchy;
mod listing;
mod service;
