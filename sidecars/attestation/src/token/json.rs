use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads JSON in which no object, however deep, names a member twice: of two readers of such a text, one could take the
/// first value and the other the last (RFC 8259 §4, RFC 7519 §4).
pub(super) fn from_slice<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let value = Unique.deserialize(&mut reader)?;
    reader.end()?;
    serde_json::from_value(value)
}

struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated members")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(value) = list.next_element_seed(Self)? {
            out.push(value);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Self)?;
            if out.contains_key(&name) {
                let short: String = name.chars().take(100).collect();
                return Err(A::Error::custom(format_args!("member {short:?} twice")));
            }
            out.insert(name, value);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_json_has_is_read_as_it_is() {
        let text = r#"{"a":[1,-2,2.5,true,null,"x",{"b":{}}],"c":18446744073709551615}"#;
        let value: Value = from_slice(text.as_bytes()).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn a_member_named_twice_is_refused_at_any_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"c":2,"b":3}}"#,
            r#"[{"a":1},{"a":1,"\u0061":2}]"#,
        ] {
            let refused = from_slice::<Value>(text.as_bytes()).unwrap_err();
            assert!(refused.to_string().contains("twice"), "{refused}");
        }
        assert!(from_slice::<Value>(br#"[{"a":1},{"a":1}]"#).is_ok());
    }

    #[test]
    fn what_follows_and_what_nests_without_end_is_refused() {
        assert!(from_slice::<Value>(b"{} x").is_err());
        let deep = "[".repeat(10_000);
        assert!(from_slice::<Value>(deep.as_bytes()).is_err());
    }
}
