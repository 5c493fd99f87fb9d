//! Fields of a tar header.

/// The field up to its first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits between spaces and NULs, cut at an inner NUL; an empty field is 0.
pub(super) fn octal(field: &[u8]) -> Option<i64> {
    let padding = |byte: &u8| matches!(byte, b' ' | 0);
    let Some(start) = field.iter().position(|byte| !padding(byte)) else {
        return Some(0);
    };
    let end = field.iter().rposition(|byte| !padding(byte))?;
    let mut value = 0_i64;
    for digit in text(field.get(start..=end)?) {
        if !(b'0'..=b'7').contains(digit) {
            return None;
        }
        value = value.checked_mul(8)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(value)
}

/// An octal field, or a big-endian two's complement number if the field's first bit is set.
pub(super) fn numeric(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 == 0 {
        return octal(field);
    }
    let invert = if first & 0x40 == 0 { 0 } else { 0xff };
    let mut value = u64::from((first ^ invert) & 0x7f);
    for byte in field.iter().skip(1) {
        if value >> 56 > 0 {
            return None;
        }
        value = value << 8 | u64::from(byte ^ invert);
    }
    let value = i64::try_from(value).ok()?;
    Some(if invert == 0 { value } else { !value })
}

/// A decimal number of a PAX record.
pub(super) fn decimal(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_fields_are_trimmed_on_both_sides_and_cut_at_a_nul() {
        assert_eq!(octal(b" \x00755 \x00"), Some(0o755));
        assert_eq!(octal(b"\x00\x00\x00"), Some(0));
        assert_eq!(octal(b"7\x00z"), Some(7));
        assert_eq!(octal(b"8"), None);
        assert_eq!(octal(b"+7"), None);
        assert_eq!(octal(b"7 7"), None);
        assert_eq!(octal(b"7 \x00z"), None);
    }

    #[test]
    fn numbers_beyond_octal_are_twos_complement() {
        assert_eq!(numeric(b"\x80\x00\x00\x01\x00"), Some(256));
        assert_eq!(numeric(&[0xff; 8]), Some(-1));
        assert_eq!(numeric(b"\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00"), None);
        assert_eq!(numeric(b"\x80\x00\x80\x00\x00\x00\x00\x00\x00\x00"), None);
    }
}
