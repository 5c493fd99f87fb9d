//! Names of blobs in URLs.

use crate::StoreError;

/// The services' limits for names.
const LONGEST_NAME: usize = 1024;
const MOST_SEGMENTS: usize = 254;

/// Names that a URL would change (`.`, `..`) or that the service does not take.
pub(crate) fn check(name: &str) -> Result<(), StoreError> {
    let odd = name.split('/').any(|part| matches!(part, "" | "." | ".."));
    if odd || name.chars().count() > LONGEST_NAME || name.split('/').count() > MOST_SEGMENTS {
        return Err(StoreError::Config(
            "the blob's name is not possible".to_owned(),
        ));
    }
    Ok(())
}

/// Keeps the unreserved characters of RFC 3986 and `/`.
pub(crate) fn encode(name: &str) -> String {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or('0');
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            out.push(char::from(byte));
        } else {
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}
