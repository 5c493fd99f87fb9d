//! Tars as a fuzzer can write them: what it says of headers is laid out, summed and padded for it, whatever it says.

/// Where the fields of a header are, in bytes: name, mode, uid, gid, size, mtime, type, link, magic, device, prefix, and the
/// times and sparse maps of the older formats.
const FIELDS: [usize; 16] = [
    0, 100, 108, 116, 124, 136, 156, 157, 257, 329, 345, 357, 386, 476, 482, 508,
];
const BLOCK: usize = 512;
/// No tar becomes longer than this and one more entry, in bytes.
const LONGEST: usize = 256 << 10;

/// What an entry's first byte asks for.
const SUMMED: u8 = 1;
const SIZED: u8 = 2;
const RECORDS: u8 = 4;
const REPEATED: u8 = 8;

/// A tar, from entries as [`entry`] reads them, and its end of `zeros` blocks.
pub fn tar(mut entries: &[u8], zeros: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while !entries.is_empty() && out.len() < LONGEST {
        entries = entry(entries, &mut out);
    }
    out.resize(out.len() + zeros * BLOCK, 0);
    out
}

/// One entry: what to do with it, its type, how many fields are not as usual, each as its number, its length and its bytes;
/// then the length of the content in two bytes, and the content. Bytes that are missing are none.
fn entry<'a>(mut input: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let flags = byte(&mut input);
    let mut header = [0_u8; BLOCK];
    header[100..107].copy_from_slice(b"0000644");
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[156] = byte(&mut input);
    for _ in 0..byte(&mut input) % 17 {
        let at = FIELDS[usize::from(byte(&mut input)) % FIELDS.len()];
        let length = usize::from(byte(&mut input));
        let field = part(&mut input, length);
        let end = BLOCK.min(at + field.len());
        header[at..end].copy_from_slice(&field[..end - at]);
    }
    let length = usize::from(u16::from_le_bytes([byte(&mut input), byte(&mut input)]));
    let written = part(&mut input, length);
    let mut content = if flags & RECORDS == 0 {
        written.to_vec()
    } else {
        written
            .split(|byte| *byte == b'\n')
            .flat_map(record)
            .collect()
    };
    if flags & REPEATED != 0 {
        // Several blocks of the image, from a few bytes.
        content = content.repeat(1 + usize::from(flags >> 4));
        content.truncate(LONGEST / 4);
    }
    if flags & SIZED != 0 {
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    }
    if flags & SUMMED != 0 {
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    out.extend_from_slice(&header);
    out.extend_from_slice(&content);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
    input
}

/// A record of an extended header, which begins with its own length.
fn record(text: &[u8]) -> Vec<u8> {
    let rest = text.len() + 2;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} ").as_bytes(), text, b"\n"].concat()
}

fn byte(input: &mut &[u8]) -> u8 {
    input.split_off_first().copied().unwrap_or_default()
}

fn part<'a>(input: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (now, later) = input.split_at(length.min(input.len()));
    *input = later;
    now
}
