//! Signed governance messages: COSE_Sign1 of a member's key with an embedded payload (RFC 9052).
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, UnparsedPublicKey,
};
use ciborium::Value;
use coset::iana::Algorithm;
use coset::{CoseSign1, Header, Label, RegisteredLabelWithPrivate, TaggedCborSerializable as _};
use sha2::{Digest as _, Sha256};

use super::member::Status;
use super::reply::{COSE_POLICY, Refusal};
use super::routes::Exchange;
use super::service::check_api_version;

/// What a message may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Proposal,
    Ballot,
    Withdrawal,
    StateDigest,
    Ack,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Proposal => "proposal",
            Self::Ballot => "ballot",
            Self::Withdrawal => "withdrawal",
            Self::StateDigest => "state_digest",
            Self::Ack => "ack",
        }
    }

    /// Whether the message names the proposal it is about.
    const fn names_proposal(self) -> bool {
        matches!(self, Self::Ballot | Self::Withdrawal)
    }

    /// Whether a member that has not activated may say it.
    const fn open_to_dormant(self) -> bool {
        matches!(self, Self::StateDigest | Self::Ack)
    }
}

/// A message whose signature verified.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) signer: String,
    pub(super) payload: Vec<u8>,
    pub(super) created_at: u64,
    pub(super) proposal_id: Option<String>,
    /// Digest of the signature.
    pub(super) digest: [u8; 32],
    /// Digest of what was signed and of the half of the signature that nobody but the signer can change.
    pub(super) replay: [u8; 32],
}

/// Reads the body as a message of `kind` from a member who may say it.
pub(super) fn authenticate(ex: &Exchange<'_>, kind: Kind) -> Result<Signed, Refusal> {
    check_api_version(ex)?;
    signed(ex, kind).map_err(|reason| Refusal::unauthenticated(COSE_POLICY, reason))
}

fn signed(ex: &Exchange<'_>, kind: Kind) -> Result<Signed, String> {
    if ex.content_type != "application/cose" {
        return Err(format!(
            "Unsupported content type {:?}, expected application/cose",
            ex.content_type
        ));
    }
    let sign1 = CoseSign1::from_tagged_slice(ex.body)
        .map_err(|e| format!("Failed to parse COSE_Sign1: {e}"))?;
    if sign1.unprotected != Header::default() {
        return Err("The unprotected header is not empty".to_owned());
    }
    let header = &sign1.protected.header;
    if !header.crit.is_empty() {
        return Err("A critical header parameter is not understood".to_owned());
    }
    let signer =
        String::from_utf8(header.key_id.clone()).map_err(|_| "kid is not text".to_owned())?;
    let member = ex
        .state
        .tables
        .members
        .get(&signer)
        .ok_or("Signer is not a known member")?;
    verify(&sign1, &member.key)?;
    let stated = text(header, "ccf.gov.msg.type")?;
    if stated != kind.name() {
        return Err(format!(
            "Found ccf.gov.msg.type set to {stated}, expected {}",
            kind.name()
        ));
    }
    if member.status != Status::Active && !kind.open_to_dormant() {
        return Err("Signer is not an ACTIVE member".to_owned());
    }
    let created_at = match parameter(header, "ccf.gov.msg.created_at")? {
        Value::Integer(at) => {
            u64::try_from(*at).map_err(|_| "ccf.gov.msg.created_at is negative or too large")?
        }
        _ => return Err("ccf.gov.msg.created_at is no integer".to_owned()),
    };
    let proposal_id = if kind.names_proposal() {
        Some(text(header, "ccf.gov.msg.proposal_id")?.to_owned())
    } else {
        None
    };
    let half = sign1
        .signature
        .get(..sign1.signature.len() / 2)
        .unwrap_or_default();
    let replay = Sha256::new_with_prefix(sign1.tbs_data(b""))
        .chain_update(half)
        .finalize()
        .into();
    let digest = Sha256::digest(&sign1.signature).into();
    let payload = sign1.payload.ok_or("The payload is detached")?;
    Ok(Signed {
        signer,
        payload,
        created_at,
        proposal_id,
        digest,
        replay,
    })
}

fn verify(sign1: &CoseSign1, key: &[u8]) -> Result<(), String> {
    if sign1.payload.is_none() {
        return Err("The payload is detached".to_owned());
    }
    let (expected, scheme) = match key.len() {
        65 => (Algorithm::ES256, &ECDSA_P256_SHA256_FIXED),
        97 => (Algorithm::ES384, &ECDSA_P384_SHA384_FIXED),
        _ => (Algorithm::ES512, &ECDSA_P521_SHA512_FIXED),
    };
    if sign1.protected.header.alg != Some(RegisteredLabelWithPrivate::Assigned(expected)) {
        return Err(format!(
            "The algorithm is not the {expected:?} of the signer's key"
        ));
    }
    sign1
        .verify_signature(b"", |signature, signed| {
            UnparsedPublicKey::new(scheme, key).verify(signed, signature)
        })
        .map_err(|_| "Failed to validate the signature".to_owned())
}

fn parameter<'h>(header: &'h Header, name: &str) -> Result<&'h Value, String> {
    let named = |label: &Label| matches!(label, Label::Text(text) if text == name);
    let found = header.rest.iter().find(|(label, _)| named(label));
    found
        .map(|(_, value)| value)
        .ok_or_else(|| format!("Missing {name} in the protected header"))
}

fn text<'h>(header: &'h Header, name: &str) -> Result<&'h str, String> {
    parameter(header, name)?
        .as_text()
        .ok_or_else(|| format!("{name} is no text"))
}
