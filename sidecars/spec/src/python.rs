//! Python literals, as the tools up to 4.0.0 wrote every `configuration`.
//!
//! Only what stands for a JSON value: dicts with text keys, lists, texts, integers, `True`, `False`, `None`. Whatever else
//! Python allows (tuples, bytes, sets, prefixes, joined texts, floats) is refused, because nobody wrote it. The crate
//! `py_literal` takes all of it and has no bound on nesting.

use std::collections::BTreeMap;

use serde_json::{Number, Value};

/// Longest literal in bytes.
const MAX_LENGTH: usize = 16 << 10;
/// Deepest nesting of dicts and lists.
const MAX_DEPTH: usize = 16;

/// Reads one literal; nothing may follow it. The error says what was expected and after how many bytes.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("longer than {MAX_LENGTH} bytes"));
    }
    let mut reader = Reader {
        rest: text,
        length: text.len(),
    };
    let value = reader.value(0)?;
    reader.blank();
    if reader.rest.is_empty() {
        Ok(value)
    } else {
        Err(reader.refused("the end"))
    }
}

struct Reader<'a> {
    rest: &'a str,
    length: usize,
}

impl Reader<'_> {
    fn refused(&self, expected: &str) -> String {
        let at = self.length - self.rest.len();
        format!("expected {expected} after {at} bytes")
    }

    fn blank(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    /// Takes `token` after blanks, if it is next.
    fn take(&mut self, token: char) -> bool {
        self.blank();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if self.take('{') {
            return self.dict(self.deeper(depth)?);
        }
        if self.take('[') {
            return self.list(self.deeper(depth)?);
        }
        if self.rest.starts_with(['\'', '"']) {
            return self.text().map(Value::String);
        }
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '+' | '.' | '_'))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let value = match word {
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            "None" => Value::Null,
            word => integer(word)
                .ok_or_else(|| self.refused("a dict, list, text, integer, True, False or None"))?,
        };
        self.rest = rest;
        Ok(value)
    }

    fn deeper(&self, depth: usize) -> Result<usize, String> {
        if depth < MAX_DEPTH {
            Ok(depth + 1)
        } else {
            Err(self.refused(&format!("at most {MAX_DEPTH} levels")))
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Value, String> {
        // Sorted, whatever order the map of this build of `serde_json` keeps.
        let mut members = BTreeMap::new();
        while !self.take('}') {
            self.blank();
            let key = self.text()?;
            if !self.take(':') {
                return Err(self.refused("':'"));
            }
            if members.contains_key(&key) {
                return Err(self.refused(&format!("no second key {key:?}")));
            }
            members.insert(key, self.value(depth)?);
            if !self.take(',') && !self.rest.starts_with('}') {
                return Err(self.refused("',' or '}'"));
            }
        }
        Ok(Value::Object(members.into_iter().collect()))
    }

    fn list(&mut self, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        while !self.take(']') {
            items.push(self.value(depth)?);
            if !self.take(',') && !self.rest.starts_with(']') {
                return Err(self.refused("',' or ']'"));
            }
        }
        Ok(Value::Array(items))
    }

    fn text(&mut self) -> Result<String, String> {
        let mut chars = self.rest.chars();
        let Some(quote @ ('\'' | '"')) = chars.next() else {
            return Err(self.refused("a quoted text"));
        };
        let mut text = String::new();
        loop {
            let c = chars.next();
            match c {
                Some(c) if c == quote => break,
                Some('\\') => match escape(&mut chars) {
                    Some(c) => text.push(c),
                    None => {
                        self.rest = chars.as_str();
                        return Err(self.refused("a known escape"));
                    }
                },
                // Python ends a line's text at its line end, and refuses NUL.
                Some('\n' | '\r' | '\0') | None => {
                    self.rest = chars.as_str();
                    return Err(self.refused("the closing quote"));
                }
                Some(c) => text.push(c),
            }
        }
        self.rest = chars.as_str();
        Ok(text)
    }
}

/// What follows a backslash. Python keeps an unknown escape as it stands, with a warning; here it is refused.
fn escape(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let digits = match chars.next()? {
        c @ ('\\' | '\'' | '"') => return Some(c),
        'n' => return Some('\n'),
        'r' => return Some('\r'),
        't' => return Some('\t'),
        'a' => return Some('\u{7}'),
        'b' => return Some('\u{8}'),
        'f' => return Some('\u{c}'),
        'v' => return Some('\u{b}'),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    let mut code = 0_u32;
    for _ in 0..digits {
        code = code.checked_mul(16)? + chars.next()?.to_digit(16)?;
    }
    char::from_u32(code)
}

/// Decimal digits without a leading zero, in the range that JSON readers agree on.
fn integer(word: &str) -> Option<Value> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let plain = digits == "0" || !digits.starts_with('0');
    if !plain || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = word.parse::<i64>().ok()?;
    Some(Value::Number(Number::from(number)))
}

#[cfg(test)]
#[path = "python_tests.rs"]
mod tests;
