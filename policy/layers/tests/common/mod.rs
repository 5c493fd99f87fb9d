//! Tars from recipes (`tests/vectors/cce/README.md`), as streams: the largest are never in memory.
#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod draft;

use std::io::{self, Read};

use serde_json::Value;

const BLOCK: usize = 512;

/// Content of a file, made while it is read.
pub(crate) enum Content {
    Bytes(Vec<u8>),
    Fill {
        byte: u8,
        length: u64,
    },
    /// Blocks of 4096 bytes, each full of its 64-bit number.
    Numbered {
        first: u64,
        length: u64,
    },
}

impl Content {
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Fill { length, .. } | Self::Numbered { length, .. } => *length,
        }
    }

    fn stream(self) -> Box<dyn Read + Send> {
        match self {
            Self::Bytes(bytes) => Box::new(io::Cursor::new(bytes)),
            Self::Fill { byte, length } => Box::new(io::repeat(byte).take(length)),
            Self::Numbered { first, length } => Box::new(
                Numbered {
                    next: first,
                    block: Vec::new(),
                    at: 0,
                }
                .take(length),
            ),
        }
    }
}

struct Numbered {
    next: u64,
    block: Vec<u8>,
    at: usize,
}

impl Read for Numbered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() {
            self.block = self.next.to_le_bytes().repeat(512);
            self.next += 1;
            self.at = 0;
        }
        let read = (&self.block[self.at..]).read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

/// Parts of a tar, each a stream.
type Parts = Box<dyn Iterator<Item = Box<dyn Read + Send>> + Send>;

/// A tar that is made while it is read.
pub(crate) struct Tar {
    parts: Parts,
    current: Option<Box<dyn Read + Send>>,
}

impl Read for Tar {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.current.is_none() {
                self.current = self.parts.next();
            }
            let Some(current) = &mut self.current else {
                return Ok(0);
            };
            match current.read(buffer)? {
                0 => self.current = None,
                read => return Ok(read),
            }
        }
    }
}

/// The tar of a case of `vectors.json`.
pub(crate) fn tar(case: &Value) -> Tar {
    let entries = case["entries"].as_array().unwrap().clone();
    let trailer: Vec<u8> = match case["trailer"].as_str().unwrap_or("two") {
        "two" => vec![0; 2 * BLOCK],
        "one" => vec![0; BLOCK],
        "none" => Vec::new(),
        "garbage" => {
            let mut garbage = vec![0; 2 * BLOCK];
            garbage.extend_from_slice(b"trailing garbage that must be ignored");
            garbage.resize(3 * BLOCK, b'!');
            garbage
        }
        other => panic!("trailer {other}"),
    };
    let entries = entries
        .into_iter()
        .flat_map(repeated)
        .flat_map(|entry| parts(&entry));
    let trailer = Content::Bytes(trailer).stream();
    Tar {
        parts: Box::new(entries.chain(std::iter::once(trailer))),
        current: None,
    }
}

/// A tar of entries.
pub(crate) fn tar_of(entries: &[Value]) -> Tar {
    tar(&serde_json::json!({ "entries": entries }))
}

/// All bytes of a tar.
pub(crate) fn bytes(mut tar: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    tar.read_to_end(&mut bytes).unwrap();
    bytes
}

fn repeated(entry: Value) -> Box<dyn Iterator<Item = Value> + Send> {
    let Some(count) = entry["repeat"].as_u64() else {
        return Box::new(std::iter::once(entry));
    };
    let from = entry["from"].as_u64().unwrap_or(0);
    let width = usize::try_from(entry["width"].as_u64().unwrap_or(5)).unwrap();
    let template = entry["entry"].to_string();
    Box::new((from..from + count).map(move |i| {
        serde_json::from_str(&template.replace("{i}", &format!("{i:0width$}"))).unwrap()
    }))
}

fn parts(entry: &Value) -> Vec<Box<dyn Read + Send>> {
    let name = text(entry, "name");
    if !entry["pax_global"].is_null() {
        let name = if name.is_empty() {
            b"pax_global_header".to_vec()
        } else {
            name
        };
        return vec![
            Content::Bytes(meta(
                b'g',
                &name,
                &pax_body(&records(&entry["pax_global"])),
                "ustar",
            ))
            .stream(),
        ];
    }
    let (mut name, mut link) = (name, text(entry, "linkname"));
    let kind = entry["type"].as_str().unwrap_or("0").as_bytes()[0];
    let mut head = Vec::new();
    let mut pax = records(&entry["pax"]);
    if entry["gnu_long"].as_bool() == Some(true) {
        for (field, kind) in [(&mut name, b'L'), (&mut link, b'K')] {
            if field.len() > 99 {
                let body = [field.as_slice(), b"\0"].concat();
                head.extend(meta(kind, b"././@LongLink", &body, "gnu"));
                field.truncate(100);
            }
        }
    } else {
        if name.len() > 100 {
            pax.push((b"path".to_vec(), name.clone()));
            name.truncate(100);
            while name.last() == Some(&b'/') {
                name.pop();
            }
        }
        if link.len() > 100 {
            pax.push((b"linkpath".to_vec(), link.clone()));
            link.truncate(100);
        }
    }
    if !pax.is_empty() {
        let mut header = [b"PaxHeaders/", name.as_slice()].concat();
        header.truncate(100);
        head.extend(meta(b'x', &header, &pax_body(&pax), "ustar"));
    }
    let content = content(&entry["data"]);
    let length = content.length();
    let size = entry["size"].as_i64().unwrap_or(length as i64);
    let base256 = entry["num"].as_str() == Some("base256");
    head.extend(header(entry, kind, &name, size, &link, base256));
    let padding = vec![0; (BLOCK - (length % BLOCK as u64) as usize) % BLOCK];
    vec![
        Content::Bytes(head).stream(),
        content.stream(),
        Content::Bytes(padding).stream(),
    ]
}

