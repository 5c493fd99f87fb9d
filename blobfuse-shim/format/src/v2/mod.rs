//! Format v2, byte for byte in `docs/format-v2.md`.
//!
//! ```text
//! blob := header(32) || extent[0] || … || extent[n-1] || salts(16·n) || footer(144)
//! ```
//!
//! A file is a row of extents (4 MiB), an extent a row of AES-256-GCM segments (64 KiB). Each sealing of an extent has a
//! key of its own, derived from a fresh salt, so that an extent can be sealed anew without repeating a nonce; the footer's
//! MAC binds the salts, the length and the attributes to one commit.
//!
//! Reading: [`View::open`] from the blob's tail, then [`View::plan`] and [`View::open_into`]. Writing anywhere in a file:
//! [`Draft`]. Writing front to back: [`Writer`].

mod draft;
mod extent;
mod footer;
mod header;
mod keys;
mod params;
mod view;
mod writer;

pub use draft::{Attributes, Committed, Draft};
pub use extent::SealedExtent;
pub use footer::{FOOTER, Footer};
pub use header::{HEADER, Header};
pub use params::{Params, TAG};
pub use view::View;
pub use writer::Writer;

#[cfg(test)]
pub(crate) use draft::Salts;
#[cfg(test)]
pub(crate) use keys::{FileKeys, key_id};
