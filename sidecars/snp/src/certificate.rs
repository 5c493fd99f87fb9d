use std::collections::BTreeSet;
use std::time::Duration;

use cleanroom_crypto::rsa::PublicKey;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode, Header, Reader, SliceReader, Tag, Tagged};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::name::Name;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Validity;

const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");

/// RSASSA-PSS-params (RFC 4055) of SHA-384, MGF1 with SHA-384 and a salt of 48 bytes.
const PSS_PARAMETERS: [u8; 52] =
    *b"\xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
    \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
    \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
    \xa2\x03\x02\x01\x30";
/// The trailer field 1. It is the default, so DER leaves it out; AMD's own certificates state it.
const PSS_TRAILER: [u8; 5] = *b"\xa3\x03\x02\x01\x01";

/// An X.509 certificate with the bytes that it came in: AMD's do not survive decoding and encoding, and signatures cover
/// what was sent.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    der: Vec<u8>,
    decoded: x509_cert::Certificate,
}

impl Certificate {
    /// Reads a certificate; what is wrong with one comes back as text.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, String> {
        let decoded =
            x509_cert::Certificate::from_der(der).map_err(|error| format!("not X.509: {error}"))?;
        let certificate = Self {
            der: der.to_vec(),
            decoded,
        };
        let mut seen = BTreeSet::new();
        for extension in certificate.extensions() {
            if !seen.insert(extension.extn_id) {
                return Err(format!("extension {} occurs twice", extension.extn_id));
            }
        }
        Ok(certificate)
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn subject(&self) -> &Name {
        self.decoded.tbs_certificate().subject()
    }

    pub(crate) fn issuer(&self) -> &Name {
        self.decoded.tbs_certificate().issuer()
    }

    /// The subject's only common name; empty if it has none, or several.
    pub(crate) fn common_name(&self) -> String {
        let subject = self.subject();
        let mut names = subject.iter().filter(|one| one.oid == COMMON_NAME);
        match (names.next(), names.next()) {
            (Some(_), None) => subject
                .common_name()
                .ok()
                .flatten()
                .map(|name| name.value().into_owned())
                .unwrap_or_default(),
            _ => String::new(),
        }
    }

    pub(crate) fn serial(&self) -> &[u8] {
        self.decoded.tbs_certificate().serial_number().as_bytes()
    }

    pub(crate) fn validity(&self) -> &Validity {
        self.decoded.tbs_certificate().validity()
    }

    pub(crate) fn in_force(&self, now: Duration) -> bool {
        let validity = self.validity();
        validity.not_before.to_unix_duration() <= now
            && now <= validity.not_after.to_unix_duration()
    }

    /// The whole key (SubjectPublicKeyInfo): algorithm, parameters and bits.
    pub(crate) fn key_info(&self) -> Option<Vec<u8>> {
        let info = self.decoded.tbs_certificate().subject_public_key_info();
        info.to_der().ok()
    }

    pub(crate) fn extensions(&self) -> &[Extension] {
        let extensions = self.decoded.tbs_certificate().extensions();
        extensions.map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn extension(&self, id: ObjectIdentifier) -> Option<&Extension> {
        self.extensions().iter().find(|one| one.extn_id == id)
    }

    /// Critical extensions other than those that [`Certificate::authority`] judges.
    pub(crate) fn unread_critical(&self) -> Vec<String> {
        self.extensions()
            .iter()
            .filter(|one| one.critical && ![BASIC_CONSTRAINTS, KEY_USAGE].contains(&one.extn_id))
            .map(|one| one.extn_id.to_string())
            .collect()
    }

    /// What the certificate may issue.
    pub(crate) fn authority(&self) -> Result<Authority, String> {
        let constraints = match self.extension(BASIC_CONSTRAINTS) {
            Some(extension) => Some(
                BasicConstraints::from_der(extension.extn_value.as_bytes())
                    .map_err(|error| format!("basic constraints: {error}"))?,
            ),
            None => None,
        };
        let usage = match self.extension(KEY_USAGE) {
            Some(extension) => Some(
                KeyUsage::from_der(extension.extn_value.as_bytes())
                    .map_err(|error| format!("key usage: {error}"))?,
            ),
            None => None,
        };
        Ok(Authority {
            ca: constraints.as_ref().is_some_and(|one| one.ca),
            path_len: constraints.and_then(|one| one.path_len_constraint),
            cert_sign: usage.as_ref().is_some_and(KeyUsage::key_cert_sign),
            crl_sign: usage.as_ref().is_some_and(KeyUsage::crl_sign),
        })
    }

    /// Whether both statements of the signature algorithm are RSASSA-PSS with exactly AMD's parameters.
    pub(crate) fn has_amd_signature_parameters(&self) -> bool {
        is_amd_pss(self.decoded.signature_algorithm())
            && is_amd_pss(self.decoded.tbs_certificate().signature())
    }

    pub(crate) fn signature_algorithm(&self) -> String {
        described(self.decoded.signature_algorithm())
    }

    /// Whether `issuer`'s RSA key signed this certificate as it was received.
    pub(crate) fn is_signed_by(&self, issuer: &Self) -> bool {
        let signature = self.decoded.signature().as_bytes();
        signed_part(&self.der)
            .zip(signature)
            .is_some_and(|(signed, signature)| issuer.verifies_pss(signed, signature))
    }

    /// Whether this certificate's RSA key made an RSASSA-PSS signature with SHA-384 and a salt of 48 bytes.
    pub(crate) fn verifies_pss(&self, signed: &[u8], signature: &[u8]) -> bool {
        self.key_info()
            .and_then(|key| PublicKey::from_spki_der(&key).ok())
            .is_some_and(|key| key.verify_pss_sha384(signed, signature).is_ok())
    }
}

/// What a certificate may issue (RFC 5280 sections 4.2.1.3 and 4.2.1.9).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Authority {
    pub(crate) ca: bool,
    pub(crate) path_len: Option<u8>,
    pub(crate) cert_sign: bool,
    pub(crate) crl_sign: bool,
}

/// Whether an algorithm is RSASSA-PSS with exactly AMD's parameters.
pub(crate) fn is_amd_pss(algorithm: &AlgorithmIdentifierOwned) -> bool {
    algorithm.oid == RSASSA_PSS
        && algorithm.parameters.as_ref().is_some_and(|parameters| {
            let value = parameters.value();
            parameters.tag() == Tag::Sequence
                && (value == PSS_PARAMETERS
                    || value.strip_suffix(&PSS_TRAILER) == Some(&PSS_PARAMETERS))
        })
}

pub(crate) fn described(algorithm: &AlgorithmIdentifierOwned) -> String {
    let parameters = algorithm.parameters.as_ref();
    format!(
        "{} with {}",
        algorithm.oid,
        parameters.map_or_else(|| "none".to_owned(), |any| hex::encode(any.value()))
    )
}

/// The first element of a signed sequence, as it was received.
pub(crate) fn signed_part(der: &[u8]) -> Option<&[u8]> {
    let mut outer = SliceReader::new(der).ok()?;
    Header::decode(&mut outer).ok()?;
    outer.tlv_bytes().ok()
}
