//! Reads the XML of Get Block List.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::{BlockId, StoreError};

const DEEPEST: usize = 8;

fn unreadable(reason: &'static str) -> StoreError {
    StoreError::Answer {
        operation: "Get Block List",
        reason,
    }
}

/// The committed blocks in order; `None` if one of them has a name that is no [`BlockId`].
pub(crate) fn parse_blocks(xml: &[u8]) -> Result<Option<Vec<(BlockId, u64)>>, StoreError> {
    let text = str::from_utf8(xml).map_err(|_| unreadable("not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::from_str(text);
    let mut path: Vec<String> = Vec::new();
    let mut value = String::new();
    let (mut name, mut size) = (None, None);
    let mut blocks = Vec::new();
    let (mut ours, mut whole) = (true, false);
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
                value.clear();
            }
            Event::Text(text) if path.is_empty() && !text.xml10_content().trim().is_empty() => {
                return Err(unreadable("text around the document"));
            }
            Event::Text(text) => value.push_str(&text.xml10_content()),
            Event::End(_) => {
                let committed = path.iter().any(|name| name == "CommittedBlocks");
                match path.pop().as_deref() {
                    Some("Name") if committed => name = Some(value.trim().to_owned()),
                    Some("Size") if committed => {
                        let bytes = value.trim().parse();
                        size = Some(bytes.map_err(|_| unreadable("a size"))?);
                    }
                    Some("Block") if committed => {
                        let (Some(name), Some(size)) = (name.take(), size.take()) else {
                            return Err(unreadable("a block without name or size"));
                        };
                        let id = STANDARD.decode(name).ok();
                        match id.and_then(|id| <[u8; 16]>::try_from(id).ok()) {
                            Some(id) => blocks.push((BlockId(id), size)),
                            None => ours = false,
                        }
                    }
                    Some("BlockList") => whole = true,
                    _ => {}
                }
                value.clear();
            }
            Event::Eof if whole && path.is_empty() => return Ok(ours.then_some(blocks)),
            Event::Eof => return Err(unreadable("cut off")),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList><CommittedBlocks>\
        <Block><Name>AAECAwQFBgcICQoLDA0ODw==</Name><Size>5</Size></Block>\
        <Block><Name>Dw4NDAsKCQgHBgUEAwIBAA==</Name><Size>7</Size></Block></CommittedBlocks>\
        <UncommittedBlocks><Block><Name>AA==</Name><Size>9</Size></Block></UncommittedBlocks></BlockList>";

    #[test]
    fn committed_blocks_are_read_in_order_and_staged_ones_are_none() {
        let blocks = parse_blocks(LIST.as_bytes()).unwrap().unwrap();
        let sizes: Vec<_> = blocks.iter().map(|(id, size)| (id.0[0], *size)).collect();
        assert_eq!(sizes, [(0, 5), (15, 7)]);
    }

    #[test]
    fn names_of_another_tool_are_told_apart_and_cut_off_lists_refused() {
        let foreign = LIST.replace("AAECAwQFBgcICQoLDA0ODw==", "AAEC");
        assert_eq!(parse_blocks(foreign.as_bytes()).unwrap(), None);
        for length in (0..LIST.len() - 1).filter(|length| LIST.is_char_boundary(*length)) {
            assert!(
                parse_blocks(&LIST.as_bytes()[..length]).is_err(),
                "{length}"
            );
        }
        assert!(parse_blocks("<a>".repeat(100).as_bytes()).is_err());
    }
}
