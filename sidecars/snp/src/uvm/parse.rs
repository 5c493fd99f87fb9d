use std::time::Duration;

use ciborium::Value;
use cleanroom_crypto::digest::sha256;
use coset::iana::Algorithm;
use coset::{
    CborSerializable, CoseSign1, Header, Label, RegisteredLabel, RegisteredLabelWithPrivate,
    TaggedCborSerializable,
};
use serde::Deserialize;

use crate::error::{refused, shown};
use crate::{CheckId, SnpError};

/// Real ones have less than 16 KiB.
const LENGTH_CAP: usize = 256 << 10;
const CHAIN_CAP: usize = 8;

const CWT_CLAIMS: i64 = 15;
const X5CHAIN: i64 = 33;
const X5T: i64 = 34;
const SHA256_ALGORITHM: i64 = -16;
const EPOCH_TAG: u64 = 1;

/// An endorsement of a utility VM's launch measurement, as it was received. Nothing is verified.
#[derive(Clone, Debug)]
pub struct UvmEndorsement {
    pub(super) sign1: CoseSign1,
    pub(super) chain: Vec<Vec<u8>>,
    issuer: String,
    feed: String,
    signing_time: Option<Duration>,
    payload: Payload,
}

#[derive(Clone, Debug, Deserialize)]
struct Payload {
    #[serde(rename = "x-ms-sevsnpvm-launchmeasurement")]
    measurement: String,
    #[serde(rename = "x-ms-sevsnpvm-guestsvn")]
    svn: String,
    #[serde(rename = "x-ms-sevsnpvm-guestsvn-int")]
    svn_number: Option<u64>,
    /// The version among the header's claims, if they have one.
    #[serde(skip)]
    claimed: Option<u64>,
}

impl UvmEndorsement {
    /// Reads COSE_Sign1, with or without its tag.
    ///
    /// # Errors
    /// [`CheckId::UvmFormat`].
    pub fn parse(cose: &[u8]) -> Result<Self, SnpError> {
        Self::read(cose).map_err(|actual| {
            refused(
                CheckId::UvmFormat,
                "COSE_Sign1 with PS384, x5chain, issuer and feed in its protected header, and the measurement as JSON",
                actual,
            )
        })
    }

    fn read(cose: &[u8]) -> Result<Self, String> {
        if cose.len() > LENGTH_CAP {
            return Err(format!("{} bytes, more than {LENGTH_CAP}", cose.len()));
        }
        let sign1 = CoseSign1::from_tagged_slice(cose)
            .or_else(|_| CoseSign1::from_slice(cose))
            .map_err(|error| format!("not COSE_Sign1: {error}"))?;
        let header = &sign1.protected.header;
        if header.alg != Some(RegisteredLabelWithPrivate::Assigned(Algorithm::PS384)) {
            return Err(format!("algorithm {:?}, not PS384", header.alg));
        }
        if !header.crit.is_empty() {
            return Err("a critical header parameter".to_owned());
        }
        match &header.content_type {
            Some(RegisteredLabel::Text(kind)) if kind == "application/json" => {}
            other => return Err(format!("content type {other:?}, not application/json")),
        }
        let chain = x5chain(header)?;
        check_x5t(header, &chain)?;
        let claims = Claims::read(header)?;
        let payload = sign1
            .payload
            .as_deref()
            .ok_or_else(|| "a detached payload".to_owned())?;
        let mut payload: Payload =
            serde_json::from_slice(payload).map_err(|error| format!("payload: {error}"))?;
        payload.claimed = claims.svn;
        Ok(Self {
            issuer: claims.issuer,
            feed: claims.feed,
            signing_time: claims.signing_time,
            chain,
            payload,
            sign1,
        })
    }

    /// Who endorses: a did:x509.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What is endorsed.
    pub fn feed(&self) -> &str {
        &self.feed
    }

    /// When it was signed, in time since 1970, as the signer says.
    pub const fn signing_time(&self) -> Option<Duration> {
        self.signing_time
    }

    /// The launch measurement, as the payload has it.
    pub fn measurement(&self) -> &str {
        &self.payload.measurement
    }

