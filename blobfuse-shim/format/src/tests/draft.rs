//! Writing anywhere in a file of format v2, commit by commit.

use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy;

use super::{SMALL, dek, pattern, read, read_range, size};
use crate::v2::{Draft, SealedExtent};
use crate::{Attributes, FormatError, View};

/// A store and a writer of one file: the blob's extents as they were sealed last, and what was committed.
struct File {
    draft: Draft,
    extents: Vec<Vec<u8>>,
    clear: Vec<u8>,
}

impl File {
    fn create() -> Self {
        Self {
            draft: Draft::create(&dek(), SMALL, None).unwrap(),
            extents: Vec::new(),
            clear: Vec::new(),
        }
    }

    /// Seals the extents that a change of the clear bytes touches, and commits.
    fn commit(&mut self, clear: Vec<u8>) -> (Vec<u8>, View) {
        let unit = size(SMALL.extent());
        let old: Vec<&[u8]> = self.clear.chunks(unit).collect();
        for (index, clear) in clear.chunks(unit).enumerate() {
            if old.get(index) != Some(&clear) {
                let (sealed, extent) = seal(&self.draft, index as u64, clear);
                self.draft.place(extent).unwrap();
                self.extents
                    .resize(self.extents.len().max(index + 1), Vec::new());
                self.extents[index] = sealed;
            }
        }
        self.extents.truncate(clear.len().div_ceil(unit));
        let length = clear.len() as u64;
        let committed = self.draft.commit(length, Attributes::default()).unwrap();
        self.clear = clear;
        let view = self.draft.view(&committed).unwrap();
        let parts = [
            self.draft.header().to_vec(),
            self.extents.concat(),
            committed.tail,
        ];
        (parts.concat(), view)
    }
}

fn seal(draft: &Draft, index: u64, clear: &[u8]) -> (Vec<u8>, SealedExtent) {
    let mut sealed = vec![0; size(SMALL.sealed_len(clear.len() as u64))];
    let extent = draft.seal(index, clear, &mut sealed).unwrap();
    (sealed, extent)
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, usize, u8),
    SetLen(usize),
    Reopen,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (0..40_000_usize, 1..9000_usize, 1..255_u8).prop_map(|(at, n, byte)| Change::Write(at, n, byte)),
        2 => (0..40_000_usize).prop_map(Change::SetLen),
        1 => proptest::strategy::Just(Change::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_file_equals_its_model_after_any_changes(changes in proptest::collection::vec(change(), 1..10)) {
        let mut file = File::create();
        for (generation, change) in (1..).zip(changes) {
            let mut clear = file.clear.clone();
            match change {
                Change::Write(at, length, byte) => {
                    clear.resize(clear.len().max(at + length), 0);
                    clear[at..at + length].fill(byte);
                }
                Change::SetLen(length) => clear.resize(length, 0),
                Change::Reopen => {}
            }
            let (blob, view) = file.commit(clear);
            prop_assert_eq!(blob.len() as u64, SMALL.blob_len(file.clear.len() as u64).unwrap());
            prop_assert!(read(&blob, None).unwrap() == file.clear);
            prop_assert_eq!(view.footer().generation, generation);
            prop_assert!(read_range(&view, &blob, 0..view.len()).unwrap() == file.clear);
            if matches!(change, Change::Reopen) {
                let opened = View::open(&dek(), blob.len() as u64, &blob, None).unwrap();
                prop_assert_eq!(opened.footer(), view.footer());
                file.draft = opened.edit();
            }
        }
    }
}

#[test]
fn an_extent_is_sealed_under_another_key_each_time() {
    let draft = Draft::create(&dek(), SMALL, None).unwrap();
    let ((a, _), (b, _)) = (seal(&draft, 0, b"same"), seal(&draft, 0, b"same"));
    assert_ne!(a, b);
}

#[test]
fn a_commit_without_all_of_its_extents_is_refused_and_changes_nothing() {
    let mut draft = Draft::create(&dek(), SMALL, None).unwrap();
    let incomplete = |extent| Err(FormatError::Incomplete { extent });
    let commit = |draft: &mut Draft, length| {
        draft
            .commit(length, Attributes::default())
            .map(|committed| committed.footer.generation)
    };
    let (_, second) = seal(&draft, 1, &pattern(100));
    draft.place(second).unwrap();
    assert_eq!(commit(&mut draft, 8292), incomplete(0));
    let (_, first) = seal(&draft, 0, &pattern(8191));
    draft.place(first).unwrap();
    assert_eq!(commit(&mut draft, 8292), incomplete(0), "not filled");
    let (_, first) = seal(&draft, 0, &pattern(8192));
    draft.place(first).unwrap();
    assert_eq!(commit(&mut draft, 8291), incomplete(1), "another length");
    assert_eq!(commit(&mut draft, 16_385), incomplete(1));
    assert_eq!(commit(&mut draft, 8292), Ok(1));
    // What a truncation cut off is gone.
    assert_eq!(commit(&mut draft, 8192), Ok(2));
    assert_eq!(commit(&mut draft, 8292), incomplete(1));
    assert_eq!(commit(&mut draft, 0), Ok(3));
    assert_eq!(commit(&mut draft, u64::MAX), Err(FormatError::TooLarge));
}

