//! Random operations through the kernel give what they give on a directory of the machine's own file system.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;

use blob_format::Params;
use blob_fs::{Mode, Options};

use crate::room::{Mount, committed, options, pattern, store};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// Around two borders of extents.
const FAR: u64 = 9 << 20;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % sides
    }

    fn offset(&mut self) -> u64 {
        match self.roll(3) {
            0 => self.roll(10_000),
            1 => (4 << 20) - 5000 + self.roll(10_000),
            _ => self.roll(FAR),
        }
    }
}

#[test]
fn random_operations_through_the_kernel_equal_a_local_directory() {
    let steps = std::env::var("BLOB_FS_KERNEL_OPS").ok();
    let steps: u64 = steps.map_or(600, |steps| steps.parse().unwrap());
    for (seed, memory) in [(1, 256 << 20), (2, 48 << 20)] {
        run(seed, steps / 2, memory);
    }
}

fn run(seed: u64, steps: u64, memory: u64) {
    let (stored, faulty) = store();
    let options = Options {
        memory,
        ..options(false)
    };
    let mount = Mount::with(faulty, 7, Mode::CseV2(Params::default()), options);
    let local = tempfile::tempdir().unwrap();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ seed);
    let source = pattern(1 << 20);
    let mut open: BTreeMap<usize, [File; 2]> = BTreeMap::new();
    for step in 0..steps {
        let name = usize::try_from(dice.roll(4)).unwrap();
        let paths = [mount.at(NAMES[name]), local.path().join(NAMES[name])];
        let what = format!("seed {seed}, step {step}, {}", NAMES[name]);
        match dice.roll(14) {
            0..=4 => {
                let files = open.entry(name).or_insert_with(|| {
                    paths.clone().map(|path| {
                        let mut options = OpenOptions::new();
                        let options = options.read(true).write(true).create(true);
                        options.open(path).unwrap()
                    })
                });
                let (offset, length) = (dice.offset(), 1 + dice.roll(300_000));
                let part = &source[..usize::try_from(length).unwrap()];
                for file in files {
                    file.write_all_at(part, offset).unwrap();
                }
            }
            5..=7 => {
                let (offset, length) = (dice.offset(), dice.roll(2 << 20));
                let read = paths.map(|path| {
                    let mut part = vec![0; usize::try_from(length).unwrap()];
                    let file = File::open(path).ok()?;
                    let mut at = 0;
                    while let read @ 1.. =
                        file.read_at(&mut part[at..], offset + at as u64).unwrap()
                    {
                        at += read;
                    }
                    part.truncate(at);
                    Some(part)
                });
                assert!(read[0] == read[1], "{what}: read at {offset} of {length}");
            }
            8 => {
                if let Some(files) = open.get(&name) {
                    let length = dice.offset();
                    for file in files {
                        file.set_len(length).unwrap();
                    }
                }
            }
            9 => {
                if let Some([file, _]) = open.get(&name) {
                    file.sync_all().unwrap();
                    if fs::metadata(&paths[0]).is_ok() && memory > 100 << 20 {
                        let content = fs::read(&paths[1]).unwrap();
                        let durable = committed(&stored, NAMES[name]).unwrap();
                        assert!(durable == content, "{what}: synced");
                    }
                }
            }
            10 | 11 => drop(open.remove(&name)),
            12 => {
                let gone = paths.map(|path| fs::remove_file(path).is_ok());
                assert_eq!(gone[0], gone[1], "{what}: unlink");
                // A file that has no name any more is compared no further.
                open.remove(&name);
            }
            _ => {
                let to = usize::try_from(dice.roll(4)).unwrap();
                let targets = [mount.at(NAMES[to]), local.path().join(NAMES[to])];
                let renamed = [0, 1].map(|n| fs::rename(&paths[n], &targets[n]).is_ok());
                assert_eq!(renamed[0], renamed[1], "{what}: rename to {to}");
                if renamed[0] && to != name {
                    open.remove(&to);
                    if let Some(files) = open.remove(&name) {
                        open.insert(to, files);
                    }
                }
            }
        }
        let lengths = [mount.at(NAMES[name]), local.path().join(NAMES[name])];
        let lengths = lengths.map(|path| fs::metadata(path).map(|meta| meta.len()).ok());
        assert_eq!(lengths[0], lengths[1], "{what}: length");
    }
    for (_, files) in std::mem::take(&mut open) {
        for mut file in files {
            file.flush().unwrap();
        }
    }
    for name in NAMES {
        let read = [mount.at(name), local.path().join(name)].map(|path| fs::read(path).ok());
        assert!(read[0] == read[1], "seed {seed}: {name} in the end");
        if let Some(content) = &read[1] {
            assert!(committed(&stored, name).as_ref() == Some(content), "{name}");
        }
    }
}
