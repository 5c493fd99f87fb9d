//! The texts called `configuration`: JSON, and the two older ways to write it.
//!
//! Up to 4.0.0 the tools wrote Python literals, since then base64 of JSON. Which one a text is shows in its first
//! character, so nothing is guessed.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::{KeyRelease, ProtectionConfiguration, SpecError, python};

/// Longest configuration that is read in an older encoding, in bytes.
const MAX_LENGTH: usize = 32 << 10;

/// The JSON of a configuration in any of the three encodings.
pub(crate) fn json(text: &str) -> Result<Cow<'_, str>, SpecError> {
    let refused = |reason: String| SpecError::Configuration { reason };
    let not_json = match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => return Ok(Cow::Borrowed(text)),
        Err(error) => error,
    };
    if text.trim().is_empty() {
        return Err(refused("it is empty".to_owned()));
    }
    if text.len() > MAX_LENGTH {
        return Err(refused(format!(
            "no JSON ({not_json}), and longer than {MAX_LENGTH} bytes"
        )));
    }
    if text.trim_start().starts_with('{') {
        return match python::parse(text) {
            Ok(value) => Ok(Cow::Owned(value.to_string())),
            Err(error) => Err(refused(format!(
                "no JSON ({not_json}) and no Python literal ({error})"
            ))),
        };
    }
    let decoded = STANDARD
        .decode(text)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded {
        Some(decoded) if decoded.trim_start().starts_with('{') => {
            match serde_json::from_str::<IgnoredAny>(&decoded) {
                Ok(_) => Ok(Cow::Owned(decoded)),
                Err(error) => Err(refused(format!("base64 of what is no JSON ({error})"))),
            }
        }
        _ => Err(refused(
            "no JSON, no Python literal and no base64 of JSON".to_owned(),
        )),
    }
}

/// The text as this version writes it; `None` if it is JSON already or cannot be read, which is for validation to say.
pub(crate) fn rewritten(text: &str) -> Option<String> {
    let Ok(Cow::Owned(json)) = json(text) else {
        return None;
    };
    fn written<'a, T: serde::Deserialize<'a> + Serialize>(json: &'a str) -> Option<String> {
        let read: T = serde_json::from_str(json).ok()?;
        serde_json::to_string(&read).ok()
    }
    // The two that are known have no member in common, so at most one of them fits.
    written::<ProtectionConfiguration>(&json)
        .or_else(|| written::<KeyRelease>(&json))
        .or(Some(json))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::{json, rewritten};

    #[test]
    fn the_three_encodings_of_one_configuration_become_one_text() {
        let written = r#"{"KeyType":"KEK","EncryptionMode":"CPK"}"#;
        assert_eq!(json(written).unwrap(), written);
        assert_eq!(rewritten(written), None);
        for older in [
            "{'KeyType': 'KEK', 'EncryptionMode': 'CPK'}",
            "{'EncryptionMode': 'CPK', 'KeyType': 'KEK'}",
            // base64 of {"EncryptionMode":"CPK","KeyType":"KEK"}, by coreutils
            "eyJFbmNyeXB0aW9uTW9kZSI6IkNQSyIsIktleVR5cGUiOiJLRUsifQ==",
        ] {
            assert_eq!(rewritten(older).as_deref(), Some(written), "{older}");
        }
        assert_eq!(
            rewritten("{'authority': 'https://maa.example'}").as_deref(),
            Some(r#"{"authority":"https://maa.example","vaultKind":"KeyVault"}"#)
        );
        assert_eq!(
            rewritten("{'limits': 'best-effort'}").as_deref(),
            Some(r#"{"limits":"best-effort"}"#)
        );
    }

    #[test]
    fn what_is_none_of_the_three_is_left_and_refused_with_the_reason() {
        let twice = STANDARD.encode(STANDARD.encode("{}"));
        let broken = STANDARD.encode("{\"a\":");
        for (text, reason) in [
            ("", "it is empty"),
            ("CPK", "no JSON, no Python literal and no base64 of JSON"),
            (
                "eyJhIjoxfQ",
                "no JSON, no Python literal and no base64 of JSON",
            ), // padding is missing
            (
                twice.as_str(),
                "no JSON, no Python literal and no base64 of JSON",
            ),
            (
                broken.as_str(),
                "base64 of what is no JSON (EOF while parsing a value at line 1 column 5)",
            ),
            (
                "{'a': 1} x",
                "no JSON (key must be a string at line 1 column 2) and no Python literal (expected the end after 9 bytes)",
            ),
        ] {
            assert_eq!(rewritten(text), None, "{text}");
            let error = json(text).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("protection configuration: {reason}"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_member_given_twice_is_refused_in_every_encoding() {
        let twice = r#"{"KeyType":"KEK","EncryptionMode":"CPK","EncryptionMode":"CSE"}"#;
        let settings = |text: &str| {
            serde_json::from_value::<crate::PrivacyProxySettings>(serde_json::json!({
                "proxyType": "API", "proxyMode": "Open", "configuration": text,
            }))
            .unwrap()
            .configuration()
        };
        for text in [
            twice.to_owned(),
            twice.replace('"', "'"),
            STANDARD.encode(twice),
        ] {
            assert!(settings(&text).is_err(), "{text}");
        }
        assert!(settings("{'KeyType': 'KEK', 'EncryptionMode': 'CPK'}").is_ok());
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig {
            cases: 128,
            rng_seed: proptest::test_runner::RngSeed::Fixed(1),
            failure_persistence: None,
            ..proptest::prelude::ProptestConfig::default()
        })]

        #[test]
        fn one_object_is_the_same_in_every_encoding(
            members in proptest::collection::btree_map("\\PC{0,8}", "\\PC{0,16}", 0..6),
        ) {
            let written = serde_json::to_string(&members).unwrap();
            // What JSON escapes in printable text, Python escapes alike, so double quotes make a literal of it.
            let python = format!("{} ,}}", written.strip_suffix('}').unwrap());
            let python = if members.is_empty() { "{ }".to_owned() } else { python };
            for text in [written.clone(), python, STANDARD.encode(&written)] {
                let read = json(&text).unwrap();
                let read: std::collections::BTreeMap<String, String> = serde_json::from_str(&read).unwrap();
                proptest::prop_assert_eq!(&read, &members);
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic_and_what_it_rewrites_stays(text in "\\PC{0,60}|[a-zA-Z0-9+/=]{0,60}|\\{[{}\\[\\]'\",: 0-9a]{0,30}") {
            if let Some(written) = rewritten(&text) {
                proptest::prop_assert_eq!(rewritten(&written), None);
            }
        }
    }
}
