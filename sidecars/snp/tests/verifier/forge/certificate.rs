//! Certificates with whatever a vector needs to be wrong with them.

use std::str::FromStr;

use x509_cert::der::asn1::{Ia5String, ObjectIdentifier, OctetString, UtcTime};
use x509_cert::der::pem::{LineEnding, encode_string};
use x509_cert::der::{DateTime, Encode, Tag};
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::time::Time;

use super::der::{bits, context, element, sequence};
use super::keys::{Key, Scheme};

pub(crate) const BASIC_CONSTRAINTS: &str = "2.5.29.19";
pub(crate) const KEY_USAGE: &str = "2.5.29.15";
pub(crate) const EXTENDED_KEY_USAGE: &str = "2.5.29.37";

/// A certificate to be signed.
#[derive(Clone, Debug)]
pub(crate) struct Cert {
    /// RFC 4514, as is `issuer`.
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) serial: Vec<u8>,
    pub(crate) not_before: DateTime,
    pub(crate) not_after: DateTime,
    pub(crate) spki: Vec<u8>,
    pub(crate) extensions: Vec<Extension>,
    pub(crate) signer: Key,
    pub(crate) scheme: Scheme,
    /// AlgorithmIdentifier inside and outside the signed part, where it is not the scheme's.
    pub(crate) stated_inside: Option<Vec<u8>>,
    pub(crate) stated_outside: Option<Vec<u8>>,
    /// Whether a bit of the signature is flipped.
    pub(crate) broken: bool,
}

pub(crate) fn date(year: u16, month: u8, day: u8) -> DateTime {
    DateTime::new(year, month, day, 0, 0, 0).unwrap()
}

/// AMD's name of a certificate.
pub(crate) fn amd(common_name: &str) -> String {
    format!("CN={common_name},O=Advanced Micro Devices,ST=CA,L=Santa Clara,C=US,OU=Engineering")
}

pub(crate) fn extension(id: &str, critical: bool, value: Vec<u8>) -> Extension {
    Extension {
        extn_id: ObjectIdentifier::new(id).unwrap(),
        critical,
        extn_value: OctetString::new(value).unwrap(),
    }
}

/// Basic constraints (RFC 5280 section 4.2.1.9).
pub(crate) fn constraints(ca: bool, path_len: Option<u8>) -> Extension {
    let mut value = Vec::new();
    if ca {
        value.push(true.to_der().unwrap());
    }
    value.extend(path_len.map(|length| length.to_der().unwrap()));
    extension(BASIC_CONSTRAINTS, true, sequence(&value))
}

/// Key usage (RFC 5280 section 4.2.1.3) by its first byte: 0x04 signs certificates, 0x02 revocation lists.
pub(crate) fn usage(first: u8) -> Extension {
    let unused = u8::try_from(first.trailing_zeros().min(7)).unwrap();
    extension(KEY_USAGE, true, element(Tag::BitString, &[unused, first]))
}

impl Cert {
    pub(crate) fn set(&mut self, new: Extension) {
        let old = self
            .extensions
            .iter()
            .position(|one| one.extn_id == new.extn_id);
        match old {
            Some(at) => self.extensions[at] = new,
            None => self.extensions.push(new),
        }
    }

    /// Sets the value of an AMD extension, by the end of its identifier.
    pub(crate) fn set_amd(&mut self, suffix: &str, value: &[u8]) {
        self.set(extension(&amd_id(suffix), false, value.to_vec()));
    }

    pub(crate) fn remove(&mut self, id: &str) {
        let id = ObjectIdentifier::new(id).unwrap();
        let before = self.extensions.len();
        self.extensions.retain(|one| one.extn_id != id);
        assert_eq!(self.extensions.len() + 1, before, "no {id}");
    }

    pub(crate) fn double(&mut self, id: &str) {
        let id = ObjectIdentifier::new(id).unwrap();
        let one = self.extensions.iter().find(|one| one.extn_id == id);
        let copy = one.unwrap().clone();
        self.extensions.push(copy);
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        let stated =
            |other: &Option<Vec<u8>>| other.clone().unwrap_or_else(|| self.scheme.algorithm());
        let name = |text: &str| Name::from_str(text).unwrap().to_der().unwrap();
        let time = |at: DateTime| {
            let time = UtcTime::from_date_time(at).unwrap();
            Time::UtcTime(time).to_der().unwrap()
        };
        let signed = sequence(&[
            context(0, &2_u8.to_der().unwrap()),
            element(Tag::Integer, &self.serial),
            stated(&self.stated_inside),
            name(&self.issuer),
            sequence(&[time(self.not_before), time(self.not_after)]),
            name(&self.subject),
            self.spki.clone(),
            context(3, &self.extensions.to_der().unwrap()),
        ]);
        let mut signature = self.scheme.sign(self.signer, &signed);
        signature[0] ^= u8::from(self.broken);
        sequence(&[signed, stated(&self.stated_outside), bits(&signature)])
    }

    pub(crate) fn pem(&self) -> String {
        pem(&self.der())
    }
}

pub(crate) fn pem(der: &[u8]) -> String {
    encode_string("CERTIFICATE", LineEnding::LF, der).unwrap()
}

pub(crate) fn amd_id(suffix: &str) -> String {
    format!("1.3.6.1.4.1.3704.1.{suffix}")
}

pub(crate) fn ia5(text: &str) -> Vec<u8> {
    Ia5String::new(text).unwrap().to_der().unwrap()
}
