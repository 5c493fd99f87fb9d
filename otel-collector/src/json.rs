use std::io;

use ciborium::Value;
use serde::Serialize;
use serde_json::Value as Json;

/// A message as one line of OTLP/JSON.
///
/// The messages' own serializers know ids, enums, 64-bit numbers and bytes, but give NaN and the infinities to JSON as
/// `null`, where proto3 JSON has `"NaN"`, `"Infinity"` and `"-Infinity"`. So they write into a form that holds such numbers.
pub(crate) fn line(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let value = Value::serialized(message).map_err(io::Error::other)?;
    let mut line = serde_json::to_vec(&json(value)?)?;
    line.push(b'\n');
    Ok(line)
}

fn json(value: Value) -> io::Result<Json> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(truth) => truth.into(),
        Value::Text(text) => text.into(),
        Value::Float(number) => real(number),
        Value::Integer(number) => match i64::try_from(number) {
            Ok(number) => number.into(),
            Err(_) => u64::try_from(number).map_err(io::Error::other)?.into(),
        },
        Value::Array(items) => items.into_iter().map(json).collect::<Result<_, _>>()?,
        Value::Map(entries) => entries
            .into_iter()
            .filter_map(|entry| match entry {
                // A field that is not set has no key.
                (_, Value::Null) => None,
                (Value::Text(key), value) => Some(json(value).map(|value| (key, value))),
                _ => Some(Err(io::Error::other("a key that is no text"))),
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(io::Error::other("a value that JSON does not have")),
    })
}

fn real(number: f64) -> Json {
    if number.is_finite() {
        number.into()
    } else if number.is_nan() {
        "NaN".into()
    } else if number > 0.0 {
        "Infinity".into()
    } else {
        "-Infinity".into()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, number_data_point::Value};

    #[test]
    fn numbers_that_json_lacks_are_named_and_others_kept() {
        for (number, written) in [
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
            (0.1, "0.1"),
            (3.0, "3.0"),
        ] {
            let point = NumberDataPoint {
                value: Some(Value::AsDouble(number)),
                ..NumberDataPoint::default()
            };
            let line = String::from_utf8(super::line(&point).unwrap()).unwrap();
            assert!(line.contains(&format!("\"asDouble\":{written}")), "{line}");
            assert!(line.ends_with("}\n"));
        }
        let line = super::line(&NumberDataPoint::default()).unwrap();
        assert!(!String::from_utf8(line).unwrap().contains("null"));
    }
}
