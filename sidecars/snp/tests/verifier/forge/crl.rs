use x509_cert::der::asn1::UtcTime;
use x509_cert::der::{DateTime, Encode, Tag};
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::time::Time;

use super::certificate::{amd, date};
use super::der::{bits, context, element, sequence};
use super::keys::{Key, Scheme};

/// A revocation list to be signed (RFC 5280 section 5.1).
#[derive(Clone, Debug)]
pub(crate) struct Crl {
    pub(crate) issuer: String,
    pub(crate) this_update: DateTime,
    pub(crate) next_update: Option<DateTime>,
    pub(crate) revoked: Vec<Vec<u8>>,
    pub(crate) extensions: Vec<Extension>,
    pub(crate) signer: Key,
    pub(crate) scheme: Scheme,
}

impl Crl {
    /// Nothing is revoked.
    pub(crate) fn empty(product: &str) -> Self {
        Self {
            issuer: amd(&format!("ARK-{product}")),
            this_update: date(2025, 12, 1),
            next_update: Some(date(2026, 12, 1)),
            revoked: Vec::new(),
            extensions: Vec::new(),
            signer: Key::Ark,
            scheme: Scheme::Pss,
        }
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        let time = |at: DateTime| {
            let time = UtcTime::from_date_time(at).unwrap();
            Time::UtcTime(time).to_der().unwrap()
        };
        let entry =
            |serial: &Vec<u8>| sequence(&[element(Tag::Integer, serial), time(self.this_update)]);
        let mut fields = vec![
            1_u8.to_der().unwrap(),
            self.scheme.algorithm(),
            self.issuer.parse::<Name>().unwrap().to_der().unwrap(),
            time(self.this_update),
        ];
        fields.extend(self.next_update.map(time));
        if !self.revoked.is_empty() {
            fields.push(sequence(
                &self.revoked.iter().map(entry).collect::<Vec<_>>(),
            ));
        }
        if !self.extensions.is_empty() {
            fields.push(context(0, &self.extensions.to_der().unwrap()));
        }
        let signed = sequence(&fields);
        let signature = self.scheme.sign(self.signer, &signed);
        sequence(&[signed, self.scheme.algorithm(), bits(&signature)])
    }
}
