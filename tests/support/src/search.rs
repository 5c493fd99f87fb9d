use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Shorter secrets would be found by chance.
const SHORTEST: usize = 8;

/// What must stand in no log, in every spelling: as it is, in hex, and in both alphabets of base64 at every offset, as
/// part of something longer.
#[derive(Debug, Default)]
pub struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    /// One more secret; `what` names it where it is found.
    ///
    /// # Panics
    /// It is too short to be searched for.
    pub fn add(&mut self, what: &str, secret: &[u8]) {
        assert!(secret.len() >= SHORTEST, "{what} is too short");
        let mut spell = |bytes: Vec<u8>| self.0.push((what.to_owned(), bytes));
        spell(secret.to_vec());
        spell(hex::encode(secret).into_bytes());
        spell(hex::encode_upper(secret).into_bytes());
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            for offset in 0..3 {
                let shifted = [&vec![0; offset], secret].concat();
                let text = engine.encode(shifted).into_bytes();
                // The first and the last group of four also hold bytes beside the secret.
                let first = if offset == 0 { 0 } else { 4 };
                let last = text.len() / 4 * 4;
                spell(text.get(first..last).unwrap_or_default().to_vec());
            }
        }
        // What is Debug-printed as a list of numbers.
        let numbers: Vec<String> = secret.iter().take(SHORTEST).map(u8::to_string).collect();
        spell(numbers.join(", ").into_bytes());
    }

    /// Which secret is in `text`.
    pub fn find(&self, text: &[u8]) -> Option<&str> {
        self.0.iter().find_map(|(what, bytes)| {
            memchr::memmem::find(text, bytes)
                .is_some()
                .then_some(what.as_str())
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    #[test]
    fn a_secret_is_found_in_every_spelling_and_inside_other_text() {
        let secret = b"\xfb\xff\x00 a private exponent";
        let mut secrets = Secrets::default();
        secrets.add("d", secret);
        let inside = |before: &str| [before.as_bytes(), secret, b"after"].concat();
        let debug = format!("{secret:?}");
        for text in [
            inside("before "),
            hex::encode(secret).into_bytes(),
            hex::encode_upper(inside("x")).into_bytes(),
            STANDARD.encode(inside("")).into_bytes(),
            STANDARD.encode(inside("1")).into_bytes(),
            URL_SAFE.encode(inside("12")).into_bytes(),
            URL_SAFE.encode(inside("123")).into_bytes(),
            debug.into_bytes(),
        ] {
            let shown = String::from_utf8_lossy(&text).into_owned();
            assert_eq!(secrets.find(&text), Some("d"), "{shown}");
        }
        assert_eq!(secrets.find(b"a public exponent"), None);
    }
}
