//! Endorsements of utility VMs in Microsoft's layout.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ciborium::Value;
use sha2::{Digest, Sha256};
use snp::UvmRoots;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{DateTime, Encode};

use super::certificate::{Cert, EXTENDED_KEY_USAGE, constraints, date, extension, usage};
use super::der::sequence;
use super::keys::{Key, Scheme};

pub(crate) const USAGE: &str = "1.3.6.1.4.1.311.76.59.1.2";
pub(crate) const FEED: &str = "ContainerPlat-AMD-UVM";
pub(crate) const SVN: u64 = 104;
const SIGN1_TAG: u64 = 18;

/// A header parameter: label and value.
pub(crate) type Parameter = (Value, Value);

/// A COSE_Sign1 to be signed.
#[derive(Clone, Debug)]
pub(crate) struct Uvm {
    /// Leaf, intermediate, root.
    pub(crate) chain: Vec<Cert>,
    /// The protected header but for x5chain and x5t, which [`Uvm::chain`] makes unless they are here.
    pub(crate) header: Vec<Parameter>,
    /// Whether x5chain and x5t are made.
    pub(crate) certified: bool,
    pub(crate) unprotected: Vec<Parameter>,
    pub(crate) payload: Value,
    pub(crate) signer: Key,
    pub(crate) scheme: Scheme,
    pub(crate) tagged: bool,
    /// Applied to the finished bytes.
    pub(crate) edit: fn(Vec<u8>) -> Vec<u8>,
}

pub(crate) fn label(number: i64) -> Value {
    Value::Integer(number.into())
}

pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

impl Uvm {
    /// A good endorsement of a measurement.
    pub(crate) fn of(measurement: &[u8]) -> Self {
        let chain = vec![leaf(), intermediate(), root()];
        let issuer = did(&chain[2], USAGE);
        let measurement = hex::encode(measurement);
        let payload = format!(
            r#"{{"x-ms-sevsnpvm-guestsvn":"{SVN}","x-ms-sevsnpvm-guestsvn-int":{SVN},
               "x-ms-sevsnpvm-launchmeasurement":"{measurement}"}}"#
        );
        Self {
            chain,
            header: vec![
                (label(1), label(-38)),
                (label(3), text("application/json")),
                (text("iss"), text(&issuer)),
                (text("feed"), text(FEED)),
                (text("signingtime"), seconds(date(2025, 9, 30))),
            ],
            certified: true,
            unprotected: vec![(text("timestamp"), Value::Bytes(vec![0x30, 0]))],
            payload: Value::Bytes(payload.into_bytes()),
            signer: Key::UvmLeaf,
            scheme: Scheme::Pss,
            tagged: true,
            edit: |bytes| bytes,
        }
    }

    /// What accepts it.
    pub(crate) fn roots(&self) -> UvmRoots {
        UvmRoots::custom(&did(&self.chain[2], USAGE), FEED, SVN).unwrap()
    }

    /// Sets a parameter of the protected header.
    pub(crate) fn set(&mut self, label: Value, value: Value) {
        self.remove(&label);
        self.header.push((label, value));
    }

    pub(crate) fn remove(&mut self, label: &Value) {
        self.header.retain(|(one, _)| one != label);
    }

    pub(crate) fn replace(&mut self, from: &str, to: &str) {
        let payload = String::from_utf8(self.payload.as_bytes().unwrap().clone()).unwrap();
        assert!(payload.contains(from), "{from}");
        self.payload = Value::Bytes(payload.replace(from, to).into_bytes());
    }

    pub(crate) fn ders(&self) -> Vec<Vec<u8>> {
        self.chain.iter().map(Cert::der).collect()
    }

    pub(crate) fn cose(&self) -> Vec<u8> {
        let mut header = self.header.clone();
        if self.certified {
            let ders = self.ders();
            let thumbprint = Sha256::digest(ders.first().map(Vec::as_slice).unwrap_or_default());
            let chain = ders.into_iter().map(Value::Bytes).collect();
            for (id, value) in [
                (33, Value::Array(chain)),
                (
                    34,
                    Value::Array(vec![label(-16), Value::Bytes(thumbprint.to_vec())]),
                ),
            ] {
                if !header.iter().any(|(one, _)| *one == label(id)) {
                    header.push((label(id), value));
                }
            }
        }
        let protected = Value::Bytes(cbor(&Value::Map(header)));
        let signed = cbor(&Value::Array(vec![
            text("Signature1"),
            protected.clone(),
            Value::Bytes(Vec::new()),
            self.payload.clone(),
        ]));
        let sign1 = Value::Array(vec![
            protected,
            Value::Map(self.unprotected.clone()),
            self.payload.clone(),
            Value::Bytes(self.scheme.sign(self.signer, &signed)),
        ]);
        let bytes = if self.tagged {
            cbor(&Value::Tag(SIGN1_TAG, Box::new(sign1)))
        } else {
            cbor(&sign1)
        };
        (self.edit)(bytes)
    }
}

/// The did:x509 of an authority and a usage of its leaf.
pub(crate) fn did(authority: &Cert, usage: &str) -> String {
    let fingerprint = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(authority.der()));
    format!("did:x509:0:sha256:{fingerprint}::eku:{usage}")
}

pub(crate) fn seconds(at: DateTime) -> Value {
    let seconds = at.unix_duration().as_secs();
    Value::Tag(1, Box::new(Value::Integer(seconds.into())))
}

pub(crate) fn cbor(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// Extended key usage (RFC 5280 section 4.2.1.12).
pub(crate) fn purposes(ids: &[&str]) -> x509_cert::ext::Extension {
    let ids: Vec<Vec<u8>> = ids
        .iter()
        .map(|id| ObjectIdentifier::new(id).unwrap().to_der().unwrap())
        .collect();
    extension(EXTENDED_KEY_USAGE, false, sequence(&ids))
}

fn root() -> Cert {
    certificate("UVM test root", "UVM test root", Key::Ark, Key::Ark)
}

fn intermediate() -> Cert {
    certificate("UVM test authority", "UVM test root", Key::Ask, Key::Ark)
}

fn leaf() -> Cert {
    let mut leaf = certificate(
        "UVM test leaf",
        "UVM test authority",
        Key::UvmLeaf,
        Key::Ask,
    );
    leaf.not_before = date(2025, 6, 1);
    leaf.not_after = date(2026, 6, 1);
    leaf.extensions = vec![usage(0x80), purposes(&["1.3.6.1.4.1.311.76.59.1.1", USAGE])];
    leaf
}

fn certificate(subject: &str, issuer: &str, key: Key, signer: Key) -> Cert {
    Cert {
        subject: format!("CN={subject}"),
        issuer: format!("CN={issuer}"),
        serial: vec![7],
        not_before: date(2022, 1, 1),
        not_after: date(2047, 1, 1),
        spki: key.spki(),
        extensions: vec![constraints(true, None), usage(0x06)],
        signer,
        scheme: Scheme::Pkcs1,
        stated_inside: None,
        stated_outside: None,
        broken: false,
    }
}
