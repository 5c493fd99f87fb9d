//! Query strings as the application gets them.
use std::collections::HashMap;

/// What CCF does to a query string before the application splits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryDecoding {
    /// CCF up to 7.0.9: the whole string is percent-decoded, so an escaped `&` or `=` becomes a separator.
    Whole,
    /// From 7.0.10: nothing is decoded, values stay escaped.
    None,
}

/// Names and values; of a repeated name the last.
pub(super) struct Query(HashMap<String, String>);

impl Query {
    pub(super) fn read(raw: &str, decoding: QueryDecoding) -> Self {
        let text = match decoding {
            QueryDecoding::Whole => decode(raw),
            QueryDecoding::None => raw.to_owned(),
        };
        let pairs = text.split('&').filter_map(|piece| {
            let mut parts = piece.split('=');
            Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
        });
        Self(pairs.collect())
    }

    /// A value that is there and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

fn decode(raw: &str) -> String {
    let mut bytes = raw.bytes();
    let mut out = Vec::with_capacity(raw.len());
    while let Some(byte) = bytes.next() {
        match (byte, escaped(bytes.clone())) {
            (b'+', _) => out.push(b' '),
            (b'%', Some(value)) => {
                out.push(value);
                bytes.nth(1);
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The two hex digits ahead, as a byte.
fn escaped(mut ahead: std::str::Bytes<'_>) -> Option<u8> {
    let mut digit = || {
        char::from(ahead.next()?)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    Some(digit()? << 4 | digit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_separator_separates_before_7_0_10_and_stays_text_after() {
        let raw = "&sub=c1%26sub=c2&aud=api%3A%2F%2Fx+y&scope=p=q&bad=%zz%4";
        let whole = Query::read(raw, QueryDecoding::Whole);
        assert_eq!(whole.get("sub"), Some("c2"));
        assert_eq!(whole.get("aud"), Some("api://x y"));
        assert_eq!(whole.get("scope"), Some("p"));
        assert_eq!(whole.get("bad"), Some("%zz%4"));
        let none = Query::read(raw, QueryDecoding::None);
        assert_eq!(none.get("sub"), Some("c1%26sub"));
        assert_eq!(none.get("aud"), Some("api%3A%2F%2Fx+y"));
    }

    #[test]
    fn the_last_of_repeated_names_counts_and_an_empty_value_is_none() {
        let query = Query::read("a=1&a=2&b=&c", QueryDecoding::Whole);
        assert_eq!(
            (query.get("a"), query.get("b"), query.get("c")),
            (Some("2"), None, None)
        );
    }
}
