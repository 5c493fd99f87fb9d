use std::time::Duration;

use cleanroom_crypto::CryptoError;
use http::StatusCode;
use sidecar_http::{Coded, Fault, HttpsError};
use thiserror::Error;

use crate::{JwsFlaw, PolicyFlaw};

/// Why a vault gave nothing, or what it gave is not believed.
#[derive(Debug, Error)]
pub enum KeyVaultError {
    /// The vault's URL is not usable.
    #[error("vault URL: {reason}")]
    Url {
        /// What is wrong.
        reason: &'static str,
    },
    /// A name that no key or secret can have.
    #[error(
        "{what} name: letters, digits and hyphens, at most 127, optionally followed by / and a version"
    )]
    Name {
        /// `key` or `secret`.
        what: &'static str,
    },
    /// A release policy that is not one of the grammar.
    #[error("release policy: {path}: {flaw}")]
    Policy {
        /// Where: `anyOf[0].allOf[2]`.
        path: String,
        /// What is wrong.
        flaw: PolicyFlaw,
    },
    /// A release policy that would hand the key to anybody.
    #[error(
        "release policy: host data {host_data} is of a published policy that allows everything; name the host data of your own"
    )]
    AllowAll {
        /// The host data.
        host_data: String,
    },
    /// Terms that name nobody.
    #[error("release policy: no {what}; name at least one")]
    Terms {
        /// `authority` or `host data`.
        what: &'static str,
    },
    /// A key that a vault does not take.
    #[error("key to import: {what}")]
    Import {
        /// What is wrong.
        what: &'static str,
    },
    /// The vault does not accept the access token.
    #[error("Key Vault did not accept the access token: {message}")]
    Unauthorized {
        /// The vault's words.
        message: String,
    },
    /// The principal lacks the right, or the evidence does not meet the release policy.
    #[error("Key Vault refused: {code}: {message}")]
    Forbidden {
        /// The vault's code, with its inner code where there is one.
        code: String,
        /// The vault's words: which claim, what was expected.
        message: String,
    },
    /// There is no such key or secret.
    #[error("{what} {name} is not in the vault: {message}")]
    NotFound {
        /// `key` or `secret`.
        what: &'static str,
        /// Its name.
        name: String,
        /// The vault's words.
        message: String,
    },
    /// The vault cannot answer now.
    #[error("Key Vault is not available ({status}): {message}")]
    Unavailable {
        /// Its status.
        status: StatusCode,
        /// The vault's words.
        message: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The vault finds the request wrong.
    #[error("Key Vault answered {status}: {code}: {message}")]
    Rejected {
        /// Its status.
        status: StatusCode,
        /// The vault's code.
        code: String,
        /// The vault's words.
        message: String,
    },
    /// The answer is not what the interface promises.
    #[error("Key Vault's answer: {what}")]
    Answer {
        /// What is missing or wrong.
        what: &'static str,
    },
    /// The release is not a JWS of the one accepted kind.
    #[error("released key: the signed answer is not acceptable: {0}")]
    Jws(JwsFlaw),
    /// The signing certificate does not belong to the vault.
    #[error("released key: the signing certificate is not the vault's: {0}")]
    Certificate(#[source] webpki::Error),
    /// The signature does not match.
    #[error("released key: the signature does not match")]
    Signature,
    /// The answer belongs to another request.
    #[error("released key: {member} is {actual:?}, expected {expected:?}")]
    Echo {
        /// The member of the answer.
        member: &'static str,
        /// What was asked for.
        expected: String,
        /// What came back.
        actual: String,
    },
    /// The key was not wrapped for the transfer key, or was changed.
    #[error("released key: cannot be unwrapped")]
    Unwrap(#[source] CryptoError),
    /// The released key is of a type that is not handled.
    #[error("released key: type {kty:?} is not supported")]
    KeyType {
        /// `kty`.
        kty: String,
    },
    /// What was unwrapped is no key of the type that the vault names.
    #[error("released key: type {kty:?}, but its material is none of that type")]
    Material {
        /// `kty`.
        kty: String,
        /// What the material lacks.
        #[source]
        source: CryptoError,
    },
    /// The released key is on a curve that is not handled.
    #[error("released key: {source}; import the key anew on P-256, P-384 or P-521")]
    Curve {
        /// Which curve.
        source: CryptoError,
    },
    /// No random bytes.
    #[error("nonce")]
    Random(#[source] CryptoError),
    /// The vault cannot be reached.
    #[error(transparent)]
    Https(#[from] HttpsError),
}

impl Coded for KeyVaultError {
    fn code(&self) -> &str {
        match self {
            Self::Url { .. } => "CR-KV-0001",
            Self::Name { .. } => "CR-KV-0002",
            Self::Policy { .. } => "CR-KV-0003",
            Self::AllowAll { .. } => "CR-KV-0004",
            Self::Terms { .. } => "CR-KV-0005",
            Self::Import { .. } => "CR-KV-0006",
            Self::Unauthorized { .. } => "CR-KV-0010",
            Self::Forbidden { .. } => "CR-KV-0011",
            Self::NotFound { .. } => "CR-KV-0012",
            Self::Unavailable { .. } => "CR-KV-0013",
            Self::Rejected { .. } => "CR-KV-0014",
            Self::Answer { .. } => "CR-KV-0015",
            Self::Jws(_) => "CR-KV-0020",
            Self::Certificate(_) => "CR-KV-0021",
            Self::Signature => "CR-KV-0022",
            Self::Echo { .. } => "CR-KV-0023",
            Self::Unwrap(_) => "CR-KV-0024",
            Self::KeyType { .. } => "CR-KV-0025",
            Self::Material { .. } => "CR-KV-0026",
            Self::Curve { .. } => "CR-KV-0027",
            Self::Random(_) => "CR-KV-0030",
            Self::Https(error) => error.code(),
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Url { .. }
            | Self::Name { .. }
            | Self::Policy { .. }
            | Self::Terms { .. }
            | Self::Import { .. }
            | Self::Curve { .. }
            | Self::NotFound { .. }
            | Self::Rejected { .. } => Fault::Caller,
            Self::Unauthorized { .. } | Self::Forbidden { .. } | Self::AllowAll { .. } => {
                Fault::Denied
            }
            Self::Unavailable { .. } => Fault::Upstream { retry: true },
            Self::Answer { .. }
            | Self::Jws(_)
            | Self::Certificate(_)
            | Self::Signature
            | Self::Echo { .. }
            | Self::Unwrap(_)
            | Self::KeyType { .. }
            | Self::Material { .. } => Fault::Upstream { retry: false },
            Self::Random(_) => Fault::Platform,
            Self::Https(error) => error.fault(),
        }
    }
}
