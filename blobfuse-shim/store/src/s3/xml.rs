//! The XML of S3: every answer is a tree of elements with text in its leaves.

use std::time::{Duration, SystemTime};

use quick_xml::Reader;
use quick_xml::events::Event;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::list::resolve;
use crate::{BlobInfo, Etag, StoreError};

/// The service never nests deeper; a parser must not follow whoever does.
const DEEPEST: usize = 8;

fn unreadable(operation: &'static str, reason: &'static str) -> StoreError {
    StoreError::Answer { operation, reason }
}

/// Gives each element that ends, with its place and its text.
fn walk(
    operation: &'static str,
    xml: &[u8],
    mut take: impl FnMut(&[&str], &str) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let bad = |reason| unreadable(operation, reason);
    let text = str::from_utf8(xml).map_err(|_| bad("not UTF-8"))?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}').trim_start());
    let mut path: Vec<String> = Vec::new();
    let mut value = String::new();
    let mut whole = false;
    loop {
        match reader.read_event().map_err(|_| bad("malformed XML"))? {
            Event::Start(start) => {
                path.push(start.name().as_ref().to_owned());
                if path.len() > DEEPEST {
                    return Err(bad("nested too deeply"));
                }
                value.clear();
            }
            Event::Text(text) if path.is_empty() && !text.xml10_content().trim().is_empty() => {
                return Err(bad("text around the document"));
            }
            Event::Text(text) => value.push_str(&text.xml10_content()),
            Event::CData(text) => value.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => value.push_str(&resolve(&reference)?),
            Event::End(_) => {
                let names: Vec<&str> = path.iter().map(String::as_str).collect();
                take(&names, &value)?;
                path.pop();
                value.clear();
                whole |= path.is_empty();
            }
            Event::Eof if whole && path.is_empty() => return Ok(()),
            Event::Eof => return Err(bad("cut off")),
            _ => {}
        }
    }
}

/// The text of one leaf right below the root, such as `UploadId`; `Err` where it is missing.
pub(super) fn leaf(operation: &'static str, xml: &[u8], name: &str) -> Result<String, StoreError> {
    let mut found = None;
    walk(operation, xml, |path, value| {
        if matches!(path, [_, leaf] if *leaf == name) {
            found = Some(value.to_owned());
        }
        Ok(())
    })?;
    found.ok_or_else(|| unreadable(operation, "a missing element"))
}

/// The code of an error document; empty where there is none.
pub(super) fn error_code(xml: &[u8]) -> String {
    let mut code = String::new();
    let _ = walk("an error", xml, |path, value| {
        if matches!(path, ["Error", "Code"]) {
            code = value.chars().take(80).collect();
        }
        Ok(())
    });
    code
}

/// One page of `ListObjectsV2` as it stands, keys decoded.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) objects: Vec<(String, BlobInfo)>,
    pub(super) prefixes: Vec<String>,
    pub(super) next: Option<String>,
    /// When the service said so, by its clock.
    pub(super) date: Option<SystemTime>,
}

#[derive(Default)]
struct Object {
    key: Option<String>,
    etag: Option<String>,
    length: Option<u64>,
    modified: Option<SystemTime>,
}

