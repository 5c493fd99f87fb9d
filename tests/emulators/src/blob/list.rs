//! List Blobs: prefix, delimiter, pages.
use std::fmt::Write as _;
use std::ops::Bound;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quick_xml::escape::escape;

use super::fault::{BlobFault, bad_query};
use super::request::Call;
use super::store::{Committed, Container};
use super::tree;

const LARGEST_PAGE: usize = 5000;

enum Item<'a> {
    Blob(&'a str, &'a Committed),
    Prefix(&'a str),
    /// A directory of a hierarchical account, with the delimiter behind its name.
    Directory(String, &'a Committed),
}

/// One page as XML. With `empty_first`, a listing without marker yields no entry and a marker to go on from.
pub(super) fn blobs(
    name: &str,
    container: &Container,
    call: &Call,
    empty_first: bool,
) -> Result<String, BlobFault> {
    let prefix = call.query("prefix").unwrap_or_default();
    let delimiter = call.query("delimiter").filter(|d| !d.is_empty());
    let asked = match call.query("maxresults") {
        None => None,
        Some(text) => Some(
            text.parse::<usize>()
                .ok()
                .filter(|n| *n > 0)
                .ok_or_else(|| bad_query("maxresults"))?,
        ),
    };
    let with_metadata = includes(call, container.hierarchical)?;
    let marker = call.query("marker").filter(|m| !m.is_empty());
    let from = marker
        .map(|marker| decode(marker).ok_or_else(|| bad_query("marker")))
        .transpose()?;
    let page = if empty_first && from.is_none() {
        0
    } else {
        asked.unwrap_or(LARGEST_PAGE).min(LARGEST_PAGE)
    };
    let (items, next) = page_of(container, prefix, delimiter, from.as_deref(), page);

    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"{}\" ContainerName=\"{name}\">",
        call.endpoint
    );
    let given = [
        ("Prefix", call.query("prefix")),
        ("Marker", marker),
        ("Delimiter", delimiter),
    ];
    for (tag, value) in given
        .into_iter()
        .filter_map(|(tag, value)| Some((tag, value?)))
    {
        let _ = write!(xml, "<{tag}>{}</{tag}>", escape(value));
    }
    if let Some(asked) = asked {
        let _ = write!(xml, "<MaxResults>{asked}</MaxResults>");
    }
    xml.push_str("<Blobs>");
    for item in items {
        match item {
            Item::Prefix(prefix) => {
                let _ = write!(xml, "<BlobPrefix>{}</BlobPrefix>", name_element(prefix));
            }
            Item::Directory(name, blob) => {
                let _ = write!(
                    xml,
                    "<BlobPrefix>{}<Properties><Creation-Time>{}</Creation-Time><Last-Modified>{}</Last-Modified>\
                     <Etag>{}</Etag><ResourceType>directory</ResourceType><Content-Length>0</Content-Length>\
                     </Properties></BlobPrefix>",
                    name_element(&name),
                    httpdate::fmt_http_date(blob.created),
                    httpdate::fmt_http_date(blob.modified),
                    blob.etag.trim_matches('"'),
                );
            }
            Item::Blob(name, blob) => {
                let kind = container.hierarchical.then(|| tree::kind(blob));
                entry(&mut xml, name, blob, kind, with_metadata);
            }
        }
    }
    xml.push_str("</Blobs>");
    match next {
        Some(next) => {
            let _ = write!(
                xml,
                "<NextMarker>{}</NextMarker>",
                URL_SAFE_NO_PAD.encode(next)
            );
        }
        None => xml.push_str("<NextMarker/>"),
    }
    xml.push_str("</EnumerationResults>");
    Ok(xml)
}

/// Up to `page` items from `from` on, and the name the next page begins with.
fn page_of<'a>(
    container: &'a Container,
    prefix: &'a str,
    delimiter: Option<&str>,
    from: Option<&str>,
    page: usize,
) -> (Vec<Item<'a>>, Option<String>) {
    let start = from.unwrap_or_default().max(prefix);
    let names = container
        .blobs
        .range::<str, _>((Bound::Included(start), Bound::Unbounded));
    let mut items = Vec::new();
    let mut last_prefix = None;
    for (name, entry) in names.take_while(|(name, _)| name.starts_with(prefix)) {
        let Some(blob) = &entry.committed else {
            continue;
        };
        let cut = delimiter.and_then(|d| {
            let tail = name.get(prefix.len()..)?;
            name.get(..prefix.len() + tail.find(d)? + d.len())
        });
        if cut.is_some() && cut == last_prefix {
            continue;
        }
        if items.len() >= page {
            return (items, Some(name.clone()));
        }
        last_prefix = cut.or(last_prefix);
        if container.hierarchical && delimiter == Some("/") {
            // Every directory is there itself, right before what is in it.
            let is_directory = tree::is_directory(blob);
            match (cut, is_directory) {
                (Some(_), _) => {}
                (None, true) => items.push(Item::Directory(format!("{name}/"), blob)),
                (None, false) => items.push(Item::Blob(name, blob)),
            }
            continue;
        }
        items.push(cut.map_or(Item::Blob(name, blob), Item::Prefix));
    }
    (items, None)
}

