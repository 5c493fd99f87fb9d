//! Upstream's client-side format ("CSE v1"), byte for byte.
//!
//! ```text
//! blob  := chunk[0] || … || chunk[N-1] || padding(8, big-endian)
//! chunk := nonce(12, random) || AES-256-GCM(BLOCK bytes) || tag(16)         under the data key itself, no AAD
//! ```
//!
//! The last chunk is padded with zero bytes to a whole block; the trailer is their number. A 0-byte blob is an empty file.
//!
//! Nothing says which block size a blob has, so the contract does ([`BlockSize`]); nothing binds chunks to their place,
//! their file or each other. Storage can therefore reorder, drop, repeat and exchange chunks under one key, cut or extend a
//! file within its zeros, and give back old versions, and no reader of this format can notice. What can be noticed is
//! refused, each with its own error: lengths, the trailer's range, padding that is not zero, changed chunks. Datasets that
//! may choose use format v2.

mod cipher;
mod reader;
mod size;

pub use cipher::BlockCipher;
pub use reader::FileV1;
pub use size::{BlockSize, TRAILER};
