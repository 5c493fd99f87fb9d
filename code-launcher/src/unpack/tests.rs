use super::*;

fn entry(kind: EntryType, path: &str, link: &str, data: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    // Written by hand: the library's setters refuse what an attacker would write.
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o4755);
    header.set_size(data.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn layer(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut tar = entries.concat();
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn apply_all(layers: &[Vec<u8>]) -> (tempfile::TempDir, Result<(), LaunchError>) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let outcome = layers
        .iter()
        .try_for_each(|layer| unpack(&mut &layer[..], &root, Caps::default()));
    (folder, outcome)
}

use EntryType::{Block, Directory, Link, Regular, Symlink};

#[test]
fn files_folders_and_links_appear_without_special_bits() {
    let (folder, outcome) = apply_all(&[layer(&[
        entry(Directory, "usr/bin/", "", b""),
        entry(Symlink, "bin", "usr/bin", b""),
        entry(Regular, "bin/app", "", b"program"),
        entry(Link, "app2", "bin/app", b""),
    ])]);
    outcome.unwrap();
    let root = folder.path().join("root");
    assert_eq!(std::fs::read(root.join("usr/bin/app")).unwrap(), b"program");
    assert_eq!(std::fs::read(root.join("app2")).unwrap(), b"program");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(
        std::fs::metadata(root.join("app2")).unwrap().mode() & 0o7777,
        0o755
    );
}

#[test]
fn nothing_is_written_outside_the_root() {
    for hostile in [
        vec![entry(Regular, "../outside", "", b"x")],
        vec![entry(Regular, "a/../../outside", "", b"x")],
        vec![
            entry(Symlink, "up", "../..", b""),
            entry(Regular, "up/outside", "", b"x"),
        ],
        vec![
            entry(Symlink, "abs", "/", b""),
            entry(Regular, "abs/outside", "", b"x"),
        ],
        vec![
            entry(Symlink, "file", "../outside", b""),
            entry(Regular, "file", "", b"x"),
        ],
        vec![entry(Link, "leak", "../outside", b"")],
    ] {
        let (folder, _) = apply_all(&[layer(&hostile)]);
        assert!(!folder.path().join("outside").exists());
        let beside = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(beside, 1);
    }
}

#[test]
fn a_path_with_dots_and_a_device_are_refused_by_name() {
    for hostile in [
        entry(Regular, "a/../b", "", b"x"),
        entry(Block, "dev/sda", "", b""),
        entry(Link, "l", "../x", b""),
    ] {
        let (_folder, outcome) = apply_all(&[layer(&[hostile])]);
        assert!(matches!(outcome, Err(LaunchError::Layer { .. })));
    }
}

#[test]
fn whiteouts_remove_what_lower_layers_brought() {
    let lower = layer(&[
        entry(Regular, "etc/a", "", b"1"),
        entry(Regular, "etc/b", "", b"2"),
        entry(Regular, "var/x/y", "", b"3"),
    ]);
    let upper = layer(&[
        entry(Regular, "etc/.wh.a", "", b""),
        entry(Regular, "var/.wh..wh..opq", "", b""),
    ]);
    let (folder, outcome) = apply_all(&[lower, upper]);
    outcome.unwrap();
    let root = folder.path().join("root");
    assert!(
        !root.join("etc/a").exists() && root.join("etc/b").exists() && !root.join("var/x").exists()
    );
}

#[test]
fn whiteouts_spare_what_their_own_layer_brought_whatever_comes_first() {
    let lower = layer(&[
        entry(Regular, "var/old", "", b"1"),
        entry(Regular, "var/both/old", "", b"2"),
    ]);
    let upper = layer(&[
        entry(Regular, "var/+new", "", b"3"),
        entry(Regular, "var/both/new", "", b"4"),
        entry(Regular, "var/.wh..wh..opq", "", b""),
        entry(Regular, "var/.wh.+new", "", b""),
    ]);
    let (folder, outcome) = apply_all(&[lower, upper]);
    outcome.unwrap();
    let var = folder.path().join("root/var");
    assert!(var.join("+new").exists() && var.join("both/new").exists());
    assert!(!var.join("old").exists() && !var.join("both/old").exists());
}

#[test]
fn the_application_may_what_its_user_might_in_the_image() {
    use std::os::unix::fs::MetadataExt;
    let owned = |path: &str, mode: u32, uid: u64, gid: u64| {
        let mut bytes = entry(Regular, path, "", b"x");
        let mut header = tar::Header::from_byte_slice(&bytes[..512]).clone();
        header.set_mode(mode);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
        bytes
    };
    let (folder, outcome) = apply_all(&[layer(&[
        owned("own", 0o700, 1000, 0),
        owned("group", 0o750, 0, 1000),
        owned("root", 0o750, 0, 0),
        owned("denied", 0o077, 1000, 0),
    ])]);
    outcome.unwrap();
    let others = |name: &str| {
        let path = folder.path().join("root").join(name);
        std::fs::metadata(path).unwrap().mode() & 0o7
    };
    assert_eq!([others("own"), others("group")], [7, 5]);
    assert_eq!([others("root"), others("denied")], [0, 0]);
}

#[test]
fn a_bomb_ends_at_the_cap() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..4].copy_from_slice(b"bomb");
    header.set_entry_type(Regular);
    header.set_size(64 << 20);
    header.set_cksum();
    packed.write_all(header.as_bytes()).unwrap();
    packed.write_all(&vec![0; 64 << 20]).unwrap();
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 1 << 20);
    let folder = tempfile::tempdir().unwrap();
    let caps = Caps {
        entries: 10,
        bytes: 1 << 20,
    };
    let layer = Box::new(io::Cursor::new(packed));
    let outcome = unpack_verified(layer, Compression::Gzip, "sha256:0", folder.path(), caps);
    assert!(outcome.is_err());
    let written = std::fs::metadata(folder.path().join("bomb")).unwrap().len();
    assert!(written <= 1 << 20, "{written}");
}

#[test]
fn layers_that_are_compressed_otherwise_or_encrypted_are_not_supported() {
    for media_type in [
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ] {
        assert_eq!(Compression::of(media_type), None);
    }
}

#[test]
fn counts_and_content_are_bounded_and_verified() {
    let tar = layer(&[entry(Regular, "a", "", b"1"), entry(Regular, "b", "", b"2")]);
    let folder = tempfile::tempdir().unwrap();
    let few = Caps {
        entries: 1,
        bytes: 1 << 20,
    };
    assert!(unpack(&mut &tar[..], folder.path(), few).is_err());

    let file = || {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&tar).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        Box::new(file)
    };
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&tar)));
    let folder = tempfile::tempdir().unwrap();
    unpack_verified(
        file(),
        Compression::None,
        &digest,
        folder.path(),
        Caps::default(),
    )
    .unwrap();
    let other = format!("sha256:{}", hex::encode(Sha256::digest(b"other")));
    let folder = tempfile::tempdir().unwrap();
    assert!(
        unpack_verified(
            file(),
            Compression::None,
            &other,
            folder.path(),
            Caps::default()
        )
        .is_err()
    );
    let small = Caps {
        entries: 10,
        bytes: 600,
    };
    let folder = tempfile::tempdir().unwrap();
    assert!(unpack_verified(file(), Compression::None, &digest, folder.path(), small).is_err());
}
