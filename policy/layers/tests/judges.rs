//! Other people's programs judge the images: `e2fsck` finds nothing to repair, another reader finds the tree that was packed,
//! and `veritysetup` computes the same root hash. The layers are random.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "tests know their numbers"
)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use ext4_view::{Ext4, FileType};
use image_layers::{Expected, Limits, RootHash, hash_layer, write_image};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{bytes, splitmix, tar_of};

/// An entry to pack, if it fits what is there.
#[derive(Clone, Debug)]
enum Operation {
    Directory,
    File { length: usize, seed: u64 },
    Symlink { length: usize },
    Link { which: usize },
    Fifo,
    Device { major: u32, minor: u32 },
    Whiteout,
    Opaque,
}

#[derive(Clone, Debug)]
struct Step {
    path: Vec<String>,
    mode: u16,
    uid: u32,
    xattrs: Vec<(String, usize)>,
    operation: Operation,
}

/// What a path is expected to be.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Node {
    kind: &'static str,
    mode: u16,
    uid: u32,
    content: Vec<u8>,
}

type Tree = BTreeMap<Vec<String>, Node>;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let path = prop::collection::vec("[abc]|x{1,255}", 1..4);
    let length = prop_oneof![Just(0_usize), 1..100_usize, Just(4096), 4000..20_000_usize];
    let operation = prop_oneof![
        3 => Just(Operation::Directory),
        5 => (length, any::<u64>()).prop_map(|(length, seed)| Operation::File { length, seed }),
        2 => prop_oneof![1..80_usize, 4000..4096_usize].prop_map(|length| Operation::Symlink { length }),
        2 => any::<usize>().prop_map(|which| Operation::Link { which }),
        1 => Just(Operation::Fifo),
        1 => (0..4096_u32, 0..0x10_0000_u32).prop_map(|(major, minor)| Operation::Device { major, minor }),
        1 => Just(Operation::Whiteout),
        1 => Just(Operation::Opaque),
    ];
    let xattrs = prop::collection::vec(("user\\.[a-z]{1,8}", 0..400_usize), 0..4);
    let step = (path, 0..0o10000_u16, any::<u32>(), xattrs, operation).prop_map(
        |(path, mode, uid, xattrs, operation)| Step {
            path,
            mode,
            uid,
            xattrs,
            operation,
        },
    );
    prop::collection::vec(step, 0..40)
}

/// Packs the steps that the converter accepts; the entries, and the tree that they make.
fn pack(steps: Vec<Step>) -> (Vec<Value>, Tree) {
    let directory = |mode, uid| Node {
        kind: "directory",
        mode,
        uid,
        content: Vec::new(),
    };
    let mut tree = Tree::from([(Vec::new(), directory(0o755, 0))]);
    tree.insert(vec!["lost+found".into()], directory(0o700, 0));
    let mut entries = Vec::new();
    for step in steps {
        let (path, name) = (&step.path, step.path.join("/"));
        let marker = matches!(step.operation, Operation::Whiteout);
        if marker && path.last().unwrap().len() > 255 - 4 {
            continue;
        }
        // An opaque marker is in the directory.
        let parents = if matches!(step.operation, Operation::Opaque) {
            path.len()
        } else {
            path.len() - 1
        };
        if (1..=parents).any(|depth| {
            tree.get(&path[..depth])
                .is_some_and(|node| node.kind != "directory")
        }) {
            continue;
        }
        let update = matches!(step.operation, Operation::Directory)
            && tree.get(path).is_some_and(|node| node.kind == "directory");
        if tree.contains_key(path) && !update && parents < path.len() {
            continue;
        }
        let mut entry = json!({ "name": name, "mode": format!("{:o}", step.mode), "num": "base256", "uid": step.uid });
        let mut node = Node {
            kind: "file",
            mode: step.mode,
            uid: step.uid,
            content: Vec::new(),
        };
        match step.operation {
            Operation::Directory => {
                entry["type"] = json!("5");
                node.kind = "directory";
            }
            Operation::File { length, seed } => {
                entry["data"] = json!({ "splitmix": seed, "len": length });
                node.content = splitmix(seed, length);
            }
            Operation::Symlink { length } => {
                let target: String = "target/".chars().cycle().take(length).collect();
                entry["type"] = json!("2");
                entry["linkname"] = json!(target);
                (node.kind, node.mode, node.content) =
                    ("symlink", step.mode | 0o777, target.into_bytes());
            }
            Operation::Link { which } => {
                let targets: Vec<_> = tree
                    .iter()
                    .filter(|(_, node)| node.kind != "directory")
                    .collect();
                let Some((target, linked)) = targets.get(which % targets.len().max(1)) else {
                    continue;
                };
                entry["type"] = json!("1");
                entry["linkname"] = json!(target.join("/"));
                node = (*linked).clone();
            }
            Operation::Fifo => {
                entry["type"] = json!("6");
                node.kind = "fifo";
            }
            Operation::Device { major, minor } => {
                entry["type"] = json!("4");
                (entry["devmajor"], entry["devminor"]) = (json!(major), json!(minor));
                node.kind = "block";
            }
            Operation::Whiteout => {
                let (last, folder) = path.split_last().unwrap();
                entry["name"] = json!([folder, &[format!(".wh.{last}")]].concat().join("/"));
                (node.kind, node.mode, node.uid) = ("character", 0, 0);
            }
            Operation::Opaque => entry["name"] = json!(format!("{name}/.wh..wh..opq")),
        }
        if !matches!(
            step.operation,
            Operation::Link { .. } | Operation::Whiteout | Operation::Opaque
        ) {
            let xattr = |(name, length): &(String, usize)| {
                json!([format!("SCHILY.xattr.{name}"), "v".repeat(*length)])
            };
            entry["pax"] = step.xattrs.iter().map(xattr).collect();
        }
        for depth in 1..=parents {
            if !tree.contains_key(&path[..depth]) {
                let above = tree[&path[..depth - 1]].clone();
                tree.insert(path[..depth].to_vec(), above);
            }
        }
        if parents < path.len() {
            tree.insert(path.clone(), node);
        }
        entries.push(entry);
    }
    (entries, tree)
}

