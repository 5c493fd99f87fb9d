//! The table of `docs/tampering.md`, cell by cell: what storage does to a file, and whether a reader notices.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use blob_format::azure::{ENCRYPTION_DATA, RegionSize};
use blob_format::v1::TRAILER;
use blob_format::{FOOTER, HEADER, Writer};
use blob_store::testing::{Faulty, MemoryStore};
use blob_store::{
    AzureConfig, AzureStore, BlobStore, Condition, CustomerKey, FixedToken, Metadata, Token,
};
use cleanroom_crypto::Dek;
use emulators::world::{World, WorldConfig};

use crate::room::{Mount, errno, pattern};
use crate::{BlockSize, Integrity, Mode, Params, mount, read, refusal};

/// Clear bytes of what is sealed as one, in every mode alike.
const UNIT: usize = 64 << 10;
const LENGTH: usize = 4 * UNIT + 30_000;

/// A way to keep files.
struct Way {
    /// The column; several ways may share one.
    name: &'static str,
    mode: Mode,
    /// Written by the owner's tool, which binds a file to its path.
    bound: bool,
    /// The contract pins the manifest.
    pinned: bool,
}

fn ways() -> Vec<Way> {
    let unit = u32::try_from(UNIT).unwrap();
    let (block, region) = (
        BlockSize::small(unit).unwrap(),
        RegionSize::new(unit).unwrap(),
    );
    let (v2, v1) = (Mode::CseV2(Params::default()), Mode::CseV1(block));
    let azure = |integrity| Mode::CseAzure(region, integrity);
    let way = |name, mode| Way {
        name,
        mode,
        bound: false,
        pinned: false,
    };
    let pinned = |mode| Way {
        pinned: true,
        ..way("any, pinned", mode)
    };
    vec![
        way("v2", v2),
        Way {
            bound: true,
            ..way("v2, bound", v2)
        },
        way("cse-v1", v1),
        way("azure-cse-2.1", azure(Integrity::Foreign)),
        way("azure-cse-2.1-sealed", azure(Integrity::Sealed)),
        way("CPK", Mode::Cpk),
        way("SSE", Mode::Sse),
        pinned(v2),
        pinned(v1),
        pinned(azure(Integrity::Foreign)),
        pinned(azure(Integrity::Sealed)),
        pinned(Mode::Cpk),
    ]
}

/// A blob as storage has it.
#[derive(Clone, PartialEq)]
struct Blob {
    bytes: Vec<u8>,
    metadata: Metadata,
}

impl Way {
    fn clear(&self, seed: u8) -> Vec<u8> {
        let mut clear = pattern(LENGTH);
        clear.iter_mut().for_each(|byte| *byte ^= seed);
        // What ends in zeros is cut or extended without a trace where padding is zeros.
        clear[LENGTH - 1000..].fill(0);
        clear
    }

    fn write(&self, memory: &MemoryStore, name: &str, seed: u8, key: u8) -> Blob {
        let clear = self.clear(seed);
        if self.bound {
            let dek = Dek::from_slice(&[key; 32]).unwrap();
            let mut writer = Writer::create(&dek, Params::default(), Some(name)).unwrap();
            let mut bytes = writer.write(0, &clear).unwrap().concat();
            let committed = writer.commit(blob_format::Attributes::default()).unwrap();
            bytes.extend(committed.tail);
            put(
                memory,
                name,
                &Blob {
                    bytes,
                    metadata: Metadata::new(),
                },
            );
        } else {
            fs::write(mount(memory, self.mode, key, false).at(name), clear).unwrap();
        }
        get(memory, name)
    }

    /// Where the sealed units of a file start, and their length.
    const fn units(&self) -> (usize, usize) {
        match self.mode {
            Mode::CseV2(_) => (HEADER, UNIT + 16),
            Mode::CseV1(_) | Mode::CseAzure(..) => (0, UNIT + 28),
            Mode::Cpk | Mode::Sse => (0, UNIT),
        }
    }

    /// Bytes behind the last unit.
    const fn behind(&self) -> usize {
        match self.mode {
            Mode::CseV2(_) => FOOTER + 16,
            Mode::CseV1(_) => TRAILER,
            Mode::CseAzure(..) | Mode::Cpk | Mode::Sse => 0,
        }
    }
}

fn get(memory: &MemoryStore, name: &str) -> Blob {
    Blob {
        bytes: memory.bytes(name).unwrap(),
        metadata: memory.metadata(name).unwrap(),
    }
}

