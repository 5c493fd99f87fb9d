//! The JSON of a policy: sorted members and pure ASCII, the way the platform's own tool writes it. host_data covers the
//! white space too.

use std::fmt::Write as _;

use serde_json::Value;

/// Compact, or one member per line with two spaces per level.
pub(super) fn write(value: &Value, pretty: bool) -> String {
    let mut text = String::new();
    let mut writer = Writer {
        text: &mut text,
        pretty,
    };
    writer.value(value, 0);
    text
}

struct Writer<'t> {
    text: &'t mut String,
    pretty: bool,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(name, _)| *name);
                self.list('{', '}', depth, members, |writer, (name, member)| {
                    writer.string(name);
                    writer.text.push_str(if writer.pretty { ": " } else { ":" });
                    writer.value(member, depth.saturating_add(1));
                });
            }
            Value::Array(items) => {
                self.list('[', ']', depth, items, |writer, item| {
                    writer.value(item, depth.saturating_add(1));
                });
            }
            Value::String(text) => self.string(text),
            scalar => self.text.push_str(&scalar.to_string()),
        }
    }

    fn list<T>(
        &mut self,
        open: char,
        close: char,
        depth: usize,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        each: impl Fn(&mut Self, T),
    ) {
        let items = items.into_iter();
        let empty = items.len() == 0;
        self.text.push(open);
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.line(depth.saturating_add(1));
            each(self, item);
        }
        if !empty {
            self.line(depth);
        }
        self.text.push(close);
    }

    fn line(&mut self, depth: usize) {
        if self.pretty {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n("  ", depth));
        }
    }

    fn string(&mut self, text: &str) {
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                ' '..='~' => self.text.push(c),
                other => {
                    for unit in other.encode_utf16(&mut [0; 2]) {
                        // Writing to a string cannot fail.
                        let _ = write!(self.text, "\\u{unit:04x}");
                    }
                }
            }
        }
        self.text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_is_not_printable_ascii_is_escaped_in_utf_16() {
        let value = json!("a\"b\\c\td\u{7f}\u{8}é世😀/");
        assert_eq!(
            write(&value, false),
            r#""a\"b\\c\td\u007f\b\u00e9\u4e16\ud83d\ude00/""#
        );
        assert_eq!(
            serde_json::from_str::<Value>(&write(&value, false)).unwrap(),
            value
        );
    }

    #[test]
    fn both_forms_say_the_same_and_sort_members() {
        let value = json!({"b": [], "a": [1, {"c": null, "B": {}}]});
        assert_eq!(
            write(&value, false),
            r#"{"a":[1,{"B":{},"c":null}],"b":[]}"#
        );
        let pretty = "{\n  \"a\": [\n    1,\n    {\n      \"B\": {},\n      \"c\": null\n    }\n  ],\n  \"b\": []\n}";
        assert_eq!(write(&value, true), pretty);
    }
}
