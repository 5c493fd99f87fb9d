use thiserror::Error;

/// Why a cryptographic operation failed. Texts never say more than the caller may tell an attacker.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum CryptoError {
    /// A key is not of the expected form: encoding, size, or inconsistent numbers.
    #[error("the key is not usable: {0}")]
    Key(&'static str),
    /// An elliptic curve that is not handled.
    #[error("the key is on a curve that is not supported: {0}")]
    Curve(&'static str),
    /// An input has a length that the operation cannot have.
    #[error("{0} has the wrong length")]
    Length(&'static str),
    /// The cipher text, its tag or its padding do not belong to this key.
    #[error("decryption failed: wrong key, or the data was changed")]
    Decrypt,
    /// Encryption failed; the plain text is too long for the key.
    #[error("encryption failed: the data does not fit the key")]
    Encrypt,
    /// A signature or a MAC does not match.
    #[error("the signature does not match")]
    Mismatch,
    /// Signing failed.
    #[error("signing failed")]
    Sign,
    /// The operating system gave no random bytes.
    #[error("no random bytes")]
    Random,
}
