//! Encrypted file layouts: bytes in, bytes out; no IO.
//!
//! Format v2 keeps a file as fixed-size extents of AES-256-GCM segments under per-extent keys, and binds all of them to
//! one commit by a MAC in the footer:
//!
//! ```text
//! blob := header(32) || extent[0] || … || extent[n-1] || salts(16·n) || footer(144)
//! ```
//!
//! A storage service can therefore neither change, reorder, cut, extend nor mix what it holds without the reader
//! noticing; what it can do is give back an older commit whole, which the [`manifest`] makes visible.

#![forbid(unsafe_code)]

mod error;
mod frame;
mod keys;
pub mod manifest;
mod params;
mod reader;
mod writer;

pub use error::FormatError;
pub use frame::{FOOTER, Footer, HEADER, Header};
pub use keys::{ExtentCipher, FileKeys, key_id};
pub use params::{Params, TAG};
pub use reader::{Plan, View};
pub use writer::{Attributes, Committed, Writer};

#[cfg(test)]
mod tests;
