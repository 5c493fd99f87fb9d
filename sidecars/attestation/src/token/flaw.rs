use thiserror::Error;

/// Why a text is no JWT that could be judged.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TokenFlaw {
    /// Longer than any honest token.
    #[error("longer than {cap} bytes")]
    TooLong {
        /// Most bytes taken.
        cap: usize,
    },
    /// Not header, claims and signature.
    #[error("not three parts")]
    Parts,
    /// A part is not unpadded base64url, or has bits behind its last byte.
    #[error("its {part} is not base64url")]
    Base64 {
        /// `header`, `claims` or `signature`.
        part: &'static str,
    },
    /// A part is not the JSON expected there, or names a member twice.
    #[error("its {part} is not the expected JSON: {reason}")]
    Json {
        /// `header` or `claims`.
        part: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// The header has extensions that whoever does not know them must refuse (RFC 7515 §4.1.11).
    #[error("its header has critical extensions")]
    Critical,
}