fn text(entry: &Value, key: &str) -> Vec<u8> {
    match entry[format!("{key}_hex")].as_str() {
        Some(digits) => hex::decode(digits).unwrap(),
        None => entry[key].as_str().unwrap_or_default().as_bytes().to_vec(),
    }
}

fn content(data: &Value) -> Content {
    let length = || data["len"].as_u64().unwrap();
    if let Some(text) = data["text"].as_str() {
        Content::Bytes(text.as_bytes().to_vec())
    } else if let Some(digits) = data["hex"].as_str() {
        Content::Bytes(hex::decode(digits).unwrap())
    } else if let Some(byte) = data["fill"].as_u64() {
        Content::Fill {
            byte: u8::try_from(byte).unwrap(),
            length: length(),
        }
    } else if let Some(seed) = data["splitmix"].as_u64() {
        Content::Bytes(splitmix(seed, usize::try_from(length()).unwrap()))
    } else if let Some(first) = data["blockno"].as_u64() {
        Content::Numbered {
            first,
            length: length(),
        }
    } else {
        assert!(data.is_null(), "{data}");
        Content::Bytes(Vec::new())
    }
}

/// Bytes that do not compress.
pub(crate) fn splitmix(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    let mut state = seed;
    while bytes.len() < length {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

type Records = Vec<(Vec<u8>, Vec<u8>)>;

fn records(list: &Value) -> Records {
    let record = |pair: &Value| {
        let value = match pair[1]["hex"].as_str() {
            Some(digits) => hex::decode(digits).unwrap(),
            None => pair[1].as_str().unwrap().as_bytes().to_vec(),
        };
        (pair[0].as_str().unwrap().as_bytes().to_vec(), value)
    };
    list.as_array()
        .map(|list| list.iter().map(record).collect())
        .unwrap_or_default()
}

fn pax_body(records: &Records) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in records {
        let record = [b" ", key.as_slice(), b"=", value, b"\n"].concat();
        let mut total = record.len() + record.len().to_string().len();
        if total.to_string().len() != record.len().to_string().len() {
            total = record.len() + total.to_string().len();
        }
        body.extend(total.to_string().into_bytes());
        body.extend(record);
    }
    body
}

fn meta(kind: u8, name: &[u8], body: &[u8], format: &str) -> Vec<u8> {
    let entry = serde_json::json!({ "fmt": format, "mtime": 0 });
    let mut bytes = header(&entry, kind, name, body.len() as i64, b"", false).to_vec();
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn number(value: i64, width: usize, base256: bool) -> Vec<u8> {
    if !base256 && value >= 0 && value < 8_i64.pow(width as u32 - 1) {
        return [
            format!("{value:0width$o}", width = width - 1).as_bytes(),
            b"\0",
        ]
        .concat();
    }
    let mut bytes = if value < 0 {
        vec![0xff; width]
    } else {
        vec![0; width]
    };
    let value = value.to_be_bytes();
    let copied = width.min(8);
    bytes[width - copied..].copy_from_slice(&value[8 - copied..]);
    bytes[0] = if i64::from_be_bytes(value) < 0 {
        0xff
    } else {
        bytes[0] | 0x80
    };
    bytes
}

fn header(
    entry: &Value,
    kind: u8,
    name: &[u8],
    size: i64,
    link: &[u8],
    base256: bool,
) -> [u8; BLOCK] {
    let format = entry["fmt"].as_str().unwrap_or("ustar");
    let value = |key: &str, default: i64| entry[key].as_i64().unwrap_or(default);
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name);
    let mode = i64::from_str_radix(entry["mode"].as_str().unwrap_or("0644"), 8).unwrap();
    put(100, &number(mode, 8, base256));
    put(108, &number(value("uid", 0), 8, base256));
    put(116, &number(value("gid", 0), 8, base256));
    put(124, &number(size, 12, base256));
    put(136, &number(value("mtime", 1_700_000_000), 12, base256));
    put(156, &[kind]);
    put(157, link);
    match format {
        "ustar" => put(257, b"ustar\x0000"),
        "gnu" => put(257, b"ustar  \0"),
        _ => {}
    }
    if format != "v7" {
        put(265, &text(entry, "uname"));
        put(297, &text(entry, "gname"));
        put(329, &number(value("devmajor", 0), 8, base256));
        put(337, &number(value("devminor", 0), 8, base256));
    }
    if format == "ustar" {
        put(345, &text(entry, "prefix"));
    }
    if format == "gnu" {
        for (key, at) in [("gnu_atime", 345), ("gnu_ctime", 357)] {
            if let Some(time) = entry[key].as_i64() {
                put(at, &number(time, 12, base256));
            }
        }
        for (index, piece) in entry["gnu_sparse"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            put(
                386 + 24 * index,
                &number(piece[0].as_i64().unwrap(), 12, false),
            );
            put(
                398 + 24 * index,
                &number(piece[1].as_i64().unwrap(), 12, false),
            );
        }
        if let Some(size) = entry["gnu_realsize"].as_i64() {
            put(483, &number(size, 12, false));
        }
    }
    for patch in entry["raw"].as_array().into_iter().flatten() {
        let at = usize::try_from(patch[0].as_u64().unwrap()).unwrap();
        put(at, &hex::decode(patch[1].as_str().unwrap()).unwrap());
    }
    put(148, b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
