use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cleanroom_crypto::rsa::{OaepHash, PrivateKey};
use cleanroom_crypto::{Dek, Zeroizing, keywrap};

use super::envelope::{Envelope, Protocol};
use crate::FormatError;

/// What unwraps content keys. The caller chooses it; an envelope that names another key or algorithm is refused.
#[derive(Clone, Copy)]
pub enum KeyEncryptionKey<'a> {
    /// `A256KW` under the data key: only who holds it can have made the file.
    Symmetric {
        /// The `KeyId` of the envelopes.
        id: &'a str,
        /// The data key.
        dek: &'a Dek,
    },
    /// `RSA-OAEP` or `RSA-OAEP-256`, as SDKs use with keys of a vault, for reading only: whoever knows the *public* key
    /// can have made the file.
    Rsa {
        /// The `KeyId` of the envelopes.
        id: &'a str,
        /// The private key.
        key: &'a PrivateKey,
        /// SHA-1 for `RSA-OAEP`, SHA-256 for `RSA-OAEP-256`.
        hash: OaepHash,
    },
}

impl KeyEncryptionKey<'_> {
    fn id(&self) -> &str {
        match self {
            Self::Symmetric { id, .. } | Self::Rsa { id, .. } => id,
        }
    }

    const fn algorithm(&self) -> Option<&'static str> {
        match self {
            Self::Symmetric { .. } => Some(A256KW),
            Self::Rsa { hash, .. } => match hash {
                OaepHash::Sha1 => Some("RSA-OAEP"),
                OaepHash::Sha256 => Some("RSA-OAEP-256"),
                OaepHash::Sha384 => None,
            },
        }
    }
}

impl fmt::Debug for KeyEncryptionKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyEncryptionKey({:?})", self.id())
    }
}

pub(super) const A256KW: &str = "A256KW";

/// The key of one version of one blob.
pub(super) struct ContentKey(Zeroizing<[u8; 32]>);

impl ContentKey {
    pub(super) const fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self(key)
    }

    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// What is wrapped: the protocol's name in 8 bytes, then the key.
    pub(super) fn wrap(&self, dek: &Dek, protocol: Protocol) -> Result<String, FormatError> {
        let clear = Zeroizing::new([protocol.prefix().as_slice(), self.expose()].concat());
        let wrapped = keywrap::wrap_kw(dek.expose(), &clear)?;
        Ok(STANDARD.encode(wrapped))
    }

    pub(super) fn unwrap(
        envelope: &Envelope,
        kek: &KeyEncryptionKey<'_>,
    ) -> Result<Self, FormatError> {
        if envelope.key_id() != kek.id() {
            return Err(FormatError::WrongKey);
        }
        if Some(envelope.algorithm()) != kek.algorithm() {
            return Err(FormatError::Envelope("key wrap algorithm"));
        }
        let wrapped = STANDARD
            .decode(envelope.encrypted_key())
            .map_err(|_| FormatError::Envelope("EncryptedKey"))?;
        let clear = match kek {
            KeyEncryptionKey::Symmetric { dek, .. } => keywrap::unwrap_kw(dek.expose(), &wrapped),
            KeyEncryptionKey::Rsa { key, hash, .. } => key.decrypt_oaep(*hash, &wrapped),
        }
        .map_err(|_| FormatError::WrongKey)?;
        match clear.split_first_chunk() {
            Some((prefix, key)) if *prefix == envelope.protocol().prefix() => {
                let key = key
                    .try_into()
                    .map_err(|_| FormatError::Envelope("length of the content key"))?;
                Ok(Self(Zeroizing::new(key)))
            }
            _ => Err(FormatError::Envelope("protocol in the wrapped key")),
        }
    }
}
