//! Lists of a dataset's files.
#![no_main]

use std::collections::BTreeSet;

use blob_format::FormatError;
use blob_format::manifest::{Found, Manifest};
use fuzz::bounded;
use fuzz::storage::DEK;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(manifest) = bounded(input, 8, || Manifest::decode(input)) else {
        return;
    };
    assert_eq!(manifest.encode(), input, "two encodings of one list");
    let entries = manifest.entries();
    assert!(entries.is_sorted_by(|a, b| a.path < b.path));
    let shuffled = entries.iter().rev().cloned().collect();
    assert_eq!(Manifest::new(shuffled).as_ref(), Ok(&manifest));

    let hmac = manifest.hmac(&DEK).unwrap();
    assert_eq!(hmac.to_string().parse(), Ok(hmac));
    let shorter = Manifest::new(entries.iter().skip(1).cloned().collect()).unwrap();
    if !entries.is_empty() {
        let refused = shorter.clone().pin(&DEK, &hmac).map(drop);
        assert_eq!(refused, Err(FormatError::ManifestRoot));
    }
    let blob = manifest.seal(&DEK).unwrap();
    assert_eq!(Manifest::unseal(&DEK, &blob).as_ref(), Ok(&manifest));

    let pinned = bounded(input, 16, || manifest.clone().pin(&DEK, &hmac)).unwrap();
    // What the tree shows, found by walking down, is what the list says of each path by itself.
    let mut shown = BTreeSet::new();
    let mut left = vec![String::new()];
    while let Some(directory) = left.pop() {
        let mut names = BTreeSet::new();
        for (name, found) in pinned.list(&directory) {
            assert!(names.insert(name), "{name:?} twice");
            let path = match directory.as_str() {
                "" => name.to_owned(),
                directory => format!("{directory}/{name}"),
            };
            assert_eq!(pinned.look_up(&path), Ok(found));
            match found {
                Found::Directory => left.push(path),
                Found::File(entry) => {
                    assert_eq!(entry.path, path);
                    shown.insert(path);
                }
            }
        }
    }
    for entry in entries {
        let expressible = entry
            .path
            .split('/')
            .all(|name| !matches!(name, "" | "." | "..") && !name.contains('\0'));
        let found = pinned.look_up(&entry.path);
        assert_eq!(found.is_ok(), expressible, "{:?}", entry.path);
        let file = matches!(found, Ok(Found::File(_)));
        assert_eq!(shown.contains(&entry.path), file);
    }
});