pub(super) fn listing(xml: &[u8]) -> Result<Listing, StoreError> {
    const OPERATION: &str = "ListObjectsV2";
    let bad = |reason| unreadable(OPERATION, reason);
    let mut page = Listing::default();
    let mut object = Object::default();
    let (mut ours, mut truncated, mut encoded) = (false, false, false);
    walk(OPERATION, xml, |path, value| {
        let ["ListBucketResult", inner @ ..] = path else {
            return Ok(());
        };
        match inner {
            [] => ours = true,
            ["IsTruncated"] => truncated = value == "true",
            ["EncodingType"] => encoded = value == "url",
            ["NextContinuationToken"] => page.next = Some(value.to_owned()),
            ["CommonPrefixes", "Prefix"] => page.prefixes.push(value.to_owned()),
            ["Contents", "Key"] => object.key = Some(value.to_owned()),
            ["Contents", "ETag"] => object.etag = Some(value.to_owned()),
            ["Contents", "Size"] => {
                object.length = Some(value.parse().map_err(|_| bad("a size"))?);
            }
            ["Contents", "LastModified"] => object.modified = Some(moment(value)?),
            ["Contents"] => {
                let object = std::mem::take(&mut object);
                let (Some(key), Some(etag), Some(length)) =
                    (object.key, object.etag, object.length)
                else {
                    return Err(bad("an object without key, version or size"));
                };
                let info = BlobInfo {
                    etag: Etag::new(&etag),
                    length,
                    modified: object.modified.unwrap_or(SystemTime::UNIX_EPOCH),
                    directory: false,
                };
                page.objects.push((key, info));
            }
            _ => {}
        }
        Ok(())
    })?;
    if !ours {
        return Err(bad("another document"));
    }
    match (truncated, &page.next) {
        (false, _) => page.next = None,
        (true, Some(next)) if !next.is_empty() => {}
        (true, _) => return Err(bad("a page without its next")),
    }
    if encoded {
        let keys = page.objects.iter_mut().map(|(key, _)| key);
        for key in keys.chain(&mut page.prefixes) {
            *key = decode(key).ok_or_else(|| bad("a key"))?;
        }
    }
    Ok(page)
}

/// Whole seconds, as every other answer has them.
fn moment(text: &str) -> Result<SystemTime, StoreError> {
    let at = OffsetDateTime::parse(text, &Rfc3339);
    let at = at.map_err(|_| unreadable("ListObjectsV2", "a time"))?;
    let seconds = u64::try_from(at.unix_timestamp()).unwrap_or_default();
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Of `encoding-type=url`: percent-encoded, and `+` for a space.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\"><Name>data</Name>\
        <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\
        <NextContinuationToken>a&amp;b</NextContinuationToken><Contents><Key>d/a%20b+%C3%BC</Key>\
        <LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>&quot;0a-2&quot;</ETag><Size>7</Size></Contents>\
        <CommonPrefixes><Prefix>d/e/</Prefix></CommonPrefixes></ListBucketResult>";

    #[test]
    fn a_page_is_read_as_it_stands() {
        let page = listing(PAGE.as_bytes()).unwrap();
        let (key, info) = &page.objects[0];
        assert_eq!(key, "d/a b ü");
        assert_eq!((&info.etag, info.length), (&Etag::new("0a-2"), 7));
        assert_eq!(
            httpdate::fmt_http_date(info.modified),
            "Fri, 02 Jan 2026 03:04:05 GMT"
        );
        assert_eq!(page.prefixes, ["d/e/"]);
        assert_eq!(page.next.as_deref(), Some("a&b"));
    }

    #[test]
    fn cut_off_and_foreign_documents_are_refused() {
        for length in (0..PAGE.len()).filter(|length| PAGE.is_char_boundary(*length)) {
            assert!(listing(&PAGE.as_bytes()[..length]).is_err(), "{length}");
        }
        for (from, to) in [
            ("<Size>7</Size>", ""),
            ("<Size>7", "<Size>-7"),
            ("a&amp;b", ""),
            ("%C3%BC", "%C3"),
            ("ListBucketResult", "EnumerationResults"),
            ("2026-01", "2026-13"),
        ] {
            assert!(listing(PAGE.replace(from, to).as_bytes()).is_err(), "{to}");
        }
        assert!(listing("<a>".repeat(100).as_bytes()).is_err());
    }

    #[test]
    fn codes_and_leaves_are_found_where_they_belong() {
        let error = b"<Error><Code>SlowDown</Code><Message>m</Message></Error>";
        assert_eq!(error_code(error), "SlowDown");
        assert_eq!(error_code(b"<Other><Code>SlowDown</Code></Other>"), "");
        assert_eq!(error_code(b"nonsense"), "");
        let made = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
        assert_eq!(leaf("o", made, "UploadId").unwrap(), "u");
        assert!(leaf("o", made, "ETag").is_err());
    }
}
