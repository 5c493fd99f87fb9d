use serde::{Deserialize, Serialize};

use super::RegionSize;
use super::key::A256KW;
use super::region::NONCE;
use crate::FormatError;

/// Name of the metadata that holds the envelope. Names of metadata are compared without regard to case.
pub const ENCRYPTION_DATA: &str = "encryptiondata";

const ALGORITHM: &str = "AES_GCM_256";
const MODE: &str = "FullBlob";
/// All metadata of a blob fits 8 KiB.
const LONGEST: usize = 8 << 10;

/// Version of the protocol; anything before 2.0 is AES-CBC without authentication and never read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Protocol {
    V2_0,
    V2_1,
}

impl Protocol {
    const fn name(self) -> &'static str {
        match self {
            Self::V2_0 => "2.0",
            Self::V2_1 => "2.1",
        }
    }

    /// The bytes in front of the content key.
    pub(super) const fn prefix(self) -> [u8; 8] {
        match self {
            Self::V2_0 => *b"2.0\0\0\0\0\0",
            Self::V2_1 => *b"2.1\0\0\0\0\0",
        }
    }
}

/// What the metadata says of a blob's encryption. Nothing of it is authenticated before the content key is unwrapped.
#[derive(Clone, Debug)]
pub struct Envelope {
    protocol: Protocol,
    region: RegionSize,
    key: WrappedContentKey,
}

impl Envelope {
    /// Reads the value of `encryptiondata`; `None` is a blob without one.
    ///
    /// # Errors
    /// [`FormatError::NotEncrypted`] without a value; [`FormatError::OldProtocol`] for version 1;
    /// [`FormatError::Envelope`], [`FormatError::Unsupported`].
    pub fn parse(value: Option<&str>) -> Result<Self, FormatError> {
        let text = value.ok_or(FormatError::NotEncrypted)?;
        if text.len() > LONGEST {
            return Err(FormatError::Envelope("length"));
        }
        let wire: Wire = serde_json::from_str(text).map_err(|_| FormatError::Envelope("JSON"))?;
        let protocol = match wire.agent.protocol.as_str() {
            "2.0" => Protocol::V2_0,
            "2.1" => Protocol::V2_1,
            "1.0" => return Err(FormatError::OldProtocol),
            _ => return Err(FormatError::Unsupported("encryption protocol")),
        };
        if wire.agent.algorithm != ALGORITHM {
            return Err(FormatError::Envelope("EncryptionAlgorithm"));
        }
        if wire.mode.is_some_and(|mode| mode != MODE) {
            return Err(FormatError::Envelope("EncryptionMode"));
        }
        let info = wire
            .region
            .ok_or(FormatError::Envelope("EncryptedRegionInfo"))?;
        if info.nonce_length != NONCE as u64 {
            return Err(FormatError::Envelope("NonceLength"));
        }
        let region = u32::try_from(info.data_length)
            .map_err(|_| FormatError::Unsupported("region length"))
            .and_then(RegionSize::new)?;
        if protocol == Protocol::V2_0 && region != RegionSize::default() {
            return Err(FormatError::Envelope("DataLength"));
        }
        Ok(Self {
            protocol,
            region,
            key: wire.key,
        })
    }

    /// Which key the content key is wrapped under.
    pub fn key_id(&self) -> &str {
        &self.key.id
    }

    /// How the content key is wrapped.
    pub fn algorithm(&self) -> &str {
        &self.key.algorithm
    }

    /// Clear bytes of a region.
    pub const fn region(&self) -> RegionSize {
        self.region
    }

    pub(super) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(super) fn encrypted_key(&self) -> &str {
        &self.key.encrypted
    }
}

/// The text of a new envelope, its members in the order that the Java SDK wants.
pub(super) fn write(
    protocol: Protocol,
    region: RegionSize,
    key_id: &str,
    encrypted: String,
) -> Result<String, FormatError> {
    let wire = Wire {
        key: WrappedContentKey {
            id: key_id.to_owned(),
            encrypted,
            algorithm: A256KW.to_owned(),
        },
        agent: Agent {
            protocol: protocol.name().to_owned(),
            algorithm: ALGORITHM.to_owned(),
        },
        region: Some(Region {
            data_length: region.bytes(),
            nonce_length: NONCE as u64,
        }),
        wrapping: Some(Wrapping {
            library: Some("cleanroom".to_owned()),
        }),
        mode: Some(MODE.to_owned()),
    };
    serde_json::to_string(&wire).map_err(|_| FormatError::Envelope("JSON"))
}

#[derive(Deserialize, Serialize)]
struct Wire {
    #[serde(rename = "WrappedContentKey")]
    key: WrappedContentKey,
    #[serde(rename = "EncryptionAgent")]
    agent: Agent,
    #[serde(rename = "EncryptedRegionInfo")]
    region: Option<Region>,
    #[serde(rename = "KeyWrappingMetadata")]
    wrapping: Option<Wrapping>,
    #[serde(rename = "EncryptionMode")]
    mode: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct WrappedContentKey {
    #[serde(rename = "KeyId")]
    id: String,
    #[serde(rename = "EncryptedKey")]
    encrypted: String,
    #[serde(rename = "Algorithm")]
    algorithm: String,
}

#[derive(Deserialize, Serialize)]
struct Agent {
    #[serde(rename = "Protocol")]
    protocol: String,
    #[serde(rename = "EncryptionAlgorithm")]
    algorithm: String,
}

#[derive(Deserialize, Serialize)]
struct Region {
    #[serde(rename = "DataLength")]
    data_length: u64,
    #[serde(rename = "NonceLength")]
    nonce_length: u64,
}

#[derive(Deserialize, Serialize)]
struct Wrapping {
    #[serde(rename = "EncryptionLibrary")]
    library: Option<String>,
}
