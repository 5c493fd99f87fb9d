//! Encrypted file layouts: bytes in, bytes out; no IO, no time, no threads.
//!
//! A dataset's layout is a [`Format`], which only the contract can name. Each layout is a module with the same three parts:
//!
//! | | [`v2`]: ours, the default | [`v1`]: upstream's | [`azure`]: the stock SDKs' |
//! |---|---|---|---|
//! | sizes, clear ↔ sealed | [`Params`] | [`v1::BlockSize`] | [`azure::RegionSize`] |
//! | one version, opened | [`View`] | [`v1::FileV1`] | [`azure::FileAzure`] |
//! | writing | [`v2::Draft`], or [`Writer`] front to back | [`v1::BlockCipher`] | [`azure::Draft`] |
//! | what makes it a version | [`v2::Draft::commit`]: the last bytes | [`v1::BlockSize::trailer`]: the last 8 bytes | [`azure::Draft::finish`]: metadata |
//! | sealed as one | extent, 4 MiB | block, 4 or 16 MiB | region, 4 MiB |
//! | opened as one | segment, 64 KiB | block | region |
//!
//! Reading is the same in all of them: [`Dataset::open`] opens a blob as the contract says, [`Reader::plan`] says which bytes of the blob hold a clear range,
//! the caller fetches them, [`Reader::open`] checks them and decrypts them into the caller's buffer. Nothing is released
//! that was not authenticated.
//!
//! What storage can do without being noticed differs: nothing within a file of v2, much within one of v1. A whole older
//! version is noticed by the dataset's [`manifest`], whose keyed head the contract pins. `docs/format-v2.md` has the bytes
//! and the table.

#![forbid(unsafe_code)]

pub mod azure;
mod bytes;
mod contract;
mod dataset;
mod error;
pub mod manifest;
mod reader;
pub mod v1;
pub mod v2;

pub use contract::Format;
pub use dataset::{Admission, Blob, Dataset, Opened};
pub use error::FormatError;
pub use reader::{Plan, Reader};
pub use v2::{Attributes, Committed, FOOTER, Footer, HEADER, Header, Params, View, Writer};

#[cfg(test)]
mod tests;