    /// The utility VM's version, which payload and header may state in several places.
    ///
    /// # Errors
    /// Text: it is no decimal number, or the places disagree.
    pub(crate) fn svn(&self) -> Result<u64, String> {
        let text = &self.payload.svn;
        let svn = text
            .parse()
            .ok()
            .filter(|svn: &u64| svn.to_string() == *text)
            .ok_or_else(|| format!("{:?}, no decimal number", shown(text)))?;
        for other in [self.payload.svn_number, self.payload.claimed]
            .into_iter()
            .flatten()
        {
            if other != svn {
                return Err(format!("{svn} in one place, {other} in another"));
            }
        }
        Ok(svn)
    }
}

fn member(header: &Header, label: Label) -> Option<&Value> {
    let mut members = header.rest.iter();
    members
        .find(|(one, _)| *one == label)
        .map(|(_, value)| value)
}

/// The certificates from the leaf up. Only the protected header counts: anyone can write into the other one.
fn x5chain(header: &Header) -> Result<Vec<Vec<u8>>, String> {
    let certificates = match member(header, Label::Int(X5CHAIN)) {
        Some(Value::Array(certificates)) => certificates.as_slice(),
        Some(only @ Value::Bytes(_)) => std::slice::from_ref(only),
        _ => return Err("no x5chain in its protected header".to_owned()),
    };
    if certificates.len() > CHAIN_CAP {
        return Err(format!(
            "{} certificates, more than {CHAIN_CAP}",
            certificates.len()
        ));
    }
    let bytes = |one: &Value| one.as_bytes().cloned();
    certificates
        .iter()
        .map(bytes)
        .collect::<Option<Vec<_>>>()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| "an x5chain that is no list of certificates".to_owned())
}

fn check_x5t(header: &Header, chain: &[Vec<u8>]) -> Result<(), String> {
    let Some(x5t) = member(header, Label::Int(X5T)) else {
        return Ok(());
    };
    let leaf = chain.first().map(|leaf| sha256(leaf)).unwrap_or_default();
    let expected = Value::Array(vec![
        Value::Integer(SHA256_ALGORITHM.into()),
        Value::Bytes(leaf.to_vec()),
    ]);
    if *x5t == expected {
        Ok(())
    } else {
        Err("x5t is not the SHA-256 of its leaf".to_owned())
    }
}

/// Issuer and feed are header parameters of their own, or claims of a CWT (RFC 9597); with both, they must agree.
struct Claims {
    issuer: String,
    feed: String,
    svn: Option<u64>,
    signing_time: Option<Duration>,
}

impl Claims {
    fn read(header: &Header) -> Result<Self, String> {
        let named = |name: &str| member(header, Label::Text(name.to_owned()));
        let claims = match member(header, Label::Int(CWT_CLAIMS)) {
            Some(Value::Map(claims)) => claims.as_slice(),
            Some(_) => return Err("CWT claims that are no map".to_owned()),
            None => &[],
        };
        let claim = |key: Value| -> Result<Option<&Value>, String> {
            let mut found = claims.iter().filter(|(one, _)| *one == key);
            match (found.next(), found.next()) {
                (_, Some(_)) => Err("a CWT claim twice".to_owned()),
                (one, None) => Ok(one.map(|(_, value)| value)),
            }
        };
        let text = |name: &str, key: u8| -> Result<String, String> {
            let mut values = [named(name), claim(Value::Integer(key.into()))?]
                .into_iter()
                .flatten();
            match (values.next(), values.next()) {
                (Some(Value::Text(one)), None) => Ok(one.clone()),
                (Some(Value::Text(one)), Some(Value::Text(other))) if one == other => {
                    Ok(one.clone())
                }
                (None, _) => Err(format!("no {name} in its protected header")),
                _ => Err(format!("{name} is no text, or two different ones")),
            }
        };
        let number = |value: &Value| value.as_integer().and_then(|one| u64::try_from(one).ok());
        let svn = match claim(Value::Text("svn".to_owned()))? {
            Some(value) => Some(number(value).ok_or_else(|| "svn is no number".to_owned())?),
            None => None,
        };
        let signing_time = match named("signingtime") {
            Some(Value::Tag(EPOCH_TAG, seconds)) => {
                Some(Duration::from_secs(number(seconds).ok_or_else(|| {
                    "signingtime is no number of seconds".to_owned()
                })?))
            }
            Some(_) => return Err("signingtime is no time".to_owned()),
            None => None,
        };
        Ok(Self {
            issuer: text("iss", 1)?,
            feed: text("feed", 2)?,
            svn,
            signing_time,
        })
    }
}
