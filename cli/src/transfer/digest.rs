use std::sync::Arc;

use cleanroom_crypto::mac::HmacSha256;
use cleanroom_crypto::{CryptoError, Dek, Zeroizing, kdf, keywrap};

use super::PART;
use crate::CliError;

/// Names clear content to its owner: a MAC under a key derived from the data key, so that what a journal keeps tells
/// nobody else what the content is.
#[derive(Clone)]
pub(super) struct ContentKey(Arc<Keys>);

struct Keys {
    names: Zeroizing<[u8; 32]>,
    /// Wraps what a manifest says of a content: under some layouts that is its digest.
    listed: Zeroizing<[u8; 32]>,
}

impl ContentKey {
    pub(super) fn of(dek: &Dek) -> Result<Self, CliError> {
        let prk = kdf::hkdf_extract_sha256(&[], dek.expose());
        let key = |info: &[u8]| -> Result<_, CliError> {
            let mut key = Zeroizing::new([0; 32]);
            kdf::hkdf_expand_sha256(&prk, &[info], key.as_mut_slice())?;
            Ok(key)
        };
        Ok(Self(Arc::new(Keys {
            names: key(b"cleanroom/transfer-content")?,
            listed: key(b"cleanroom/transfer-listed")?,
        })))
    }

    fn mac(&self) -> HmacSha256 {
        HmacSha256::new(self.0.names.as_slice())
    }

    /// Hides what a manifest says of a content.
    pub(super) fn hide(&self, authenticator: &[u8; 32]) -> Result<[u8; 40], CliError> {
        let wrapped = keywrap::wrap_kw(&self.0.listed, authenticator)?;
        Ok(wrapped.try_into().map_err(|_| CryptoError::Encrypt)?)
    }

    /// What was hidden.
    pub(super) fn show(&self, hidden: &[u8; 40]) -> Result<[u8; 32], CliError> {
        let shown = keywrap::unwrap_kw(&self.0.listed, hidden)?;
        Ok(<[u8; 32]>::try_from(shown.as_slice()).map_err(|_| CryptoError::Decrypt)?)
    }

    /// Starts a content of a known length.
    pub(super) fn content(&self, length: u64) -> Content {
        let mut whole = self.mac();
        whole.update(&[0]);
        whole.update(&length.to_le_bytes());
        Content {
            key: self.clone(),
            whole,
            open: self.piece(0),
            held: 0,
            closed: 0,
            pieces: Vec::new(),
        }
    }

    fn piece(&self, index: u64) -> HmacSha256 {
        let mut mac = self.mac();
        mac.update(&[1]);
        mac.update(&index.to_le_bytes());
        mac
    }

    /// Names a version of a file at a place, for the partial file that a transfer of it leaves.
    pub(super) fn version(&self, parts: &[&str]) -> [u8; 32] {
        let mut mac = self.mac();
        mac.update(&[2]);
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        mac.finish()
    }
}

/// What names a content while it is read, and each piece of [`PART`] bytes of it.
pub(super) struct Content {
    key: ContentKey,
    whole: HmacSha256,
    open: HmacSha256,
    /// Bytes in the open piece.
    held: u64,
    closed: u64,
    pieces: Vec<[u8; 32]>,
}

impl Content {
    pub(super) fn update(&mut self, mut clear: &[u8]) {
        while !clear.is_empty() {
            let room = usize::try_from(PART - self.held).unwrap_or(usize::MAX);
            let (now, later) = clear.split_at(room.min(clear.len()));
            self.open.update(now);
            self.held += now.len() as u64;
            if self.held == PART {
                self.close();
            }
            clear = later;
        }
    }

    fn close(&mut self) {
        self.closed += 1;
        let next = self.key.piece(self.closed);
        let piece = std::mem::replace(&mut self.open, next).finish();
        self.whole.update(&piece);
        self.pieces.push(piece);
        self.held = 0;
    }

    /// What names the pieces that were completed since the last call.
    pub(super) fn pieces(&mut self) -> Vec<[u8; 32]> {
        std::mem::take(&mut self.pieces)
    }

    /// What names the content.
    pub(super) fn finish(mut self) -> [u8; 32] {
        if self.held > 0 {
            self.close();
        }
        self.whole.finish()
    }
}

impl ContentKey {
    /// What names piece `index` of a content.
    pub(super) fn of_piece(&self, index: u64, clear: &[u8]) -> [u8; 32] {
        let mut piece = self.piece(index);
        piece.update(clear);
        piece.finish()
    }
}
