//! Reads the XML of List Blobs.

use std::time::SystemTime;

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::{BlobInfo, Etag, Page, StoreError};

const OPERATION: &str = "List Blobs";
/// The service never nests deeper; a parser must not follow whoever does.
const DEEPEST: usize = 16;

fn unreadable(reason: &'static str) -> StoreError {
    StoreError::Answer {
        operation: OPERATION,
        reason,
    }
}

/// One `Blob` or `BlobPrefix` while it is read.
#[derive(Default)]
struct Item {
    name: String,
    encoded: bool,
    etag: String,
    length: Option<u64>,
    modified: Option<SystemTime>,
    directory: bool,
}

/// Reads one page.
pub(crate) fn parse(xml: &[u8]) -> Result<Page, StoreError> {
    let text = str::from_utf8(xml).map_err(|_| unreadable("not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::from_str(text);
    let mut page = Page::default();
    let mut path: Vec<String> = Vec::new();
    let mut value = String::new();
    let mut item = Item::default();
    let mut whole = false;
    loop {
        match reader
            .read_event()
            .map_err(|_| unreadable("malformed XML"))?
        {
            Event::Start(start) => {
                path.push(start.name().as_ref().to_owned());
                if path.len() > DEEPEST {
                    return Err(unreadable("nested too deeply"));
                }
                match place(&path) {
                    Place::Blob | Place::Prefix => item = Item::default(),
                    Place::Member("Name") => item.encoded = is_encoded(&start),
                    _ => {}
                }
                value.clear();
            }
            Event::Text(text) if path.is_empty() && !text.xml10_content().trim().is_empty() => {
                return Err(unreadable("text around the document"));
            }
            Event::Text(text) => value.push_str(&text.xml10_content()),
            Event::CData(text) => value.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => value.push_str(&resolve(&reference)?),
            Event::End(_) => {
                match place(&path) {
                    Place::Root => whole = true,
                    Place::Marker if !value.is_empty() => page.next = Some(value.clone()),
                    Place::Blob => page.blobs.push(blob(std::mem::take(&mut item))?),
                    Place::Prefix => page.prefixes.push(item_name(&item)?),
                    here => take(here, &value, &mut item)?,
                }
                path.pop();
                value.clear();
            }
            Event::Eof if whole && path.is_empty() => return Ok(page),
            Event::Eof => return Err(unreadable("cut off")),
            _ => {}
        }
    }
}

/// Where an element stands. Metadata may have any name, so that a name alone says nothing.
#[derive(Clone, Copy)]
enum Place<'p> {
    /// The whole document.
    Root,
    /// Where the next page starts.
    Marker,
    Blob,
    Prefix,
    /// Directly in an item.
    Member(&'p str),
    Property(&'p str),
    Metadata(&'p str),
    Other,
}

fn place(path: &[String]) -> Place<'_> {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let Some((&"EnumerationResults", inner)) = names.split_first() else {
        return Place::Other;
    };
    match *inner {
        [] => Place::Root,
        ["NextMarker"] => Place::Marker,
        ["Blobs", "Blob"] => Place::Blob,
        ["Blobs", "BlobPrefix"] => Place::Prefix,
        ["Blobs", "Blob" | "BlobPrefix", name] => Place::Member(name),
        ["Blobs", "Blob" | "BlobPrefix", "Properties", name] => Place::Property(name),
        ["Blobs", "Blob", "Metadata", name] => Place::Metadata(name),
        _ => Place::Other,
    }
}

fn is_encoded(start: &BytesStart<'_>) -> bool {
    let attribute = start.try_get_attribute("Encoded").ok().flatten();
    attribute.is_some_and(|attribute| attribute.value.as_ref() == "true")
}

pub(crate) fn resolve(reference: &BytesRef<'_>) -> Result<String, StoreError> {
    if let Ok(Some(character)) = reference.resolve_char_ref() {
        return Ok(character.to_string());
    }
    resolve_xml_entity(&reference.xml10_content())
        .map(str::to_owned)
        .ok_or_else(|| unreadable("unknown entity"))
}

/// Takes the value of the element that ends.
fn take(place: Place<'_>, value: &str, item: &mut Item) -> Result<(), StoreError> {
    match place {
        Place::Member("Name") => value.clone_into(&mut item.name),
        Place::Property("Etag") => value.clone_into(&mut item.etag),
        Place::Property("ResourceType") if value == "directory" => item.directory = true,
        Place::Property("Content-Length") => {
            let length = value.parse().map_err(|_| unreadable("a length"))?;
            item.length = Some(length);
        }
        Place::Property("Last-Modified") => {
            let time = httpdate::parse_http_date(value).map_err(|_| unreadable("a time"))?;
            item.modified = Some(time);
        }
        Place::Metadata(name) if name.eq_ignore_ascii_case("hdi_isfolder") => {
            item.directory = value.eq_ignore_ascii_case("true");
        }
        _ => {}
    }
    Ok(())
}

fn item_name(item: &Item) -> Result<String, StoreError> {
    if !item.encoded {
        return Ok(item.name.clone());
    }
    decode_percent(&item.name).ok_or_else(|| unreadable("an encoded name"))
}

fn blob(item: Item) -> Result<(String, BlobInfo), StoreError> {
    if item.name.is_empty() || item.etag.is_empty() {
        return Err(unreadable("a blob without name or version"));
    }
    let info = BlobInfo {
        etag: Etag::new(&item.etag),
        length: item.length.ok_or_else(|| unreadable("no length"))?,
        modified: item.modified.unwrap_or(SystemTime::UNIX_EPOCH),
        directory: item.directory,
    };
    Ok((item_name(&item)?, info))
}

fn decode_percent(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
        <EnumerationResults ServiceEndpoint=\"https://litware.blob.core.windows.net/\" ContainerName=\"c\">\n\
        <Prefix>dir/</Prefix><Marker/><MaxResults>5000</MaxResults><Delimiter>/</Delimiter>\n<Blobs>\n\
        <Blob><Name>dir/a &amp; b &#x20AC;</Name><Properties><Last-Modified>Tue, 01 Jul 2025 12:00:00 GMT</Last-Modified>\
        <Etag>0x8DB</Etag><Content-Length>11</Content-Length><BlobType>BlockBlob</BlobType></Properties>\
        <Metadata/></Blob>\n\
        <BlobPrefix><Name>dir/sub/</Name></BlobPrefix>\n\
        <Blob><Name Encoded=\"true\">dir/%01x</Name><Properties><Etag>\"0x1\"</Etag><Content-Length>0</Content-Length>\
        </Properties><Metadata><Hdi_IsFolder>true</Hdi_IsFolder></Metadata></Blob>\n\
        <Blob><Name>dir/ trailing </Name><Properties><Etag>2</Etag><Content-Length>1</Content-Length></Properties></Blob>\n\
        </Blobs><NextMarker>m&lt;1</NextMarker></EnumerationResults>";

    #[test]
    fn a_page_with_everything_in_it_is_read() {
        let page = parse(PAGE.as_bytes()).unwrap();
        let names: Vec<_> = page.blobs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["dir/a & b €", "dir/\u{1}x", "dir/ trailing "]);
        assert_eq!(page.prefixes, ["dir/sub/"]);
        assert_eq!(page.next.as_deref(), Some("m<1"));
        let (_, first) = &page.blobs[0];
        assert_eq!((first.length, &*first.etag.0), (11, "0x8DB"));
        assert_eq!(
            first
                .modified
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs(),
            1_751_371_200
        );
        assert!(page.blobs[1].1.directory && !first.directory);
        assert_eq!(&*page.blobs[1].1.etag.0, "0x1");
    }

    #[test]
    fn every_prefix_of_a_page_is_refused_as_cut_off() {
        for length in (0..PAGE.len() - 1).filter(|length| PAGE.is_char_boundary(*length)) {
            assert!(parse(&PAGE.as_bytes()[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn entity_bombs_and_nesting_are_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY x \"yy\">]><EnumerationResults>&x;</EnumerationResults>";
        assert!(parse(bomb.as_bytes()).is_err());
        assert!(parse("<a>".repeat(100).as_bytes()).is_err());
    }

    #[test]
    fn elements_elsewhere_than_where_the_service_has_them_are_not_taken() {
        let page = "<EnumerationResults><Blobs><Blob><Name>a</Name><Properties><Etag>1</Etag>\
            <Content-Length>1</Content-Length><Properties><Content-Length>7</Content-Length></Properties>\
            </Properties><Metadata><Blob>1</Blob><BlobPrefix>2</BlobPrefix><Name Encoded=\"true\">%</Name>\
            <NextMarker>evil</NextMarker><Properties>4</Properties><Etag>evil</Etag><Content-Length>9</Content-Length>\
            <Blobs>5</Blobs><EnumerationResults>6</EnumerationResults></Metadata></Blob>\
            <NextMarker>evil</NextMarker><Name>evil</Name></Blobs><Blob><Name>evil</Name></Blob>\
            <BlobPrefix><Name>evil</Name></BlobPrefix><NextMarker/></EnumerationResults>";
        let page = parse(page.as_bytes()).unwrap();
        let [(name, blob)] = page.blobs.as_slice() else {
            panic!("{:?}", page.blobs);
        };
        assert_eq!((name.as_str(), blob.length, &*blob.etag.0), ("a", 1, "1"));
        assert!(page.prefixes.is_empty() && page.next.is_none());
        assert!(parse(b"<Error><EnumerationResults/></Error>").is_err());
    }
}
