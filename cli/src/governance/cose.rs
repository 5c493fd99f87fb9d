//! CCF's signed governance messages: COSE_Sign1 with an embedded payload (RFC 9052).

use coset::cbor::value::Value;
use coset::{CoseSign1Builder, HeaderBuilder, TaggedCborSerializable, iana};

use super::GovCliError;
use super::signer::Signer;

/// What a message says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Message<'a> {
    Proposal,
    Ballot(&'a str),
    Withdrawal(&'a str),
    StateDigest,
    Ack,
}

impl<'a> Message<'a> {
    const fn name(self) -> &'static str {
        match self {
            Self::Proposal => "proposal",
            Self::Ballot(_) => "ballot",
            Self::Withdrawal(_) => "withdrawal",
            Self::StateDigest => "state_digest",
            Self::Ack => "ack",
        }
    }

    const fn proposal(self) -> Option<&'a str> {
        match self {
            Self::Ballot(id) | Self::Withdrawal(id) => Some(id),
            Self::Proposal | Self::StateDigest | Self::Ack => None,
        }
    }
}

/// Signs a message. `created_at` is in Unix seconds.
pub(crate) fn sign(
    signer: &Signer,
    message: Message<'_>,
    created_at: u64,
    payload: &[u8],
) -> Result<Vec<u8>, GovCliError> {
    let text = |label: &str, value: &str| (label.to_owned(), Value::Text(value.to_owned()));
    let (label, value) = text("ccf.gov.msg.type", message.name());
    let mut protected = HeaderBuilder::new()
        .algorithm(iana::Algorithm::ES384)
        // The key id is the text of the hex, not the digest.
        .key_id(signer.id().as_bytes().to_vec())
        .text_value(label, value)
        .text_value(
            "ccf.gov.msg.created_at".to_owned(),
            Value::Integer(created_at.into()),
        );
    if let Some(id) = message.proposal() {
        let (label, value) = text("ccf.gov.msg.proposal_id", id);
        protected = protected.text_value(label, value);
    }
    CoseSign1Builder::new()
        .protected(protected.build())
        .payload(payload.to_vec())
        .try_create_signature(&[], |bytes| signer.sign(bytes))?
        .build()
        .to_tagged_vec()
        .map_err(|error| GovCliError::Key {
            reason: format!("the message cannot be encoded: {error}"),
        })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
    use coset::CoseSign1;

    use super::super::keygen::identity;
    use super::*;

    fn signer() -> Signer {
        let pair = identity("litware").unwrap();
        Signer::of(pair.cert.as_bytes(), pair.key.as_bytes()).unwrap()
    }

    #[test]
    fn a_proposal_has_the_bytes_that_ccf_documents() {
        let signer = signer();
        let bytes = sign(&signer, Message::Proposal, 1_735_787_045, b"{}").unwrap();
        let mut expected = hex::decode("d284587da4013822045840").unwrap();
        expected.extend(signer.id().as_bytes());
        expected.push(0x70);
        expected.extend(b"ccf.gov.msg.type");
        expected.push(0x68);
        expected.extend(b"proposal");
        expected.push(0x76);
        expected.extend(b"ccf.gov.msg.created_at");
        expected.extend(hex::decode("1a67760225a0427b7d5860").unwrap());
        assert_eq!(
            hex::encode(&bytes[..expected.len()]),
            hex::encode(&expected)
        );
        assert_eq!(bytes.len(), expected.len() + 96);
    }

    #[test]
    fn the_signature_covers_the_protected_header_and_the_payload() {
        let signer = signer();
        let bytes = sign(&signer, Message::Ballot("ab"), 1, b"payload").unwrap();
        let read = CoseSign1::from_tagged_slice(&bytes).unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, signer.public());
        // The signed structure, written out: ["Signature1", protected, external, payload].
        let protected = read.protected.original_data.clone().unwrap();
        let structure = |payload: &[u8]| {
            let items = Value::Array(vec![
                Value::Text("Signature1".to_owned()),
                Value::Bytes(protected.clone()),
                Value::Bytes(Vec::new()),
                Value::Bytes(payload.to_vec()),
            ]);
            let mut out = Vec::new();
            ciborium::into_writer(&items, &mut out).unwrap();
            out
        };
        key.verify(&structure(b"payload"), &read.signature).unwrap();
        assert!(key.verify(&structure(b"payloaD"), &read.signature).is_err());
    }

    #[test]
    fn a_withdrawal_names_its_proposal_and_has_an_empty_payload() {
        let bytes = sign(&signer(), Message::Withdrawal("0123"), 1, b"").unwrap();
        let read = CoseSign1::from_tagged_slice(&bytes).unwrap();
        assert_eq!(read.payload, Some(Vec::new()));
        let named = read.protected.header.rest.iter().any(|(label, value)| {
            *label == coset::Label::Text("ccf.gov.msg.proposal_id".to_owned())
                && *value == Value::Text("0123".to_owned())
        });
        assert!(named);
    }
}
