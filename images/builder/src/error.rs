//! Why an image is not built or not pushed.
use std::io;
use std::path::PathBuf;

/// The builder's refusals.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The list of images, or `images.json`, does not parse.
    #[error("{path} is not what it should be")]
    List {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
    /// A name is unfit for a repository, or used twice.
    #[error("image name {name:?}: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An input file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The binary would not start in an image without a base.
    #[error("{path} cannot be the program of an image without a base: {reason}")]
    Program {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A path inside the image is not absolute and plain, is used twice, or is too long for ustar.
    #[error("path {path:?} of image {image}: {reason}")]
    Target {
        /// The image.
        image: String,
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A layer that no policy could pin.
    #[error("layer {path}")]
    Layer {
        /// The blob.
        path: PathBuf,
        /// Why.
        source: Box<image_layers::LayerError>,
    },
    /// The user is not `<uid>` or `<uid>:<gid>`.
    #[error("user {user:?} of image {image} is not <uid> or <uid>:<gid>")]
    User {
        /// The image.
        image: String,
        /// The value.
        user: String,
    },
    /// The layout cannot be written.
    #[error("{path} cannot be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image specification's own types refuse a value.
    #[error("the image description cannot be formed")]
    Describe(#[from] oci_spec::OciSpecError),
    /// The layout holds no image of this name.
    #[error("the layout holds no image {name:?}")]
    Absent {
        /// The name.
        name: String,
    },
    /// A file of the layout is not what its name says.
    #[error("blob {digest} of the layout holds {actual}")]
    Damaged {
        /// Its name.
        digest: String,
        /// Its content's digest.
        actual: String,
    },
    /// A pinned file is another one on this machine.
    #[error("{path} of image {image}: SHA-256 {actual}, pinned is {expected}")]
    Pin {
        /// The image.
        image: String,
        /// The file.
        path: PathBuf,
        /// The pin.
        expected: String,
        /// What the file has.
        actual: String,
    },
    /// A layer of a layout has no root hash.
    #[error("image {image}")]
    Layers {
        /// The image.
        image: String,
        /// Why.
        source: Box<image_layers::ImageError>,
    },
    /// The manifest of images is none.
    #[error("{path} is no manifest of images: {reason}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The key to sign or to verify with.
    #[error("the key: {reason}")]
    Key {
        /// What is wrong.
        reason: &'static str,
    },
    /// A signed manifest of images is not its publisher's.
    #[error("{path}: {reason}")]
    Signature {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A program that no package of the workspace builds: its bill of materials is not known.
    #[error("no package builds a program {name:?}")]
    NoPackage {
        /// The image's name.
        name: String,
    },
    /// The registry reference is not `<host>[:port]/<repository>`.
    #[error("registry {registry:?} is not <host>[:port]/<repository>")]
    Reference {
        /// The value.
        registry: String,
    },
    /// The registry wants what it may not be shown, or gives no token.
    #[error("registry {registry} takes no login")]
    Login {
        /// Which registry.
        registry: String,
        /// Why.
        source: registry_client::RegistryError,
    },
    /// The registry refused or could not be reached.
    #[error("registry {registry} did not take {what}")]
    Registry {
        /// Which registry.
        registry: String,
        /// Which part of the image.
        what: String,
        /// Why.
        source: Box<oci_client::errors::OciDistributionError>,
    },
}

impl ImageError {
    /// The stable code, `docs/errors.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::List { .. } => "CR-IMAGE-0001",
            Self::Name { .. } => "CR-IMAGE-0002",
            Self::Read { .. } => "CR-IMAGE-0003",
            Self::Program { .. } => "CR-IMAGE-0004",
            Self::Target { .. } => "CR-IMAGE-0005",
            Self::User { .. } => "CR-IMAGE-0006",
            Self::Write { .. } | Self::Describe(_) => "CR-IMAGE-0007",
            Self::Absent { .. } => "CR-IMAGE-0008",
            Self::Damaged { .. } => "CR-IMAGE-0009",
            Self::Reference { .. } => "CR-IMAGE-0010",
            Self::Registry { .. } | Self::Login { .. } => "CR-IMAGE-0011",
            Self::Pin { .. } => "CR-IMAGE-0012",
            Self::Layer { source, .. } => source.code(),
            Self::Layers { source, .. } => source.code(),
            Self::Manifest { .. } => "CR-IMAGE-0013",
            Self::Key { .. } => "CR-IMAGE-0014",
            Self::Signature { .. } => "CR-IMAGE-0015",
            Self::NoPackage { .. } => "CR-IMAGE-0016",
        }
    }
}
