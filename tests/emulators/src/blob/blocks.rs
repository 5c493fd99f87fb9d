//! Put Block, Put Block List, Get Block List.
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::SystemTime;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Response, StatusCode, header};
use quick_xml::events::Event;

use super::fault::{BlobFault, Reply, bad_query, no_blob};
use super::request::Call;
use super::store::{Block, Committed, Container, Entry, length_of, next_etag};
use super::{conditions, cpk, objects, tree};

const MOST_COMMITTED: usize = 50_000;
const MOST_STAGED: usize = 100_000;

/// Stages one block. Not conditional: conditions belong to the commit.
pub(super) fn put_block(container: &mut Container, name: &str, call: &Call) -> Reply {
    let id = call.query("blockid").unwrap_or_default();
    let decoded = STANDARD.decode(id).map_err(|_| bad_query("blockid"))?;
    if decoded.is_empty() || decoded.len() > 64 {
        return Err(bad_query("blockid"));
    }
    if call.header("x-ms-copy-source").is_some() {
        return Err(super::fault::not_implemented("Put Block From URL"));
    }
    let key = cpk::of(call)?;
    let checks = objects::check_transport(call)?;
    let entry = container.blobs.entry(name.to_owned()).or_default();
    let committed = entry
        .committed
        .iter()
        .flat_map(|c| c.blocks.iter().filter(|b| !b.id.is_empty()));
    let mut known = committed.chain(&entry.staged);
    if known.any(|block| block.id.len() != id.len()) {
        return Err(invalid_block());
    }
    if entry.staged.iter().any(|block| block.key != key) {
        return cpk::require(
            entry.staged.first().and_then(|b| b.key.as_ref()),
            key.as_ref(),
        )
        .and(Err(invalid_block()));
    }
    entry.staged.retain(|block| block.id != id);
    if entry.staged.len() >= MOST_STAGED {
        return Err(BlobFault::new(
            409,
            "BlockCountExceedsLimit",
            "The uncommitted block count exceeds 100,000.",
        ));
    }
    entry.staged.push(Block {
        id: id.to_owned(),
        data: call.body.clone(),
        key: key.clone(),
    });
    let mut response = created();
    checks.onto(response.headers_mut());
    cpk::describe(
        response.headers_mut(),
        "x-ms-request-server-encrypted",
        key.as_ref(),
    );
    Ok(response)
}

/// Commits: all or nothing, and whatever is staged and not named is gone.
pub(super) fn put_block_list(container: &mut Container, name: &str, call: &Call) -> Reply {
    let checks = objects::check_transport(call)?;
    let wanted = parse_list(&call.body)?;
    if wanted.len() > MOST_COMMITTED {
        return Err(BlobFault::new(
            400,
            "BlockListTooLong",
            "The block list may not contain more than 50,000 blocks.",
        ));
    }
    let key = cpk::of(call)?;
    let metadata = call.metadata()?;
    let content = objects::content_headers(call, None);
    let entry = container.blobs.get(name);
    let existing = entry.and_then(|e| e.committed.as_ref());
    conditions::for_write(call, existing)?;
    let (blocks, created_at) = {
        let empty = Entry::default();
        let entry = entry.unwrap_or(&empty);
        let index = |blocks: &[Block]| -> HashMap<String, Block> {
            blocks
                .iter()
                .filter(|b| !b.id.is_empty())
                .map(|b| (b.id.clone(), b.clone()))
                .collect()
        };
        let staged = index(&entry.staged);
        let committed = existing.map(|c| index(&c.blocks)).unwrap_or_default();
        let find = |(source, id): &(Source, String)| match source {
            Source::Committed => committed.get(id),
            Source::Uncommitted => staged.get(id),
            Source::Latest => staged.get(id).or_else(|| committed.get(id)),
        };
        let blocks = wanted
            .iter()
            .map(|want| find(want).cloned())
            .collect::<Option<Vec<_>>>();
        let text = "The specified block list is invalid.";
        let blocks = blocks.ok_or_else(|| BlobFault::new(400, "InvalidBlockList", text))?;
        (blocks, existing.map_or_else(SystemTime::now, |c| c.created))
    };
    for block in &blocks {
        cpk::require(block.key.as_ref(), key.as_ref())?;
    }
    tree::make_way(container, name, false)?;
    let committed = Committed {
        length: blocks.iter().map(|block| length_of(&block.data)).sum(),
        blocks,
        etag: next_etag(),
        created: created_at,
        modified: SystemTime::now(),
        metadata,
        content,
        key,
    };
    let mut response = created();
    objects::stamp(response.headers_mut(), &committed);
    checks.onto(response.headers_mut());
    cpk::describe(
        response.headers_mut(),
        "x-ms-request-server-encrypted",
        committed.key.as_ref(),
    );
    container.blobs.insert(
        name.to_owned(),
        Entry {
            committed: Some(committed),
            staged: Vec::new(),
        },
    );
    Ok(response)
}