fn entry(xml: &mut String, name: &str, blob: &Committed, kind: Option<&str>, with_metadata: bool) {
    let _ = write!(
        xml,
        "<Blob>{}<Properties><Creation-Time>{}</Creation-Time><Last-Modified>{}</Last-Modified><Etag>{}</Etag>\
         <Content-Length>{}</Content-Length><Content-Type>{}</Content-Type>",
        name_element(name),
        httpdate::fmt_http_date(blob.created),
        httpdate::fmt_http_date(blob.modified),
        blob.etag.trim_matches('"'),
        blob.length,
        escape(&blob.content.content_type),
    );
    if let Some(kind) = kind {
        let _ = write!(xml, "<ResourceType>{kind}</ResourceType>");
    }
    if let Some(md5) = &blob.content.md5 {
        let _ = write!(xml, "<Content-MD5>{}</Content-MD5>", escape(md5));
    }
    let tier = blob.content.tier.as_deref().unwrap_or("Hot");
    let _ = write!(
        xml,
        "<BlobType>BlockBlob</BlobType><AccessTier>{}</AccessTier><LeaseStatus>unlocked</LeaseStatus>\
         <LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted>",
        escape(tier)
    );
    if let Some(key) = &blob.key {
        let _ = write!(
            xml,
            "<CustomerProvidedKeySha256>{key}</CustomerProvidedKeySha256>"
        );
    }
    xml.push_str("</Properties>");
    if with_metadata && blob.key.is_some() && !blob.metadata.is_empty() {
        // Encrypted with the customer's key: a listing can only say that there is some.
        xml.push_str("<Metadata Encrypted=\"true\"/>");
    } else if with_metadata {
        xml.push_str("<Metadata>");
        for (name, value) in &blob.metadata {
            let _ = write!(xml, "<{name}>{}</{name}>", escape(value));
        }
        xml.push_str("</Metadata>");
    }
    xml.push_str("</Blob>");
}

/// Names that XML 1.0 cannot carry are percent-encoded and marked.
fn name_element(name: &str) -> String {
    let unfit = |c: char| {
        (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    if !name.contains(unfit) {
        return format!("<Name>{}</Name>", escape(name));
    }
    let encoded = name.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    });
    format!("<Name Encoded=\"true\">{encoded}</Name>")
}

/// Whether metadata is asked for. Permissions exist on hierarchical accounts alone, and mounts probe for that.
fn includes(call: &Call, hierarchical: bool) -> Result<bool, BlobFault> {
    let mut metadata = false;
    for one in call
        .query("include")
        .unwrap_or_default()
        .split(',')
        .filter(|one| !one.is_empty())
    {
        match one.to_ascii_lowercase().as_str() {
            "metadata" => metadata = true,
            "permissions" if hierarchical => {}
            "copy" | "deleted" | "snapshots" | "tags" | "versions" | "uncommittedblobs" => {}
            _ => return Err(bad_query("include")),
        }
    }
    Ok(metadata)
}

fn decode(marker: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(marker).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::blob::store::ContentHeaders;

    #[test]
    fn metadata_under_a_customers_key_is_mentioned_and_not_shown() {
        let listed = |key: Option<&str>, metadata: &[(&str, &str)]| {
            let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let blob = Committed {
                blocks: Vec::new(),
                length: 0,
                etag: String::new(),
                created: SystemTime::UNIX_EPOCH,
                modified: SystemTime::UNIX_EPOCH,
                metadata: metadata.iter().map(own).collect(),
                content: ContentHeaders::default(),
                key: key.map(ToOwned::to_owned),
            };
            let mut xml = String::new();
            entry(&mut xml, "a", &blob, None, true);
            xml.split_once("</Properties>").unwrap().1.to_owned()
        };
        let shown = "<Metadata><a>b</a></Metadata></Blob>";
        assert_eq!(listed(None, &[("a", "b")]), shown);
        let mentioned = "<Metadata Encrypted=\"true\"/></Blob>";
        assert_eq!(listed(Some("hash"), &[("a", "b")]), mentioned);
        assert_eq!(listed(Some("hash"), &[]), "<Metadata></Metadata></Blob>");
    }
}
