//! Extended header records (POSIX.1-2001 `pax`).

use std::collections::BTreeMap;

use super::Time;
use super::header::{Header, Malformed};
use super::number::decimal;

const XATTR: &[u8] = b"SCHILY.xattr.";
const SPARSE_OFFSET: &[u8] = b"GNU.sparse.offset";
const SPARSE_LENGTH: &[u8] = b"GNU.sparse.numbytes";
pub(super) const SPARSE_MAP: &[u8] = b"GNU.sparse.map";

/// The records of one extended header; of two records of a key the later one counts.
#[derive(Debug, Default)]
pub(super) struct Records(BTreeMap<Vec<u8>, Vec<u8>>);

impl Records {
    pub(super) fn parse(mut body: &[u8]) -> Result<Self, Malformed> {
        let mut records = BTreeMap::new();
        let mut map: Vec<&[u8]> = Vec::new();
        while !body.is_empty() {
            let (key, value, rest) =
                record(body).ok_or(Malformed("an extended record is malformed"))?;
            body = rest;
            // Sparse format 0.0 repeats two keys; format 0.1 has the same numbers in one record.
            if key == SPARSE_OFFSET || key == SPARSE_LENGTH {
                let expected = if map.len().is_multiple_of(2) {
                    SPARSE_OFFSET
                } else {
                    SPARSE_LENGTH
                };
                if key != expected || value.contains(&b',') {
                    return Err(Malformed("the sparse records are out of order"));
                }
                map.push(value);
            } else {
                records.insert(key.to_vec(), value.to_vec());
            }
        }
        if !map.is_empty() {
            records.insert(SPARSE_MAP.to_vec(), map.join(&b','));
        }
        Ok(Self(records))
    }

    /// A record's value; an empty value counts as none.
    pub(super) fn value(&self, key: &[u8]) -> Option<&[u8]> {
        self.0
            .get(key)
            .map(Vec::as_slice)
            .filter(|value| !value.is_empty())
    }

    /// Overrides what the header says.
    pub(super) fn apply(&self, header: &mut Header) -> Result<(), Malformed> {
        let number = |key: &[u8]| {
            let number =
                |value| decimal(value).ok_or(Malformed("an extended record is not a number"));
            self.value(key).map(number).transpose()
        };
        let time = |key: &[u8]| {
            let time =
                |value| Time::parse(value).ok_or(Malformed("an extended record is not a time"));
            self.value(key).map(time).transpose()
        };
        if let Some(path) = self.value(b"path") {
            header.name = path.to_vec();
        }
        if let Some(link) = self.value(b"linkpath") {
            header.link = link.to_vec();
        }
        header.uid = number(b"uid")?.unwrap_or(header.uid);
        header.gid = number(b"gid")?.unwrap_or(header.gid);
        header.size = number(b"size")?.unwrap_or(header.size);
        header.mtime = time(b"mtime")?.or(header.mtime);
        header.atime = time(b"atime")?.or(header.atime);
        header.ctime = time(b"ctime")?.or(header.ctime);
        Ok(())
    }

    /// Extended attributes by name; an empty value is a value here.
    pub(super) fn xattrs(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let xattr = |(key, value): (&Vec<u8>, &Vec<u8>)| {
            Some((key.strip_prefix(XATTR)?.to_vec(), value.clone()))
        };
        self.0.iter().filter_map(xattr).collect()
    }
}

/// `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record: key, value, and what follows.
fn record(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = body.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(body.get(..space)?)?).ok()?;
    let record = body.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (record.get(..equals)?, record.get(equals + 1..)?);
    let text = matches!(key, b"path" | b"linkpath" | b"uname" | b"gname");
    let valid = if text {
        !value.contains(&0)
    } else {
        !key.contains(&0)
    };
    (length >= 5 && !key.is_empty() && valid).then_some((key, value, body.get(length..)?))
}

impl Time {
    /// `[-]seconds[.digits]`; digits beyond the ninth are dropped.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.splitn(2, |byte| *byte == b'.');
        let whole = parts.next()?;
        let fraction = parts.next().unwrap_or_default();
        let seconds = decimal(whole)?;
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let digits = fraction
            .iter()
            .copied()
            .chain(std::iter::repeat(b'0'))
            .take(9);
        let nanoseconds = digits.fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
        if whole.first() == Some(&b'-') && nanoseconds > 0 {
            return Some(Self {
                seconds: seconds.wrapping_sub(1),
                nanoseconds: 1_000_000_000 - nanoseconds,
            });
        }
        Some(Self {
            seconds,
            nanoseconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fraction_of_a_negative_time_is_subtracted() {
        let time = |seconds, nanoseconds| {
            Some(Time {
                seconds,
                nanoseconds,
            })
        };
        assert_eq!(Time::parse(b"-1.25"), time(-2, 750_000_000));
        assert_eq!(Time::parse(b"1.1234567899"), time(1, 123_456_789));
        assert_eq!(Time::parse(b"7."), time(7, 0));
        assert_eq!(Time::parse(b"1.x"), None);
        assert_eq!(Time::parse(b".5"), None);
    }

    #[test]
    fn a_records_length_must_fit_its_newline() {
        assert!(record(b"11 path=ab\n").is_some());
        assert!(record(b"10 path=ab\n").is_none());
        assert!(record(b"12 path=ab\n").is_none());
        assert!(record(b"-1 path=ab\n").is_none());
        assert!(record(b"7 =abc\n").is_none());
        assert!(record(b"11 path=a\0\n").is_none());
    }
}
