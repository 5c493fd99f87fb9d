//! Root hashes of image layers, as the platform's policy has them.
//!
//! The host turns every layer of a container image into an ext4 image and measures it with dm-verity; a policy lists the
//! root hashes. [`hash_layer`] computes one from a layer's tar in a single pass, without a temporary file: blocks are hashed
//! as they are laid out, and only what describes them is kept. [`hash_image`] does so for an image of a [`source`], with a
//! [`Cache`] of earlier results. `docs/layer-hashes.md` has the format to the byte.

mod cache;
mod convert;
mod device;
mod digest;
mod error;
mod ext4;
mod image;
mod image_error;
mod image_file;
mod layer;
mod limits;
pub mod source;
mod stream;
mod tar;
mod verity;

pub use cache::{CONVERTER, Cache, Cached};
pub use digest::{Digest, NotADigest, NotARootHash, RootHash};
pub use error::LayerError;
pub use image::{HashedLayer, Published, Settings, hash_image};
pub use image_error::ImageError;
pub use image_file::write_image;
pub use layer::{Compression, Expected, LayerHash, hash_layer};
pub use limits::Limits;
