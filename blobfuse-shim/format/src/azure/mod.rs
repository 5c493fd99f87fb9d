//! Azure client-side encryption 2.0 and 2.1: what the stock storage SDKs write and read.
//!
//! ```text
//! body   := region*                                                       no header, no trailer
//! region := nonce(12) || AES-256-GCM(1..DataLength bytes) || tag(16)      under a content key per blob, no AAD
//! ```
//!
//! The wrapped content key and the region length travel in the blob's metadata ([`Envelope`]). The nonce is the region's
//! place in the file, so that regions cannot change places, and the content key is new with every write, so that versions
//! cannot be mixed. Storage can still drop whole regions at the end, rename a blob, or give back an old one with its old
//! metadata: against the first two there is the [`seal`] that we add ([`Integrity::Sealed`]), against the last the manifest.
//!
//! A content key must seal a region only once. [`Draft`] therefore hands out each region as a ticket that sealing consumes,
//! front to back, and a change of a file is a new draft of all of it.

mod draft;
mod envelope;
mod key;
mod reader;
mod region;
mod seal;

pub use draft::{Draft, Metadata, RegionTicket};
pub use envelope::{ENCRYPTION_DATA, Envelope};
pub use key::KeyEncryptionKey;
pub use reader::{FileAzure, Stored};
pub use region::RegionSize;
pub use seal::{Integrity, SEAL, renamed, sealed_mac};
