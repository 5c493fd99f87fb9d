#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{MAX_DEPTH, MAX_LENGTH, parse};

#[test]
fn the_literals_of_the_tools_are_read() {
    for (text, value) in [
        (
            "{'KeyType': 'KEK', 'EncryptionMode': 'CPK'}",
            json!({"KeyType": "KEK", "EncryptionMode": "CPK"}),
        ),
        (
            " {'authority' :\"https://maa.example\" , } ",
            json!({"authority": "https://maa.example"}),
        ),
        (
            "[True, False, None, -0, 7, -12, [], {}, '']",
            json!([true, false, null, 0, 7, -12, [], {}, ""]),
        ),
        (
            r#"'\\ \' " \n\r\t\a\b\f\v \x41\u00e9\U0001f600'"#,
            json!("\\ ' \" \n\r\t\u{7}\u{8}\u{c}\u{b} A\u{e9}\u{1f600}"),
        ),
        (r#""it's""#, json!("it's")),
        ("9223372036854775807", json!(i64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
    ] {
        assert_eq!(parse(text), Ok(value), "{text}");
    }
}

#[test]
fn whatever_else_python_or_json_allows_is_refused_with_its_place() {
    for (text, reason) in [
        (
            "",
            "expected a dict, list, text, integer, True, False or None after 0 bytes",
        ),
        ("{'a': 1} 2", "expected the end after 9 bytes"),
        ("{'a': 1}{}", "expected the end after 8 bytes"),
        (
            "{'a': 1, 'a': 1}",
            "expected no second key \"a\" after 13 bytes",
        ),
        (
            "{'a': 1, '\\x61': 1}",
            "expected no second key \"a\" after 16 bytes",
        ),
        ("{1: 2}", "expected a quoted text after 1 bytes"),
        ("{'a' 1}", "expected ':' after 5 bytes"),
        ("{'a': 1 'b': 2}", "expected ',' or '}' after 8 bytes"),
        ("{,}", "expected a quoted text after 1 bytes"),
        (
            "[1,,]",
            "expected a dict, list, text, integer, True, False or None after 3 bytes",
        ),
        ("[1 2]", "expected ',' or ']' after 3 bytes"),
        ("'a", "expected the closing quote after 2 bytes"),
        ("'a\nb'", "expected the closing quote after 3 bytes"),
        ("'\\q'", "expected a known escape after 3 bytes"),
        ("'\\ud800'", "expected a known escape after 7 bytes"),
        ("'\\x4'", "expected a known escape after 5 bytes"),
        ("'a' 'b'", "expected the end after 4 bytes"),
    ] {
        assert_eq!(parse(text), Err(reason.to_owned()), "{text}");
    }
    for text in [
        "true",
        "null",
        "(1, 2)",
        "{'a'}",
        "{'a', 'b'}",
        "b'a'",
        "u'a'",
        "r'a'",
        "f'a'",
        "1.0",
        "1e3",
        "1_0",
        "0x1f",
        "01",
        "+1",
        "--1",
        "-",
        "1j",
        "9223372036854775808",
        "1 + 1",
        "open('x')",
        "'''a'''",
        "[1] # x",
        "\u{a0}1",
        "{**{}}",
        "Ellipsis",
        "...",
        "'\\N{BULLET}'",
        "'\\101'",
        "'\\\n'",
        "'\0'",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn length_and_depth_are_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(
        parse(&nested(MAX_DEPTH + 1)),
        Err("expected at most 16 levels after 17 bytes".to_owned())
    );
    assert!(parse(&"[".repeat(MAX_LENGTH)).is_err());
    let text = |length: usize| format!("'{}'", "x".repeat(length - 2));
    assert!(parse(&text(MAX_LENGTH)).is_ok());
    assert_eq!(
        parse(&text(MAX_LENGTH + 1)),
        Err("longer than 16384 bytes".to_owned())
    );
}

/// `repr` of CPython beside the JSON of the same value; see the vector's README.
#[test]
fn what_cpython_writes_is_read_as_its_json() {
    let vectors = include_str!("../../../tests/vectors/spec/python-literals.json");
    let vectors: Vec<(String, Value)> = serde_json::from_str(vectors).unwrap();
    assert!(vectors.len() >= 200, "{}", vectors.len());
    for (literal, value) in vectors {
        assert_eq!(parse(&literal), Ok(value), "{literal}");
    }
}

/// Writes as Python's `repr` does: single quotes unless only they occur, escapes for what does not print.
fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let quote = if text.contains('\'') && !text.contains('"') {
                '"'
            } else {
                '\''
            };
            let mut out = String::from(quote);
            for c in text.chars() {
                match c {
                    '\n' => out.push_str("\\n"),
                    '\r' => out.push_str("\\r"),
                    '\t' => out.push_str("\\t"),
                    c if c == quote || c == '\\' => out.extend(['\\', c]),
                    c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
                    '\u{80}'..='\u{a0}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
                    '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                        out.push_str(&format!("\\u{:04x}", u32::from(c)))
                    }
                    '\u{e0000}'.. => out.push_str(&format!("\\U{:08x}", u32::from(c))),
                    c => out.push(c),
                }
            }
            out.push(quote);
            out
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(name, member)| format!("{}: {}", repr(&json!(name)), repr(member)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![any::<String>(), "[\\\\'\"\n\r\t\u{0}-\u{1f}a]{0,12}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| json!(number)),
        text.clone().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::btree_map(text.clone(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_literal_is_read_as_the_json_of_its_value(value in any_value()) {
        let literal = repr(&value);
        prop_assume!(literal.len() <= MAX_LENGTH);
        prop_assert_eq!(parse(&literal), Ok(value.clone()));
        let json: Value = serde_json::from_str(&value.to_string()).unwrap();
        prop_assert_eq!(parse(&literal).unwrap(), json);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in prop_oneof![any::<String>(), "[{}\\[\\]'\",:\\\\ xuTN0-9-]{0,40}"]) {
        let _ = parse(&text);
    }

    #[test]
    fn a_cut_dict_is_never_a_value(value in any_value(), cut in any::<prop::sample::Index>()) {
        let literal = repr(&json!({"x": value}));
        let ends: Vec<usize> = literal.char_indices().map(|(at, _)| at).collect();
        let end = *cut.get(&ends);
        prop_assert!(parse(literal.get(..end).unwrap()).is_err());
    }
}
