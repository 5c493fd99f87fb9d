//! A pinned manifest answers look-ups, and no other version of a file gets past it.

use super::{SMALL, dek, finish, other_dek, pattern, read};
use crate::azure::{self, FileAzure, Integrity, RegionSize, Stored};
use crate::manifest::{Entry, Found, Manifest, ManifestHmac, PATH, Pinned};
use crate::{Attributes, FormatError, View, Writer};

fn entry(path: &str, generation: u64) -> Entry {
    Entry {
        path: path.to_owned(),
        length: 10,
        file_id: [1; 16],
        generation,
        authenticator: [2; 32],
    }
}

fn list(paths: &[&str]) -> Manifest {
    Manifest::new(paths.iter().map(|path| entry(path, 1)).collect()).unwrap()
}

fn pinned(paths: &[&str]) -> Pinned {
    let root = list(paths).hmac(&dek()).unwrap();
    list(paths).pin(&dek(), &root).unwrap()
}

#[test]
fn only_the_list_that_the_contract_pins_is_taken() {
    let root = list(&["a", "b"]).hmac(&dek()).unwrap();
    for changed in [
        list(&["a"]),
        list(&["a", "b", "c"]),
        list(&["a", "c"]),
        list(&[]),
        Manifest::new(vec![entry("a", 1), entry("b", 2)]).unwrap(),
    ] {
        let refused = changed.pin(&dek(), &root).unwrap_err();
        assert_eq!(refused, FormatError::ManifestRoot);
    }
    let refused = list(&["a", "b"]).pin(&other_dek(), &root).unwrap_err();
    assert_eq!(refused, FormatError::ManifestRoot);
    list(&["b", "a"]).pin(&dek(), &root).unwrap();
}

#[test]
fn the_contracts_text_is_64_lower_case_digits() {
    let root = list(&["a"]).hmac(&dek()).unwrap();
    let text = root.to_string();
    assert_eq!(text.parse::<ManifestHmac>().unwrap(), root);
    for wrong in [
        &text.to_uppercase(),
        &text[1..],
        &format!("{text}00"),
        "",
        &"g".repeat(64),
    ] {
        let parsed = wrong.parse::<ManifestHmac>();
        assert!(matches!(parsed, Err(FormatError::Contract(_))), "{wrong}");
    }
}

#[test]
fn look_ups_are_answered_from_the_list() {
    let pinned = pinned(&[
        "a", "a-b", "a/x", "d/e/f", "d/e/g", "d/h", "i", "j//k", "../l", "d/\0m",
    ]);
    let found = |path: &str| pinned.look_up(path);
    let file = |path: &str| match found(path) {
        Ok(Found::File(entry)) => entry.path == path,
        _ => false,
    };
    assert!(file("a-b") && file("d/e/f") && file("i") && file("a/x"));
    for directory in ["", "a", "d", "d/e"] {
        assert_eq!(found(directory), Ok(Found::Directory), "{directory}");
    }
    for absent in [
        "b", "a/y", "d/", "/i", "i/x", "j//k", "../l", "d/\0m", ".", "d/e/f/g",
    ] {
        assert_eq!(found(absent), Err(FormatError::NotListed), "{absent}");
    }
    let names = |directory: &str| {
        let listed = pinned.list(directory);
        listed
            .map(|(name, found)| (name.to_owned(), found == Found::Directory))
            .collect::<Vec<_>>()
    };
    let (f, d) = (
        |name: &str| (name.to_owned(), false),
        |name: &str| (name.to_owned(), true),
    );
    assert_eq!(names(""), [f("a-b"), d("a"), d("d"), f("i"), d("j")]);
    assert_eq!(names("d"), [d("e"), f("h")]);
    assert_eq!(names("d/e"), [f("f"), f("g")]);
    assert_eq!(names("a"), [f("x")]);
    assert_eq!(names("i"), []);
}

/// Two commits of one file, and another file with the same content.
#[test]
fn a_whole_older_file_is_refused() {
    let mut writer = Writer::create(&dek(), SMALL, None).unwrap();
    writer.write(0, &pattern(100)).unwrap();
    let mut commit = || {
        let committed = writer.commit(Attributes::default()).unwrap();
        View::open(&dek(), committed.tail.len() as u64, &committed.tail, None).unwrap()
    };
    let (old, new) = (commit(), commit());
    let listed = |view: &View| Entry {
        path: "a".to_owned(),
        length: view.len(),
        file_id: view.footer().header.file_id,
        generation: view.footer().generation,
        authenticator: view.footer().mac,
    };
    assert_eq!(listed(&new).admit(&new), Ok(()));
    let rolled_back = |listed, found| Err(FormatError::RolledBack { listed, found });
    assert_eq!(listed(&new).admit(&old), rolled_back(2, 1));
    assert_eq!(listed(&old).admit(&new), rolled_back(1, 2));

    let blob = finish(
        &mut Writer::create(&dek(), SMALL, None).unwrap(),
        &pattern(100),
    );
    let other = View::open(&dek(), blob.len() as u64, &blob, None).unwrap();
    assert_eq!(listed(&old).admit(&other), Err(FormatError::Replaced));
    // Two writers can make two commits of one number.
    let mut twin = old.edit();
    let twin = twin.commit(0, Attributes::default()).unwrap();
    let blob = [old.edit().header().to_vec(), twin.tail].concat();
    let twin = View::open(&dek(), blob.len() as u64, &blob, None).unwrap();
    assert_eq!(listed(&new).admit(&twin), Err(FormatError::Replaced));
    assert_eq!(
        listed(&new).admit_plain(100, &new.footer().mac),
        Err(FormatError::Replaced),
        "another layout"
    );
}

