//! Reproducible OCI images of static binaries, without a daemon: the same input files give the same digests, on any
//! machine and at any time, so that a policy can pin an image before it is pushed.
//!
//! An image is one layer over nothing: the binary, its extra files, their parent directories. The layout directory
//! follows the OCI image layout; [`build`] writes `images.json` beside it, which `policy` and the local launcher read.
mod archive;
mod elf;
mod error;
mod hash;
mod layer;
mod layout;
mod list;
mod push;

pub use self::archive::archive;
pub use self::error::ImageError;
pub use self::layout::{BuiltImage, BuiltLayer, build, read_images};
pub use self::list::{Directory, ExtraFile, ImageList, ImageSpec};
pub use self::push::{Login, PushTarget, push};