fn put(memory: &MemoryStore, name: &str, blob: &Blob) {
    let bytes = blob.bytes.clone().into();
    let put = memory.put_blob_with(name, bytes, &blob.metadata, &Condition::Always);
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(put)
        .unwrap();
}

/// What storage has to attack with: the newest version of a file, the one before, and another file.
struct Scene {
    memory: MemoryStore,
    /// Keyed head of the manifest, if the contract pins it.
    root: Option<String>,
    new: Blob,
    old: Blob,
    other: Blob,
}

impl Scene {
    fn of(way: &Way) -> Self {
        let memory = MemoryStore::default();
        let old = way.write(&memory, "a", 1, 7);
        let new = way.write(&memory, "a", 2, 7);
        let other = way.write(&memory, "b", 3, 7);
        let root = way.pinned.then(|| {
            let sink = mount(&memory, way.mode, 7, false);
            sink.runtime.block_on(sink.fs.seal()).unwrap().root
        });
        let scene = Self {
            memory,
            root,
            new,
            old,
            other,
        };
        assert!(scene.read(way, &scene.memory).unwrap() == way.clear(2));
        scene
    }

    fn mount(&self, way: &Way, memory: &MemoryStore) -> Mount {
        match &self.root {
            Some(root) => Mount::pinned(Faulty::new(memory.clone()), way.mode, root),
            None => mount(memory, way.mode, 7, true),
        }
    }

    fn read(&self, way: &Way, memory: &MemoryStore) -> Result<Vec<u8>, i32> {
        let read = fs::read(self.mount(way, memory).at("a"));
        read.map_err(|error| error.raw_os_error().unwrap())
    }
}

/// The rows of the table.
const ATTACKS: [&str; 11] = [
    "flip",
    "swap",
    "reorder",
    "truncate",
    "extend",
    "cross-file",
    "edit",
    "mix",
    "exchange",
    "roll-back",
    "delete",
];

/// What storage serves instead; none where there is nothing to attack.
fn attack(name: &str, way: &Way, scene: &Scene) -> Option<Blob> {
    let (start, size) = way.units();
    let unit = |index: usize| start + index * size..start + (index + 1) * size;
    let mut blob = scene.new.clone();
    let bytes = &mut blob.bytes;
    match name {
        "flip" => bytes[start + 100] ^= 1,
        "swap" => {
            let (first, second) = bytes.split_at_mut(start + size);
            first[start..].swap_with_slice(&mut second[..size]);
        }
        "reorder" => bytes[start..start + 4 * size].rotate_left(size),
        "truncate" => {
            let tail = bytes.split_off(bytes.len() - way.behind());
            bytes.truncate(start + 3 * size);
            match way.mode {
                // Nothing is padded any more.
                Mode::CseV1(_) => bytes.extend([0; TRAILER]),
                _ => bytes.extend(tail),
            }
        }
        "extend" => {
            let copy = bytes[unit(0)].to_vec();
            bytes.splice(start..start, copy);
        }
        "cross-file" => bytes[unit(1)].copy_from_slice(&scene.other.bytes[unit(1)]),
        "mix" => bytes[unit(1)].copy_from_slice(&scene.old.bytes[unit(1)]),
        "edit" => match way.mode {
            // The clear length in the footer.
            Mode::CseV2(_) => {
                let at = bytes.len() - FOOTER + 48;
                bytes[at] ^= 1;
            }
            // Fifty of the zeros at the end become padding.
            Mode::CseV1(_) => {
                let at = bytes.len() - TRAILER;
                let padding = u64::from_be_bytes(bytes[at..].try_into().unwrap());
                bytes[at..].copy_from_slice(&(padding + 50).to_be_bytes());
            }
            Mode::CseAzure(..) => {
                let data = blob.metadata.get_mut(ENCRYPTION_DATA).unwrap();
                let edited = data.replace(&UNIT.to_string(), &(UNIT / 2).to_string());
                assert_ne!(*data, edited);
                *data = edited;
            }
            Mode::Cpk | Mode::Sse => return None,
        },
        "exchange" => blob = scene.other.clone(),
        "roll-back" => blob = scene.old.clone(),
        other => panic!("{other}"),
    }
    Some(blob)
}

fn noticed(way: &Way, scene: &Scene, name: &str) -> &'static str {
    let memory = scene.memory.snapshot();
    if name == "delete" {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let gone = memory.delete("a", &Condition::Always);
        runtime.block_on(gone).unwrap();
    } else {
        let Some(blob) = attack(name, way, scene) else {
            return "–";
        };
        assert!(blob != scene.new, "{name} changes nothing");
        put(&memory, "a", &blob);
    }
    verdict(scene.read(way, &memory), way)
}

