//! The cache of root hashes: when it is used, when not, and by how many at once.
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

use std::fs;

use image_layers::{Cache, Cached, Digest, HashedLayer, ImageError, Settings};

use crate::common::draft::{draft, hash, hash_with, layers};

#[test]
fn the_cache_spares_reading_and_survives_damage() {
    let draft = draft(|_| {});
    let folder = draft.write();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("cache");
    let cache = Cache::open(&path).unwrap();
    let settings = Settings {
        cache: Some(&cache),
        ..Settings::default()
    };
    let cold = hash_with(folder.path(), &settings).unwrap();
    assert!(cold.iter().all(|layer| layer.cached == Cached::Miss));

    // Warm: the layers need not be there.
    for tar in layers() {
        fs::remove_file(
            folder
                .path()
                .join("blobs/sha256")
                .join(Digest::of(&tar).hex()),
        )
        .unwrap();
    }
    let warm = hash_with(folder.path(), &settings).unwrap();
    for (cold, warm) in cold.iter().zip(&warm) {
        assert_eq!(warm.root_hash, cold.root_hash);
        assert_eq!(warm.cached, Cached::Hit(cold.root_hash));
    }

    let entry = |layer: &HashedLayer| path.join(image_layers::CONVERTER).join(layer.diff_id.hex());
    let good = fs::read(entry(&cold[0])).unwrap();
    // One digit of the hash; another layer's entry; nothing; too much.
    let mut digit = good.clone();
    let at = good
        .windows(10)
        .position(|part| part == b"root-hash ")
        .unwrap()
        + 12;
    digit[at] = if digit[at] == b'0' { b'1' } else { b'0' };
    let others = fs::read(entry(&cold[1])).unwrap();
    let longer = [good.as_slice(), b"\n"].concat();
    for damaged in [digit, others, Vec::new(), vec![0xff; 10_000], longer] {
        fs::write(entry(&cold[0]), damaged).unwrap();
        assert_eq!(cache.get(&cold[0].diff_id), Cached::Damaged);
        let error = hash_with(folder.path(), &settings).unwrap_err();
        assert!(
            matches!(error, ImageError::Missing { .. }),
            "the damaged entry was used: {error:?}"
        );
    }
    let again = hash_with(draft.write().path(), &settings).unwrap();
    assert_eq!(again[0].cached, Cached::Damaged);
    assert_eq!(cache.get(&cold[0].diff_id), Cached::Hit(cold[0].root_hash));
}

#[test]
fn a_cache_that_others_could_write_is_refused() {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("cache");
    Cache::open(&path).unwrap();
    let inner = path.join(image_layers::CONVERTER);
    for part in [&path, &inner] {
        for mode in [0o770, 0o702] {
            fs::set_permissions(part, fs::Permissions::from_mode(mode)).unwrap();
            let error = Cache::open(&path).unwrap_err();
            assert!(matches!(error, ImageError::CacheUnsafe { .. }), "{error:?}");
        }
        fs::set_permissions(part, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let link = home.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(matches!(
        Cache::open(&link),
        Err(ImageError::CacheUnsafe { .. })
    ));
    // The tests run as root.
    chown(&path, Some(65_534), None).unwrap();
    assert!(matches!(
        Cache::open(&path),
        Err(ImageError::CacheUnsafe { .. })
    ));
}

#[test]
fn runs_at_the_same_time_share_a_cache() {
    let home = tempfile::tempdir().unwrap();
    let cache = Cache::open(&home.path().join("cache")).unwrap();
    let folder = draft(|_| {}).write();
    let expected = hash(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let settings = Settings {
                    cache: Some(&cache),
                    ..Settings::default()
                };
                for _ in 0..20 {
                    let hashed = hash_with(folder.path(), &settings).unwrap();
                    for (got, expected) in hashed.iter().zip(&expected) {
                        assert_eq!(got.root_hash, expected.root_hash);
                        assert_ne!(got.cached, Cached::Damaged);
                    }
                    for layer in &hashed {
                        cache.put(&layer.diff_id, &layer.root_hash).unwrap();
                    }
                }
            });
        }
    });
    // Nothing is left beside the entries.
    let names = fs::read_dir(home.path().join("cache").join(image_layers::CONVERTER)).unwrap();
    assert_eq!(names.count(), 2);
}
