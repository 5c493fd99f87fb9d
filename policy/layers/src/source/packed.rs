//! Image archives that were compressed as a whole. They are not read, but they must not pass for a layer.

use std::io::Read;

use crate::ext4::components;
use crate::stream::unpacked;

/// Unpacked bytes that are looked at: archives have one of the names below before or right after the first layer.
const MOST_BYTES: u64 = 16 << 20;

/// Whether the first entries of a compressed tar are those of an image archive. What cannot be read is none, as far as this
/// goes: whoever reads it as a layer says what is wrong.
pub(super) fn is_image_archive(source: impl Read) -> bool {
    let Ok(tar) = unpacked(source) else {
        return false;
    };
    let mut archive = tar::Archive::new(tar.take(MOST_BYTES));
    let Ok(mut entries) = archive.entries() else {
        return false;
    };
    entries.any(|entry| {
        entry.is_ok_and(|entry| {
            !entry.header().entry_type().is_dir() && is_part(&components(&entry.path_bytes()))
        })
    })
}

/// Whether only an image archive has such a name: of its lists, a configuration or a layer.
fn is_part(path: &[&[u8]]) -> bool {
    match *path {
        [b"manifest.json" | b"oci-layout"] => true,
        [name] => {
            let endings = [b".tar.gz".as_slice(), b".tar", b".json"];
            let stem = endings.iter().find_map(|end| name.strip_suffix(*end));
            let stem = stem.or_else(|| name.strip_prefix(b"sha256:"));
            stem.is_some_and(is_digest)
        }
        [directory, b"layer.tar" | b"json" | b"VERSION"] => is_digest(directory),
        [b"blobs", b"sha256", name] => is_digest(name),
        _ => false,
    }
}

fn is_digest(name: &[u8]) -> bool {
    name.len() == 64 && name.iter().all(u8::is_ascii_hexdigit)
}
