//! Any operations on the file system give what they give on a map from paths to bytes.

use std::collections::BTreeMap;

use proptest::prelude::{
    ProptestConfig, TestCaseError, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use proptest::strategy::Strategy;

use super::{Fixture, SMALL, bytes, find, fixture, list, mount, read_file};
use crate::{Changes, FsError, Mode, ROOT};

const NAMES: [&str; 3] = ["a", "b", "long name ü"];

#[derive(Clone, Debug)]
enum Op {
    Create(usize),
    /// Opens, appends so many bytes in pieces, maybe syncs in between, and closes.
    Append(usize, usize, bool),
    Truncate(usize),
    /// Overwrites bytes near the end while the file is open, after appending.
    Patch(usize, usize, usize),
    Read(usize, usize, usize),
    Unlink(usize),
    Rename(usize, usize),
    Remount,
}

fn op() -> impl Strategy<Value = Op> {
    let name = || 0..NAMES.len();
    prop_oneof![
        3 => name().prop_map(Op::Create),
        4 => (name(), 0..30_000_usize, proptest::bool::ANY).prop_map(|(n, l, s)| Op::Append(n, l, s)),
        1 => name().prop_map(Op::Truncate),
        2 => (name(), 0..9000_usize, 0..9000_usize).prop_map(|(n, b, l)| Op::Patch(n, b, l)),
        3 => (name(), 0..40_000_usize, 0..20_000_usize).prop_map(|(n, o, l)| Op::Read(n, o, l)),
        1 => name().prop_map(Op::Unlink),
        1 => (name(), name()).prop_map(|(a, b)| Op::Rename(a, b)),
        1 => proptest::strategy::Just(Op::Remount),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_file_system_equals_a_map_of_bytes(
        ops in proptest::collection::vec(op(), 1..14),
        cpk in proptest::bool::ANY,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(ops, if cpk { Mode::Cpk } else { SMALL }))?;
    }
}

async fn run(ops: Vec<Op>, mode: Mode) -> Result<(), TestCaseError> {
    let Fixture { mut fs, memory, .. } = fixture(mode);
    let mut model: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for (step, op) in ops.into_iter().enumerate() {
        let seed = u8::try_from(step).unwrap();
        match op {
            Op::Create(n) => {
                let created = fs.create(ROOT, NAMES[n]).await;
                if model.contains_key(NAMES[n]) {
                    prop_assert_eq!(created.unwrap_err(), FsError::Exists);
                } else {
                    let (_, opened) = created.unwrap();
                    fs.flush(opened.handle).await.unwrap();
                    fs.release(opened.handle).await.unwrap();
                    model.insert(NAMES[n], Vec::new());
                }
            }
            Op::Append(n, length, sync) => {
                let Some(content) = model.get_mut(NAMES[n]) else {
                    prop_assert_eq!(find(&fs, NAMES[n]).await.unwrap_err(), FsError::NotFound);
                    continue;
                };
                let ino = find(&fs, NAMES[n]).await.unwrap().ino;
                let handle = fs.open(ino, true, false).await.unwrap().handle;
                prop_assert_eq!(fs.open(ino, true, false).await.unwrap_err(), FsError::Busy);
                for part in bytes(length, seed).chunks(4000) {
                    fs.write(handle, content.len() as u64, part).await.unwrap();
                    content.extend(part);
                    if sync {
                        fs.flush(handle).await.unwrap();
                    }
                    prop_assert_eq!(fs.attributes(ino).await.unwrap().size, content.len() as u64);
                }
                fs.flush(handle).await.unwrap();
                fs.release(handle).await.unwrap();
            }
            Op::Truncate(n) => {
                if let Some(content) = model.get_mut(NAMES[n]) {
                    let ino = find(&fs, NAMES[n]).await.unwrap().ino;
                    let changes = Changes {
                        size: Some(0),
                        ..Changes::default()
                    };
                    prop_assert_eq!(fs.set_attributes(ino, changes).await.unwrap().size, 0);
                    content.clear();
                }
            }
            Op::Patch(n, back, length) => {
                let Some(content) = model.get_mut(NAMES[n]) else {
                    continue;
                };
                let ino = find(&fs, NAMES[n]).await.unwrap().ino;
                let handle = fs.open(ino, true, false).await.unwrap().handle;
                let offset = content.len().saturating_sub(back);
                let data = bytes(length, seed);
                match fs.write(handle, offset as u64, &data).await {
                    Ok(()) => {
                        content.resize(content.len().max(offset + length), 0);
                        content[offset..offset + length].copy_from_slice(&data);
                    }
                    Err(error) => prop_assert_eq!(error.errno(), libc::ENOTSUP),
                }
                fs.flush(handle).await.unwrap();
                fs.release(handle).await.unwrap();
            }
            Op::Read(n, offset, length) => {
                let Some(content) = model.get(NAMES[n]) else {
                    continue;
                };
                let ino = find(&fs, NAMES[n]).await.unwrap().ino;
                let handle = fs.open(ino, false, false).await.unwrap().handle;
                let read = fs.read(handle, offset as u64, length as u64).await.unwrap();
                let end = content.len().min(offset + length);
                prop_assert!(read == content.get(offset..end).unwrap_or_default());
                fs.release(handle).await.unwrap();
            }
            Op::Unlink(n) => {
                let gone = fs.unlink(ROOT, NAMES[n]).await;
                prop_assert_eq!(gone.is_ok(), model.remove(NAMES[n]).is_some());
            }
            Op::Rename(a, b) => {
                let renamed = fs.rename((ROOT, NAMES[a]), (ROOT, NAMES[b]), true).await;
                if a == b {
                    prop_assert!(renamed.is_ok());
                } else if let Some(content) = model.remove(NAMES[a]) {
                    renamed.unwrap();
                    model.insert(NAMES[b], content);
                } else {
                    prop_assert_eq!(renamed.unwrap_err(), FsError::NotFound);
                }
            }
            Op::Remount => fs = mount(&memory, mode, 7, false),
        }
    }
    let sealed = fs.seal().await.unwrap();
    prop_assert_eq!(sealed.files, model.len());
    prop_assert_eq!(
        sealed.bytes,
        model
            .values()
            .map(|content| content.len() as u64)
            .sum::<u64>()
    );
    let reader = mount(&memory, mode, 7, true);
    let mut names: Vec<_> = model.keys().copied().collect();
    names.sort_unstable();
    prop_assert_eq!(list(&reader, "").await, names);
    for (name, content) in &model {
        prop_assert_eq!(
            find(&reader, name).await.unwrap().size,
            content.len() as u64
        );
        prop_assert!(read_file(&reader, name).await.unwrap() == *content);
    }
    Ok(())
}
