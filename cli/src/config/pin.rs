//! Whether a room reads a source only as its manifest lists it.

use std::fmt;

use blob_format::manifest::ManifestHmac;
use cleanroom_spec::EncryptionMode;

use super::dataset::Kind;
use crate::CliError;
use crate::stores::DataStore;

/// The owner's wish. Without one, what is recorded is pinned.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub(super) struct PinArgs {
    /// Fail where the files of a source cannot be pinned. They are pinned anyway where a manifest is recorded: the room
    /// reads them only as the manifest lists them that was written from here last.
    #[arg(long, conflicts_with = "no_pin_manifest")]
    pin_manifest: bool,
    /// Do not pin the files of a source: the room takes whatever storage holds, older or fewer files, too.
    #[arg(long)]
    no_pin_manifest: bool,
}

/// What the contract says of the files of a source; as text, what its owner must know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pinned {
    /// The keyed root of the manifest that they must have.
    To(ManifestHmac),
    /// Nothing, as the owner wished.
    Declined,
    /// Nothing, as no manifest is known to be in storage.
    Unknown,
    /// Nothing, as the room has no key to check a manifest with.
    NoKey,
}

const UNNOTICED: &str = "whoever runs the storage can give a room older versions of its files, or hide some of them, and \
                         the room does not notice";

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(root) => write!(
                f,
                "pinned to the manifest {root}: a room reads the files that it lists, as they were uploaded, and no others. \
                 After an upload that changes them, run this again and have the contract accepted anew"
            ),
            Self::Declined => write!(f, "not pinned: {UNNOTICED}"),
            Self::Unknown => write!(
                f,
                "not pinned, as no manifest of it is known to be in storage: {UNNOTICED}. `cleanroom datastore upload` \
                 writes one and records it (where another tool uploads what `datastore encrypt` made, `datastore verify` \
                 does); run this again after it"
            ),
            Self::NoKey => write!(
                f,
                "not pinned, as under SSE a room has no key to check a manifest with: whoever runs the storage can change \
                 everything, and the room does not notice"
            ),
        }
    }
}

impl PinArgs {
    /// A sink takes no wish; a source is pinned if it can be, unless that is declined.
    ///
    /// # Errors
    /// [`CliError::Argument`]: a wish that cannot be fulfilled, or an upload that did not come to its end.
    pub(super) fn of(self, kind: Kind, store: &DataStore) -> Result<Option<Pinned>, CliError> {
        let argument = match self.no_pin_manifest {
            true => "--no-pin-manifest",
            false => "--pin-manifest",
        };
        let refused = |reason: &str| {
            Err(CliError::Argument {
                argument,
                reason: reason.to_owned(),
            })
        };
        if kind == Kind::Sink {
            return match self.pin_manifest || self.no_pin_manifest {
                true => refused("a sink holds nothing yet"),
                false => Ok(None),
            };
        }
        if self.no_pin_manifest {
            return Ok(Some(Pinned::Declined));
        }
        if store.encryption_mode == EncryptionMode::Sse {
            return match self.pin_manifest {
                true => refused("a room has no key to check the manifest of an SSE dataset"),
                false => Ok(Some(Pinned::NoKey)),
            };
        }
        // Which of two manifests is in storage is not known.
        if store.pending_manifest_hmac.is_some() {
            return refused(
                "an upload did not come to its end: run it again first, or give up the pin with --no-pin-manifest",
            );
        }
        match store.manifest()? {
            Some(root) => Ok(Some(Pinned::To(root))),
            None if self.pin_manifest => refused(
                "no manifest is known to be in storage: upload the files, or verify them, first",
            ),
            None => Ok(Some(Pinned::Unknown)),
        }
    }
}