fn verdict(read: Result<Vec<u8>, i32>, way: &Way) -> &'static str {
    match read {
        Err(libc::EIO) => "noticed",
        Err(libc::ENOENT) => "unnoticed",
        Err(errno) => panic!("{}: errno {errno}", way.name),
        Ok(content) => {
            assert!(content != way.clear(2), "the attack has no effect");
            "unnoticed"
        }
    }
}

/// A file that was written under another key.
fn noticed_key(way: &Way, scene: &Scene) -> &'static str {
    match way.mode {
        Mode::Sse => "–",
        // The service has to tell.
        Mode::Cpk => {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let code = runtime.block_on(read_under_another_customer_key());
            assert_eq!(code, Err("CR-BLOB-0009".to_owned()));
            "noticed"
        }
        _ => {
            let memory = scene.memory.snapshot();
            put(&memory, "a", &way.write(&MemoryStore::default(), "a", 2, 8));
            let reader = scene.mount(way, &memory);
            let code = refusal(&reader, "a").unwrap();
            let told = matches!(way.mode, Mode::CseV1(_)) || code == "CR-FORMAT-0004";
            assert!(told, "{}: {code}", way.name);
            assert_eq!(errno(fs::read(reader.at("a"))), libc::EIO);
            "noticed"
        }
    }
}

async fn read_under_another_customer_key() -> Result<Vec<u8>, String> {
    let world = World::start(WorldConfig::two_parties()).await.unwrap();
    let party = &world.config().parties[0];
    let https = test_support::https(&world).unwrap();
    let token = test_support::storage_token(&world, &party.name)
        .await
        .unwrap();
    let store = |key: u8| {
        let account = &party.storage_accounts[0].name;
        let endpoint = world.url(&format!("{account}.blob.core.windows.net"));
        let tokens = Arc::new(FixedToken(Token::new(token.clone())));
        let mut config = AzureConfig::new(endpoint, "data", tokens);
        let dek = Dek::from_slice(&[key; 32]).unwrap();
        config.key = Some(Arc::new(CustomerKey::new(&dek)));
        Arc::new(AzureStore::new(config, https.clone()).unwrap())
    };
    store(8).create_container().await.unwrap();
    let body = pattern(LENGTH).into();
    store(8)
        .put_blob("a", body, &Condition::Always)
        .await
        .unwrap();
    let dek = Arc::new(Dek::from_slice(&[7; 32]).unwrap());
    let fs = blob_fs::FileSystem::new(store(7), dek, Mode::Cpk, crate::room::options(true));
    read(&fs, "a").await
}

/// The table: verdicts by row and column.
fn page() -> BTreeMap<(String, String), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/tampering.md");
    let page = fs::read_to_string(path).unwrap();
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim_matches('|').split('|');
        inner.map(|cell| cell.trim().replace('`', "")).collect()
    };
    let mut lines = page.lines().skip_while(|line| !line.starts_with("| Id |"));
    let columns = cells(lines.next().unwrap());
    let mut table = BTreeMap::new();
    for line in lines.skip(1).take_while(|line| line.starts_with('|')) {
        let row = cells(line);
        assert_eq!(row.len(), columns.len(), "{line}");
        for (column, cell) in columns.iter().zip(&row).skip(2) {
            table.insert((row[0].clone(), column.clone()), cell.clone());
        }
    }
    table
}

#[test]
fn the_page_says_what_happens_to_a_file_that_storage_tampers_with() {
    let mut found: BTreeMap<(String, String), String> = BTreeMap::new();
    for way in ways() {
        let scene = Scene::of(&way);
        let mut cells = ATTACKS
            .map(|name| (name, noticed(&way, &scene, name)))
            .to_vec();
        cells.push(("key", noticed_key(&way, &scene)));
        for (row, cell) in cells {
            let place = (row.to_owned(), way.name.to_owned());
            let other = found.insert(place, cell.to_owned());
            let agree = other.is_none_or(|other| other == cell || other == "–" || cell == "–");
            assert!(agree, "{row}: {} are not alike", way.name);
            if cell == "–" && way.pinned {
                found.insert((row.to_owned(), way.name.to_owned()), "noticed".to_owned());
            }
        }
    }
    let page = page();
    let differ: Vec<_> = found
        .iter()
        .filter(|(place, cell)| page.get(*place) != Some(cell))
        .collect();
    assert!(differ.is_empty(), "{differ:#?}");
    assert_eq!(page.len(), found.len());
}
