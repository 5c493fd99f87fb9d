//! JSON that is read as a whole.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads a document of which not every member is wanted. What is not wanted would be passed over without a look, and text
/// that is no UTF-8, an escape that stands for nothing, or a second member of a name be accepted there: another reader
/// refuses such a document, or takes something else from it.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice::<Whole>(bytes)?;
    serde_json::from_slice(bytes)
}

/// Any value, looked at and not kept.
struct Whole;

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Whole {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, _)) = members.next_entry::<String, Self>()? {
            if let Some(name) = names.replace(name) {
                return Err(A::Error::custom(format_args!(
                    "member {name:?} is there twice"
                )));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Wanted {
        wanted: u8,
    }

    #[test]
    fn what_nobody_wants_is_looked_at_too() {
        let read = |other: &[u8]| {
            let text = [br#"{"other":"#, other, br#","wanted":1}"#].concat();
            read::<Wanted>(&text).map(|it| it.wanted)
        };
        for good in [
            r#"{"a":[null,true,-1,1.5,"\u00e9"],"b":{"a":0}}"#,
            r#""é""#,
            "18446744073709551615",
        ] {
            assert_eq!(read(good.as_bytes()).unwrap(), 1, "{good}");
        }
        for bad in [
            &b"\"\x9a\""[..],
            br#""\ud800""#,
            br#"{"\ud800":1}"#,
            b"1e999",
            br#"{"a":1,"a":1}"#,
            br#"[{"b":{"a":1,"\u0061":1}}]"#,
        ] {
            read(bad).unwrap_err();
        }
    }
}
