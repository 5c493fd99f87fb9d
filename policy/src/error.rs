use std::path::PathBuf;

use cleanroom_spec::SpecError;
use sidecar_http::{Coded, Fault};
use thiserror::Error;

/// Why there is no deployment.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// The contract's specification is refused.
    #[error("the contract")]
    Spec(#[from] SpecError),
    /// A group needs exactly one application.
    #[error("the contract has {count} applications; a room has one")]
    Applications {
        /// How many there are.
        count: usize,
    },
    /// The contract asks for something that this version cannot give.
    #[error("the contract asks for {what}, which this version does not support")]
    Unsupported {
        /// What.
        what: String,
    },
    /// An image is not in the manifest.
    #[error("the image manifest has no image {name:?}")]
    NoImage {
        /// The image.
        name: String,
    },
    /// The manifest cannot be read.
    #[error("image manifest {path}: {reason}")]
    Images {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A virtual image in a production deployment.
    #[error("image {name:?} makes up its evidence; it is refused without --insecure-virtual")]
    Virtual {
        /// The image.
        name: String,
    },
    /// Extra trust in a production deployment.
    #[error("extra roots are refused without --insecure-virtual")]
    ExtraRoots,
    /// The policy is one of the two that allow everything.
    #[error("host data {0} is a well-known policy that allows everything")]
    AllowAll(String),
    /// More datasets than a group has users for.
    #[error("more datasets than a group has users for")]
    TooManyDatasets,
    /// The bytes are no container group.
    #[error("unreadable container group: {reason}")]
    Group {
        /// Where and why.
        reason: String,
    },
    /// The executable on this machine is not the one in the image.
    #[error("{path} is not the program of image {name:?}: SHA-256 {actual}, expected {expected}")]
    Executable {
        /// The image.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the manifest says.
        expected: String,
        /// What the file is.
        actual: String,
    },
    /// Two containers have one volume at two places, which one file system cannot show.
    #[error(
        "volume {volume:?} is mounted at {first} and at {second}; processes of one machine share their paths"
    )]
    TwoPlaces {
        /// The volume.
        volume: String,
        /// One place.
        first: String,
        /// Another.
        second: String,
    },
    /// The root hashes of an image's layers are unknown.
    #[error(
        "the image manifest has no root hashes for the layers of {image}; hash the image and list them"
    )]
    NoLayers {
        /// The image, by digest.
        image: String,
    },
    /// The manifest lists other root hashes than the image has.
    #[error(
        "the image manifest lists root hashes {listed} for {image}; those of its layers are {computed}"
    )]
    OtherLayers {
        /// The image, by digest.
        image: String,
        /// What the manifest says.
        listed: String,
        /// What the image's layers give.
        computed: String,
    },
    /// A policy that allows everything in a production deployment.
    #[error("a policy that allows everything is refused without --insecure-virtual")]
    AllowAllAsked,
    /// No deployment template can be made of the group.
    #[error("no deployment template: {reason}")]
    Template {
        /// Why.
        reason: String,
    },
}

impl Coded for PolicyError {
    fn code(&self) -> &str {
        match self {
            Self::Spec(error) => error.code(),
            Self::Applications { .. } => "CR-POLICY-0001",
            Self::Unsupported { .. } => "CR-POLICY-0002",
            Self::NoImage { .. } => "CR-POLICY-0003",
            Self::Images { .. } => "CR-POLICY-0004",
            Self::Virtual { .. } => "CR-POLICY-0005",
            Self::ExtraRoots => "CR-POLICY-0006",
            Self::AllowAll(_) => "CR-POLICY-0007",
            Self::TooManyDatasets => "CR-POLICY-0008",
            Self::Group { .. } => "CR-POLICY-0009",
            Self::Executable { .. } => "CR-POLICY-0010",
            Self::TwoPlaces { .. } => "CR-POLICY-0011",
            Self::Template { .. } => "CR-POLICY-0012",
            Self::NoLayers { .. } => "CR-POLICY-0013",
            Self::AllowAllAsked => "CR-POLICY-0014",
            Self::OtherLayers { .. } => "CR-POLICY-0015",
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::AllowAll(_)
            | Self::AllowAllAsked
            | Self::Virtual { .. }
            | Self::ExtraRoots
            | Self::OtherLayers { .. } => Fault::Denied,
            _ => Fault::Caller,
        }
    }
}
