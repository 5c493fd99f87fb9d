//! Members that travel as standard base64.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::{Error as _, MapAccess, Visitor};

use crate::{PCRS, PcrValues};

/// Bytes.
pub(crate) mod bytes {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64_STANDARD
            .decode(text)
            .map_err(|error| D::Error::custom(format!("not base64: {error}")))
    }
}

/// PCR values: an object from index to value.
pub(crate) mod pcrs {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde::ser::SerializeMap;
    use serde::{Deserializer, Serializer};

    use crate::PcrValues;

    pub(crate) fn serialize<S: Serializer>(
        values: &PcrValues,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(values.len()))?;
        for (index, value) in values {
            map.serialize_entry(index, &BASE64_STANDARD.encode(value))?;
        }
        map.end()
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PcrValues, D::Error> {
        deserializer.deserialize_map(super::Pcrs)
    }
}

struct Pcrs;

impl<'de> Visitor<'de> for Pcrs {
    type Value = PcrValues;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object from PCR index to base64 of its value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PcrValues, A::Error> {
        let mut values = BTreeMap::new();
        while let Some((index, text)) = map.next_entry::<u8, String>()? {
            if index >= PCRS {
                return Err(A::Error::custom(format!("PCR {index}: expected 0 to 23")));
            }
            let value: [u8; 32] = BASE64_STANDARD
                .decode(text)
                .ok()
                .and_then(|value| value.try_into().ok())
                .ok_or_else(|| {
                    A::Error::custom(format!("PCR {index}: expected base64 of 32 bytes"))
                })?;
            // Readers differ on which of two counts.
            if values.insert(index, value).is_some() {
                return Err(A::Error::custom(format!("PCR {index} occurs twice")));
            }
        }
        Ok(values)
    }
}
