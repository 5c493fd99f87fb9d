use std::ops::Range;
use std::sync::Arc;

use cleanroom_crypto::Dek;

use crate::azure::{FileAzure, Integrity, Stored};
use crate::manifest::Entry;
use crate::v1::{BlockCipher, FileV1, TRAILER};
use crate::{Format, FormatError, Params, Plan, Reader, View};

/// Opens the files of one dataset, all in the layout of its contract.
///
/// ```
/// use std::sync::Arc;
///
/// use blob_format::{Attributes, Blob, Dataset, Format, FormatError, Params, Reader, Writer};
/// use cleanroom_crypto::Dek;
///
/// let dek = Arc::new(Dek::generate()?);
/// let mut writer = Writer::create(&dek, Params::default(), Some("notes.txt"))?;
/// let mut stored = writer.write(0, b"some clear text")?.concat();
/// stored.append(&mut writer.commit(Attributes::default())?.tail);
///
/// let dataset = Dataset::new(Format::from_contract("v2")?, dek, "wrapped-dek")?;
/// let file = dataset.open(&Blob {
///     path: "notes.txt",
///     length: stored.len() as u64,
///     tail: &stored,
///     encryption_data: None,
///     seal: None,
/// })?;
/// let plan = file.plan(5..10).expect("bytes in the file");
/// let fetched = &stored[plan.sealed.start as usize..plan.sealed.end as usize];
/// let mut clear = vec![0; (plan.clear.end - plan.clear.start) as usize];
/// file.open(&plan, fetched, &mut clear)?;
/// assert_eq!(&clear[5..10], b"clear");
/// # Ok::<(), FormatError>(())
/// ```
#[derive(Debug)]
pub struct Dataset {
    dek: Arc<Dek>,
    layout: Layout,
}

#[derive(Debug)]
enum Layout {
    V2(Params),
    V1(Arc<BlockCipher>),
    Azure {
        key_id: String,
        integrity: Integrity,
    },
}

/// What is known of a stored file before it is opened.
#[derive(Clone, Copy, Debug)]
pub struct Blob<'a> {
    /// Path relative to the dataset's root.
    pub path: &'a str,
    /// Length in bytes.
    pub length: u64,
    /// The last bytes, at least [`Dataset::tail_len`] of them.
    pub tail: &'a [u8],
    /// Metadata `encryptiondata`.
    pub encryption_data: Option<&'a str>,
    /// Metadata `cleanroomseal`.
    pub seal: Option<&'a str>,
}

impl Dataset {
    /// Takes the contract's format. `key_id` is how the envelopes of Azure client-side encryption call the data key: the
    /// name of the secret that holds it wrapped.
    ///
    /// # Errors
    /// [`FormatError::Crypto`].
    pub fn new(format: Format, dek: Arc<Dek>, key_id: &str) -> Result<Self, FormatError> {
        let layout = match format {
            Format::V2(params) => Layout::V2(params),
            Format::V1(size) => Layout::V1(Arc::new(BlockCipher::new(&dek, size)?)),
            Format::Azure(_, integrity) => Layout::Azure {
                key_id: key_id.to_owned(),
                integrity,
            },
        };
        Ok(Self { dek, layout })
    }

    /// How many bytes at the end of a blob to fetch before [`Dataset::open`].
    ///
    /// # Errors
    /// [`FormatError::Length`] if no file has this length.
    pub fn tail_len(&self, blob_len: u64) -> Result<u64, FormatError> {
        match &self.layout {
            Layout::V2(params) => View::tail_len(*params, blob_len),
            Layout::V1(_) => Ok(blob_len.min(TRAILER as u64)),
            Layout::Azure { .. } => Ok(0),
        }
    }

    /// How many bytes at the end of a blob it takes to open it, once some of them are here: more than
    /// [`Dataset::tail_len`] if a file of format v2 has other sizes than the dataset's new ones.
    ///
    /// # Errors
    /// What the tail shows, as [`Dataset::open`].
    pub fn needed_tail(&self, blob_len: u64, tail: &[u8]) -> Result<u64, FormatError> {
        match &self.layout {
            Layout::V2(_) => View::needed_tail(blob_len, tail),
            Layout::V1(_) | Layout::Azure { .. } => self.tail_len(blob_len),
        }
    }

    /// Opens a version of a file, in the contract's layout and no other.
    ///
    /// # Errors
    /// Whatever the layout tells of a file that is foreign, changed, misplaced, or under another key.
    pub fn open(&self, blob: &Blob<'_>) -> Result<Opened, FormatError> {
        match &self.layout {
            Layout::V2(_) => {
                View::open(&self.dek, blob.length, blob.tail, Some(blob.path)).map(Opened::V2)
            }
            Layout::V1(cipher) => {
                let wanted = usize::try_from(blob.length).unwrap_or(TRAILER).min(TRAILER);
                let tail = blob.tail.len().saturating_sub(wanted);
                let trailer = blob.tail.get(tail..).unwrap_or_default();
                FileV1::open(Arc::clone(cipher), blob.length, trailer).map(Opened::V1)
            }
            Layout::Azure { key_id, integrity } => {
                let stored = Stored {
                    blob_len: blob.length,
                    encryption_data: blob.encryption_data,
                    seal: blob.seal,
                };
                FileAzure::open(&self.dek, key_id, blob.path, &stored, *integrity)
                    .map(Opened::Azure)
            }
        }
    }
}

/// A version of a file in the layout of its dataset.
#[derive(Debug)]
pub enum Opened {
    /// Format v2.
    V2(View),
    /// Upstream's format.
    V1(FileV1),
    /// Azure client-side encryption.
    Azure(FileAzure),
}

/// What a manifest's entry says of an opened file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "a file that only its digest can tell is not checked yet"]
pub enum Admission {
    /// It is the listed version.
    Listed,
    /// Only the SHA-256 over all bytes of the blob can tell ([`Entry::admit_plain`]).
    ByDigest,
}

impl Opened {
    /// Compares with the manifest's entry for the path.
    ///
    /// # Errors
    /// [`FormatError::Replaced`], [`FormatError::RolledBack`].
    pub fn admit(&self, entry: &Entry) -> Result<Admission, FormatError> {
        match self {
            Self::V2(view) => entry.admit(view).map(|()| Admission::Listed),
            Self::Azure(file) => entry.admit_azure(file).map(|()| Admission::Listed),
            Self::V1(file) if file.len() == entry.length => Ok(Admission::ByDigest),
            Self::V1(_) => Err(FormatError::Replaced),
        }
    }

    fn reader(&self) -> &dyn Reader {
        match self {
            Self::V2(view) => view,
            Self::V1(file) => file,
            Self::Azure(file) => file,
        }
    }
}

impl Reader for Opened {
    fn len(&self) -> u64 {
        self.reader().len()
    }

    fn unit(&self) -> u64 {
        self.reader().unit()
    }

    fn plan(&self, clear: Range<u64>) -> Option<Plan> {
        self.reader().plan(clear)
    }

    fn open(&self, plan: &Plan, sealed: &[u8], clear: &mut [u8]) -> Result<(), FormatError> {
        self.reader().open(plan, sealed, clear)
    }
}