/// The tree of an image, as another reader finds it.
fn found(image: &Path) -> Tree {
    let file_system = Ext4::load_from_path(image).unwrap();
    let mut tree = Tree::new();
    let mut waiting = vec![Vec::<String>::new()];
    while let Some(path) = waiting.pop() {
        let name = format!("/{}", path.join("/"));
        let metadata = file_system.symlink_metadata(name.as_str()).unwrap();
        let (kind, content) = match metadata.file_type() {
            FileType::Directory => {
                for entry in file_system.read_dir(name.as_str()).unwrap() {
                    let entry = entry.unwrap();
                    let child = entry.file_name().as_str().unwrap().to_owned();
                    if child != "." && child != ".." {
                        waiting.push([path.as_slice(), &[child]].concat());
                    }
                }
                ("directory", Vec::new())
            }
            FileType::Regular => ("file", file_system.read(name.as_str()).unwrap()),
            FileType::Symlink => {
                let target = file_system.read_link(name.as_str()).unwrap();
                ("symlink", target.as_ref().to_vec())
            }
            FileType::CharacterDevice => ("character", Vec::new()),
            FileType::BlockDevice => ("block", Vec::new()),
            FileType::Fifo => ("fifo", Vec::new()),
            FileType::Socket => ("socket", Vec::new()),
        };
        let node = Node {
            kind,
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            content,
        };
        tree.insert(path, node);
    }
    tree
}

/// A program's exit code and what it prints; it must be installed (`tests/setup`).
fn run(program: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let [printed, complaints] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    (output.status.code(), format!("{printed}{complaints}"))
}

/// The reference leaves the unused end of inode bitmaps clear; that is all that may be wrong.
fn check_file_system(image: &Path) {
    let (code, report) = run("e2fsck", &["-f", "-n", image.to_str().unwrap()]);
    let wrong = report.lines().filter(|line| line.contains("? no"));
    let wrong: Vec<&str> = wrong
        .filter(|line| *line != "Padding at end of inode bitmap is not set. Fix? no")
        .collect();
    assert!(
        matches!(code, Some(0 | 4)) && wrong.is_empty(),
        "{code:?}: {report}"
    );
    assert!(
        report.contains("Pass 5: Checking group summary information"),
        "{report}"
    );
}

fn root_hash_of(image: &Path, hashes: &Path) -> RootHash {
    let salt = format!("--salt={}", "00".repeat(32));
    let (image, hashes) = (image.to_str().unwrap(), hashes.to_str().unwrap());
    let (code, report) = run(
        "veritysetup",
        &["format", &salt, "--hash=sha256", image, hashes],
    );
    assert_eq!(code, Some(0), "{report}");
    let line = report
        .lines()
        .find_map(|line| line.strip_prefix("Root hash:"));
    line.unwrap_or_else(|| panic!("{report}"))
        .trim()
        .parse()
        .unwrap()
}

/// Checks a layer's image and root hash; returns the folder with the image.
fn judge(tar: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let file = std::fs::File::create_new(&image).unwrap();
    let length = write_image(tar, &file, &Limits::default()).unwrap();
    let hash = hash_layer(tar, &Expected::default(), &Limits::default()).unwrap();
    assert_eq!(hash.image_size, length);
    check_file_system(&image);
    assert_eq!(
        hash.root_hash,
        root_hash_of(&image, &folder.path().join("hashes"))
    );
    folder
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn random_layers_are_sound_file_systems_with_the_right_tree_and_root_hash(steps in steps()) {
        let (entries, expected) = pack(steps);
        let tar = bytes(tar_of(&entries));
        let folder = judge(&tar);
        prop_assert_eq!(found(&folder.path().join("image")), expected);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(
        tar in prop::collection::vec(any::<u8>(), 0..2000),
        steps in steps(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let hash = |bytes: &[u8]| hash_layer(bytes, &Expected::default(), &Limits::default()).is_ok();
        hash(&tar);
        let mut tar = bytes(tar_of(&pack(steps).0));
        for (at, value) in flips {
            let at = at.index(tar.len());
            tar[at] = value;
            // Damage past the checksum.
            let start = at / 512 * 512;
            let header = &mut tar[start..start + 512];
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        hash(&tar);
    }
}

#[test]
fn layers_of_many_groups_and_extents_are_sound() {
    let layers = [
        vec![
            json!({ "repeat": 20_000, "entry": { "name": "d/{i}" } }),
            json!({ "name": "big", "data": { "fill": 7, "len": 140 << 20 } }),
        ],
        vec![],
    ];
    for entries in layers {
        judge(&bytes(tar_of(&entries)));
    }
}
