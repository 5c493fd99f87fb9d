use std::ops::Range;
use std::sync::Arc;

use blob_format::manifest::Entry;
use blob_format::{
    Attributes, FOOTER, FileKeys, Footer, FormatError, HEADER, Header, Params, TAG, View, key_id,
};
use cleanroom_crypto::{Dek, random};

use super::{Codec, Mark, Opened};
use crate::FsError;

/// Bytes of the footer behind the part that the commit MAC covers: the MAC and the end mark.
const UNCOVERED: usize = 40;

/// Format v2: segments under per-extent keys, bound to one commit by the footer.
#[derive(Debug)]
pub(super) struct V2 {
    header: Header,
    bytes: [u8; HEADER],
    keys: FileKeys,
    key_id: [u8; 16],
}

/// Authenticates a file's frame from the end of its blob.
pub(super) fn open(dek: &Dek, path: &str, blob_len: u64, tail: &[u8]) -> Result<Opened, FsError> {
    let view = View::open(dek, blob_len, tail, Some(path))?;
    let footer = view.footer();
    let extents = footer.header.params.extents(footer.clear_len);
    // The view has checked that the table lies before the footer.
    let marks = usize::try_from(extents)
        .ok()
        .and_then(|extents| extents.checked_mul(16)?.checked_add(FOOTER))
        .and_then(|length| tail.len().checked_sub(length))
        .and_then(|start| tail.get(start..tail.len() - FOOTER))
        .ok_or(FormatError::Length { blob: blob_len })?;
    let (marks, _) = marks.as_chunks::<16>();
    Ok(Opened {
        codec: Arc::new(V2::new(dek, footer.header)?),
        len: footer.clear_len,
        generation: footer.generation,
        marks: marks.to_vec(),
        attributes: Attributes {
            mtime_ns: footer.mtime_ns,
            mode: footer.mode,
        },
        entry: Some(entry(path, footer)),
    })
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

impl V2 {
    pub(super) fn create(dek: &Dek, params: Params) -> Result<Self, FsError> {
        let header = Header {
            params,
            name_bound: false,
            file_id: random::bytes().map_err(FormatError::from)?,
        };
        Self::new(dek, header)
    }

    fn new(dek: &Dek, header: Header) -> Result<Self, FsError> {
        Ok(Self {
            header,
            bytes: header.encode(),
            keys: FileKeys::derive(dek, &header)?,
            key_id: key_id(dek)?,
        })
    }
}

impl Codec for V2 {
    fn extent(&self) -> u64 {
        self.header.params.extent()
    }

    fn unit(&self) -> u64 {
        self.header.params.segment()
    }

    fn header(&self) -> &[u8] {
        &self.bytes
    }

    fn stored(&self, index: u64, clear: Range<u64>) -> Range<u64> {
        let params = self.header.params;
        let start = HEADER as u64 + index * params.sealed_extent();
        let sealed = |clear: u64| start + clear + TAG * clear.div_ceil(params.segment());
        let end = sealed(clear.end);
        // The header comes along with the first segment, so that its bytes are checked too.
        if index == 0 && clear.start == 0 {
            return 0..end;
        }
        sealed(clear.start)..end
    }

    fn seal(&self, index: u64, clear: &[u8]) -> Result<(Vec<u8>, Mark), FsError> {
        // Fresh for every sealing, so that no pair of key and nonce occurs twice.
        let salt = random::bytes().map_err(FormatError::from)?;
        let cipher = self.keys.extent(index, &salt)?;
        let segment = usize::try_from(self.unit()).unwrap_or(usize::MAX);
        let tags = 16 * clear.len().div_ceil(segment);
        let header: &[u8] = if index == 0 { &self.bytes } else { &[] };
        let mut out = Vec::with_capacity(header.len() + clear.len() + tags);
        out.extend_from_slice(header);
        for (number, clear) in (0_u64..).zip(clear.chunks(segment)) {
            let start = out.len();
            out.extend_from_slice(clear);
            let tag = cipher.seal(number, out.get_mut(start..).unwrap_or_default())?;
            out.extend_from_slice(&tag);
        }
        Ok((out, salt))
    }

    fn open(
        &self,
        index: u64,
        clear: Range<u64>,
        mark: &Mark,
        mut stored: Vec<u8>,
    ) -> Result<Vec<u8>, FsError> {
        let at = |clear: u64| index * self.extent() + clear;
        let wrong = |clear: u64| FormatError::Content { offset: at(clear) };
        let expected = self.stored(index, clear.clone());
        if stored.len() as u64 != expected.end - expected.start {
            return Err(wrong(clear.start).into());
        }
        let mut rest = stored.as_mut_slice();
        if expected.start == 0 {
            let (header, body) = rest
                .split_first_chunk_mut::<HEADER>()
                .ok_or(FormatError::Header)?;
            if *header != self.bytes {
                return Err(FormatError::Header.into());
            }
            rest = body;
        }
        let cipher = self.keys.extent(index, mark)?;
        let length = usize::try_from(clear.end - clear.start).unwrap_or(0);
        let mut out = Vec::with_capacity(length);
        let step = usize::try_from(self.unit() + TAG).unwrap_or(usize::MAX);
        let first = clear.start / self.unit();
        for (number, sealed) in (first..).zip(rest.chunks_mut(step)) {
            let opened = cipher.open(number, sealed);
            out.extend_from_slice(opened.map_err(|_| wrong(number * self.unit()))?);
        }
        if out.len() != length {
            return Err(wrong(clear.start).into());
        }
        Ok(out)
    }

    fn trailer(
        &self,
        path: &str,
        len: u64,
        generation: u64,
        marks: &[Mark],
        attributes: Attributes,
    ) -> Result<(Vec<u8>, Option<Entry>), FsError> {
        let mut footer = Footer {
            header: self.header,
            key_id: self.key_id,
            clear_len: len,
            generation,
            mtime_ns: attributes.mtime_ns,
            mode: attributes.mode,
            name_tag: match self.header.name_bound {
                true => self.keys.name_tag(path),
                false => [0; 16],
            },
            mac: [0; 32],
        };
        let bytes = footer.encode();
        let covered = bytes.get(..FOOTER - UNCOVERED).unwrap_or_default();
        footer.mac = self.keys.commit_mac(marks.as_flattened(), covered);
        let mut trailer = Vec::with_capacity(marks.len() * 16 + FOOTER);
        trailer.extend_from_slice(marks.as_flattened());
        trailer.extend_from_slice(&footer.encode());
        Ok((trailer, Some(entry(path, &footer))))
    }

    fn is_bound(&self) -> bool {
        self.header.name_bound
    }
}