/// Both lists, or the one asked for; needs no key.
pub(super) fn get_block_list(container: &Container, name: &str, call: &Call) -> Reply {
    let (with_committed, with_staged) = match call.query("blocklisttype").unwrap_or("committed") {
        "committed" => (true, false),
        "uncommitted" => (false, true),
        "all" => (true, true),
        _ => return Err(bad_query("blocklisttype")),
    };
    let entry = container.blobs.get(name).ok_or_else(no_blob)?;
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    let mut section = |tag: &str, blocks: &[Block]| {
        let listed =
            blocks
                .iter()
                .filter(|b| !b.id.is_empty())
                .fold(String::new(), |mut text, block| {
                    let size = block.data.len();
                    let _ = write!(
                        text,
                        "<Block><Name>{}</Name><Size>{size}</Size></Block>",
                        block.id
                    );
                    text
                });
        let _ = write!(xml, "<{tag}>{listed}</{tag}>");
    };
    if with_committed {
        section(
            "CommittedBlocks",
            entry
                .committed
                .as_ref()
                .map_or(&[], |c| c.blocks.as_slice()),
        );
    }
    if with_staged {
        section("UncommittedBlocks", &entry.staged);
    }
    xml.push_str("</BlockList>");
    let mut response = Response::new(Body::from(xml));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
    let length = entry.committed.as_ref().map_or(0, |c| c.length);
    response
        .headers_mut()
        .insert("x-ms-blob-content-length", HeaderValue::from(length));
    if let Some(committed) = &entry.committed {
        objects::stamp(response.headers_mut(), committed);
    }
    Ok(response)
}

fn created() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    response
}

fn invalid_block() -> BlobFault {
    BlobFault::new(
        400,
        "InvalidBlobOrBlock",
        "The specified blob or block content is invalid.",
    )
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    Committed,
    Uncommitted,
    Latest,
}

fn parse_list(body: &[u8]) -> Result<Vec<(Source, String)>, BlobFault> {
    let bad = || {
        BlobFault::new(
            400,
            "InvalidXmlDocument",
            "The specified XML is not syntactically valid.",
        )
    };
    let text = std::str::from_utf8(body).map_err(|_| bad())?;
    let mut reader = quick_xml::Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut found = Vec::new();
    let (mut inside, mut current, mut id) = (false, None, String::new());
    loop {
        match reader.read_event().map_err(|_| bad())? {
            Event::Start(tag) => match (inside, current, tag.name().as_ref()) {
                (false, None, "BlockList") => inside = true,
                (true, None, "Committed") => current = Some(Source::Committed),
                (true, None, "Uncommitted") => current = Some(Source::Uncommitted),
                (true, None, "Latest") => current = Some(Source::Latest),
                _ => return Err(bad()),
            },
            Event::Empty(tag) if !inside && tag.name().as_ref() == "BlockList" => return Ok(found),
            Event::Empty(_) => return Err(bad()),
            Event::Text(chars) => id.push_str(chars.trim()),
            Event::End(tag) => match current.take() {
                Some(source) => found.push((source, std::mem::take(&mut id))),
                None if inside && tag.name().as_ref() == "BlockList" => return Ok(found),
                None => return Err(bad()),
            },
            Event::Decl(_) | Event::Comment(_) => {}
            _ => return Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_list_keeps_order_and_sources() {
        let xml = b"<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<BlockList>\n <Latest>AA==</Latest><Committed>AQ==</Committed>\
                    <Uncommitted> Ag== </Uncommitted></BlockList>";
        let expected = [
            (Source::Latest, "AA=="),
            (Source::Committed, "AQ=="),
            (Source::Uncommitted, "Ag=="),
        ];
        assert_eq!(
            parse_list(xml).unwrap(),
            expected.map(|(source, id)| (source, id.to_owned()))
        );
        assert_eq!(parse_list(b"<BlockList/>").unwrap(), []);
    }

    #[test]
    fn anything_else_is_no_block_list() {
        for xml in [
            "",
            "<BlockList>",
            "<Other/>",
            "<BlockList><Newest>AA==</Newest></BlockList>",
            "<BlockList><Latest><Latest>",
        ] {
            assert!(parse_list(xml.as_bytes()).is_err(), "{xml}");
        }
    }
}