#[test]
fn a_whole_older_blob_of_an_sdk_is_refused() {
    let written = || {
        let draft = azure::Draft::create(&dek(), "kek", RegionSize::default()).unwrap();
        draft.finish(&dek(), "a").unwrap().encryption_data
    };
    let open = |data: &str, path| {
        let stored = Stored {
            blob_len: 0,
            encryption_data: Some(data),
            seal: None,
        };
        FileAzure::open(&dek(), "kek", path, &stored, Integrity::Foreign).unwrap()
    };
    let (old_data, new_data) = (written(), written());
    let (old, new) = (open(&old_data, "a"), open(&new_data, "a"));
    let listed = Entry {
        length: 0,
        file_id: [0; 16],
        authenticator: *new.authenticator().unwrap(),
        ..entry("a", 0)
    };
    assert_eq!(listed.admit_azure(&new), Ok(()));
    assert_eq!(listed.admit_azure(&old), Err(FormatError::Replaced));
    let elsewhere = open(&new_data, "b");
    assert_eq!(listed.admit_azure(&elsewhere), Err(FormatError::Replaced));
    let longer = Entry {
        length: 1,
        ..listed.clone()
    };
    assert_eq!(longer.admit_azure(&new), Err(FormatError::Replaced));
    assert_eq!(listed.admit_plain(0, new.authenticator().unwrap()), Ok(()));
}

#[test]
fn a_sealed_list_is_bound_to_its_place() {
    let manifest = list(&["a", "b"]);
    let blob = manifest.seal(&dek()).unwrap();
    assert_eq!(Manifest::unseal(&dek(), &blob), Ok(manifest.clone()));
    assert_eq!(read(&blob, Some(PATH)).unwrap(), manifest.encode());
    assert_eq!(read(&blob, Some("data/file")), Err(FormatError::Name));
    assert_eq!(
        Manifest::unseal(&other_dek(), &blob),
        Err(FormatError::WrongKey)
    );
    // A file of the dataset in the manifest's place.
    let file = finish(
        &mut Writer::create(&dek(), SMALL, Some("a")).unwrap(),
        &manifest.encode(),
    );
    assert_eq!(Manifest::unseal(&dek(), &file), Err(FormatError::Name));
    let empty = finish(&mut Writer::create(&dek(), SMALL, Some(PATH)).unwrap(), b"");
    let error = FormatError::Manifest("mark");
    assert_eq!(Manifest::unseal(&dek(), &empty), Err(error));
}

#[test]
fn lists_with_other_bytes_are_refused() {
    let bytes = list(&["a", "b"]).encode();
    let refused = |bytes: &[u8], what| {
        assert_eq!(
            Manifest::decode(bytes),
            Err(FormatError::Manifest(what)),
            "{what}"
        );
    };
    refused(b"", "mark");
    refused(&[&b"CRMF2"[..], &bytes[5..]].concat(), "mark");
    refused(&bytes[..12], "cut off");
    refused(&bytes[..bytes.len() - 1], "number of entries");
    refused(&[&bytes[..], &[0]].concat(), "bytes behind the last entry");
    let mut changed = bytes.clone();
    changed[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(&changed, "number of entries");
    for (length, what) in [
        (0_u32, "length of a path"),
        (u32::MAX, "cut off"),
        (2, "text of a path"),
    ] {
        let mut changed = bytes.clone();
        changed[16..20].copy_from_slice(&length.to_le_bytes());
        if length == 2 {
            changed[20] = 0xff;
        }
        refused(&changed, what);
    }
    let (first, second) = bytes[16..].split_at(69);
    refused(
        &[&bytes[..16], second, first].concat(),
        "order of the entries",
    );
    refused(
        &[&bytes[..16], first, first].concat(),
        "order of the entries",
    );
    assert!(Manifest::new(vec![entry("a", 1), entry("a", 1)]).is_err());
    assert!(Manifest::new(vec![entry(&"p".repeat(4097), 1)]).is_err());
    assert!(Manifest::new(vec![entry(&"p".repeat(4096), 1)]).is_ok());
}