#[test]
fn an_extent_of_another_file_is_refused() {
    let (mut a, b) = (File::create(), File::create());
    let (_, extent) = seal(&b.draft, 0, b"b");
    let error = FormatError::Buffer("of another file");
    assert_eq!(a.draft.place(extent), Err(error));
    let (_, far) = seal(&a.draft, u64::MAX, b"a");
    assert_eq!(a.draft.place(far), Err(FormatError::TooLarge));
}

#[test]
fn a_view_of_a_commit_that_is_no_longer_the_last_is_refused() {
    let mut draft = Draft::create(&dek(), SMALL, None).unwrap();
    let (_, first) = seal(&draft, 0, b"first");
    draft.place(first).unwrap();
    let committed = draft.commit(5, Attributes::default()).unwrap();
    draft.view(&committed).unwrap();
    let (_, other) = seal(&draft, 0, b"other");
    draft.place(other).unwrap();
    let stale = draft.view(&committed).unwrap_err();
    assert_eq!(stale, FormatError::Incomplete { extent: 0 });
}

#[test]
fn buffers_of_other_lengths_are_refused() {
    let draft = Draft::create(&dek(), SMALL, None).unwrap();
    for (clear, sealed) in [(0, 16), (8193, 8193 + 48), (5, 20), (5, 22), (4097, 4113)] {
        let outcome = draft.seal(0, &pattern(clear), &mut vec![0; sealed]);
        assert!(matches!(outcome, Err(FormatError::Buffer(_))), "{clear}");
    }
    let (blob, view) = File::create().commit(pattern(5000));
    let plan = view.plan(0..5000).unwrap();
    let sealed = &blob[..size(plan.sealed.end)];
    let short = view.open_into(&plan, &sealed[1..], &mut [0; 5000]);
    let wanted = sealed.len() as u64;
    let got = wanted - 1;
    assert_eq!(short, Err(FormatError::Fetched { wanted, got }));
    let small = view.open_into(&plan, sealed, &mut [0; 4999]);
    assert!(matches!(small, Err(FormatError::Buffer(_))));
}

#[test]
fn a_renamed_file_is_bound_to_its_new_path() {
    let mut draft = Draft::create(&dek(), SMALL, Some("old")).unwrap();
    let mut blob = |path: Option<&str>| {
        if let Some(path) = path {
            draft.rename(path);
        }
        let tail = draft.commit(0, Attributes::default()).unwrap().tail;
        [draft.header().to_vec(), tail].concat()
    };
    let (old, new) = (blob(None), blob(Some("new")));
    assert_eq!(read(&old, Some("old")).unwrap(), b"");
    assert_eq!(read(&new, Some("old")), Err(FormatError::Name));
    assert_eq!(read(&new, Some("new")).unwrap(), b"");
}

#[test]
fn a_draft_goes_on_with_what_another_one_sealed_under_the_same_file_id() {
    let unit = size(SMALL.extent());
    let clear = pattern(2 * unit + 5);
    let first = Draft::create(&dek(), SMALL, Some("a")).unwrap();
    let (begun, earlier) = seal(&first, 0, &clear[..unit]);
    let salt = earlier.salt();
    let finish = |salt| {
        let mut draft = Draft::resume(&dek(), SMALL, Some("a"), first.file_id()).unwrap();
        assert_eq!(draft.header(), first.header());
        draft.place_earlier(0, SMALL.extent(), salt).unwrap();
        let mut blob = [draft.header().as_slice(), &begun].concat();
        for index in [1, 2] {
            let end = clear.len().min((index + 1) * unit);
            let (sealed, extent) = seal(&draft, index as u64, &clear[index * unit..end]);
            draft.place(extent).unwrap();
            blob.extend(sealed);
        }
        let length = clear.len() as u64;
        let committed = draft.commit(length, Attributes::default()).unwrap();
        blob.extend(committed.tail);
        View::open(&dek(), blob.len() as u64, &blob, Some("a"))
            .and_then(|view| read_range(&view, &blob, 0..length))
    };
    assert_eq!(finish(salt).unwrap(), clear);
    let wrong = finish([9; 16]);
    assert_eq!(wrong, Err(FormatError::Content { offset: 0 }));

    let mut draft = Draft::resume(&dek(), SMALL, Some("a"), first.file_id()).unwrap();
    let far = draft.place_earlier(u64::MAX, 1, salt);
    assert_eq!(far, Err(FormatError::TooLarge));
    draft.place_earlier(0, 5, salt).unwrap();
    let short = draft.commit(SMALL.extent(), Attributes::default());
    assert!(matches!(short, Err(FormatError::Incomplete { extent: 0 })));
}
