use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use blob_format::manifest::Entry;
use blob_format::v2::Draft;
use blob_format::{Attributes, Footer, HEADER, Params, View};
use blob_store::Metadata;
use cleanroom_crypto::Dek;

use super::{Codec, Committed, Frame, Mark, Opened, Stored, buffer};
use crate::FsError;

/// Authenticates a file's frame from the end of its blob.
pub(super) fn open(dek: &Dek, path: &str, stored: &Stored<'_>) -> Result<Opened, FsError> {
    let view = View::open(dek, stored.length, stored.tail, Some(path))?;
    let footer = *view.footer();
    Ok(Opened {
        frame: Arc::new(view),
        len: footer.clear_len,
        attributes: attributes(&footer),
        entry: Some(entry(path, &footer)),
    })
}

const fn attributes(footer: &Footer) -> Attributes {
    Attributes {
        mtime_ns: footer.mtime_ns,
        mode: footer.mode,
    }
}

fn entry(path: &str, footer: &Footer) -> Entry {
    Entry {
        path: path.to_owned(),
        length: footer.clear_len,
        file_id: footer.header.file_id,
        generation: footer.generation,
        authenticator: footer.mac,
    }
}

impl Frame for View {
    fn extent(&self) -> u64 {
        self.params().extent()
    }

    fn unit(&self) -> u64 {
        self.params().segment()
    }

    fn stored(&self, index: u64, clear: Range<u64>) -> Range<u64> {
        super::stored(self, self.params().extent(), index, &clear)
    }

    fn open(&self, index: u64, clear: Range<u64>, stored: &[u8]) -> Result<Vec<u8>, FsError> {
        super::open(self, self.params().extent(), index, &clear, stored)
    }

    fn open_with(
        &self,
        index: u64,
        clear: Range<u64>,
        stored: &[u8],
        spare: &dyn Fn(usize) -> Vec<u8>,
    ) -> Result<Vec<u8>, FsError> {
        super::open_with(self, self.params().extent(), index, &clear, stored, spare)
    }

    fn edit(&self) -> Result<Arc<dyn Codec>, FsError> {
        Ok(Arc::new(V2::new(self.edit())))
    }

    fn is_bound(&self) -> bool {
        self.footer().header.name_bound
    }

    /// The footer names the path: it is made anew.
    fn at(&self, path: &str) -> Result<Option<Committed>, FsError> {
        let footer = *self.footer();
        if !footer.header.name_bound {
            return Ok(None);
        }
        let codec = V2::new(self.edit());
        let committed = codec.commit(path, footer.clear_len, Vec::new(), attributes(&footer));
        committed.map(Some)
    }
}

/// The next version of a file of format v2. Extents are sealed by many threads at once; only a commit is alone.
#[derive(Debug)]
pub(super) struct V2 {
    params: Params,
    header: [u8; HEADER],
    draft: RwLock<Draft>,
}

impl V2 {
    pub(super) fn create(dek: &Dek, params: Params) -> Result<Self, FsError> {
        Ok(Self::new(Draft::create(dek, params, None)?))
    }

    fn new(draft: Draft) -> Self {
        Self {
            params: draft.params(),
            header: draft.header(),
            draft: RwLock::new(draft),
        }
    }
}

impl Codec for V2 {
    fn extent(&self) -> u64 {
        self.params.extent()
    }

    fn unit(&self) -> u64 {
        self.params.segment()
    }

    fn header(&self) -> Vec<u8> {
        self.header.to_vec()
    }

    fn seal(&self, index: u64, clear: &[u8]) -> Result<(Vec<u8>, Mark), FsError> {
        let mut out = Vec::new();
        let mark = self.seal_into(index, clear, &mut out, &Vec::with_capacity)?;
        Ok((out, mark))
    }

    fn seal_into(
        &self,
        index: u64,
        clear: &[u8],
        out: &mut Vec<u8>,
        spare: &dyn Fn(usize) -> Vec<u8>,
    ) -> Result<Mark, FsError> {
        let header: &[u8] = if index == 0 { &self.header } else { &[] };
        let length = header.len() as u64 + self.params.sealed_len(clear.len() as u64);
        let length = buffer(length)?;
        *out = spare(length);
        out.resize(length, 0);
        let (front, sealed) = out.split_at_mut(header.len());
        front.copy_from_slice(header);
        let draft = self.draft.read().unwrap_or_else(PoisonError::into_inner);
        let mark = draft.seal(index, clear, sealed)?;
        drop(draft);
        Ok(Some(mark))
    }

    fn commit(
        &self,
        path: &str,
        len: u64,
        sealed: Vec<Mark>,
        attributes: Attributes,
    ) -> Result<Committed, FsError> {
        let mut draft = self.draft.write().unwrap_or_else(PoisonError::into_inner);
        for extent in sealed.into_iter().flatten() {
            draft.place(extent)?;
        }
        draft.rename(path);
        let committed = draft.commit(len, attributes)?;
        let view = draft.view(&committed)?;
        drop(draft);
        Ok(Committed {
            entry: Some(entry(path, &committed.footer)),
            trailer: committed.tail,
            metadata: Metadata::new(),
            frame: Arc::new(view),
        })
    }
}
