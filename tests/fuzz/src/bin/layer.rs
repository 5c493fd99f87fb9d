//! Layers of images: a blob of any bytes, or a tar whose entries are the fuzzer's, plain, gzip and zstd.
#![no_main]

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use ext4_view::{Ext4, Ext4Error, FileType};
use flate2::write::GzEncoder;
use fuzz::{tarball, within};
use image_layers::{
    Compression, Digest, Expected, LayerError, LayerHash, Limits, hash_layer, write_image,
};
use libfuzzer_sys::fuzz_target;
use nix::sys::memfd::{MFdFlags, memfd_create};
use sha2::{Digest as _, Sha256};

/// The pieces that the threads hand to each other, whatever the layer is.
const PIECES: usize = 12 << 20;
const BLOCK: usize = 4096;
/// Images up to this are read again by others.
const READ: u64 = 2 << 20;

const LIMITS: Limits = Limits {
    entries: 5000,
    // Files of more than four extents fit.
    bytes: 768 << 20,
    path: 4096,
    attributes: 1 << 20,
};

thread_local! {
    static IMAGE: RefCell<File> =
        RefCell::new(memfd_create("image", MFdFlags::MFD_CLOEXEC).unwrap().into());
}

fuzz_target!(|input: &[u8]| {
    let Some((mode, input)) = input.split_first() else {
        return;
    };
    let step = 1 + usize::from(mode >> 4) * 97;
    if mode & 3 == 0 {
        // As it is, in whichever of the three forms it says it is.
        let whole = hash(input, &Expected::default());
        assert_eq!(
            told(&hash(Steps(input, step), &Expected::default())),
            told(&whole)
        );
        return;
    }
    let tar = tarball::tar(input, usize::from(mode >> 2 & 3));
    // A name may begin as a compressed blob does.
    let as_tar = Expected {
        compression: Some(Compression::None),
        ..Expected::default()
    };
    let plain = hash(tar.as_slice(), &as_tar);
    image(&tar, &plain);
    let packed = match mode & 3 {
        1 => tar.clone(),
        2 => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&tar).unwrap();
            encoder.finish().unwrap()
        }
        _ => zstd::encode_all(tar.as_slice(), 1).unwrap(),
    };
    let compression =
        [Compression::None, Compression::Gzip, Compression::Zstd][usize::from(mode & 3) - 1];
    let expected = Expected {
        compression: Some(compression),
        blob: Some(Digest::of(&packed)),
        size: Some(packed.len() as u64),
        diff_id: Some(Digest::of(&tar)),
    };
    // However it is packed, and in whatever pieces it comes: the same layer, or the same refusal.
    let again = hash(Steps(&packed, step), &expected);
    match (&plain, &again) {
        (Ok(plain), Ok(again)) => {
            assert_eq!(again.root_hash, plain.root_hash);
            assert_eq!(again.diff_id, plain.diff_id);
            assert_eq!(again.blob, Digest::of(&packed));
            assert_eq!(again.compression, compression);
        }
        (Err(plain), Err(again)) => assert_eq!(again.to_string(), plain.to_string()),
        (plain, again) => panic!("{plain:?}, then {again:?}"),
    }
    // Another layer than was announced is none.
    let other = Expected {
        diff_id: Some(Digest::of(b"another")),
        ..expected
    };
    assert!(hash(packed.as_slice(), &other).is_err());
    if let Ok(plain) = plain {
        // What follows the end of a tar counts for its digest, not for its content.
        let longer = [tar.as_slice(), &[0; 1024], b"more"].concat();
        let hash = hash(longer.as_slice(), &as_tar).unwrap();
        assert_eq!(hash.root_hash, plain.root_hash);
        assert_eq!(hash.diff_id, Digest::of(&longer));
    }
});

fn hash(source: impl Read + Send, expected: &Expected) -> Result<LayerHash, LayerError> {
    // 32 bytes for each block of the image, and as much again while they grow and are hashed.
    let most = PIECES + usize::try_from(LIMITS.bytes).unwrap() / BLOCK * 32 * 3;
    within(most, || hash_layer(source, expected, &LIMITS))
}

/// What a layer is, or why it is none.
fn told(hash: &Result<LayerHash, LayerError>) -> String {
    match hash {
        Ok(hash) => format!("{hash:?}"),
        Err(error) => format!("{} {error}", error.code()),
    }
}

/// The image that is written is the one that is hashed, and another reader finds a file system in it.
fn image(tar: &[u8], hash: &Result<LayerHash, LayerError>) {
    IMAGE.with_borrow(|file| {
        file.set_len(0).unwrap();
        let length = match (write_image(tar, file, &LIMITS), hash) {
            (Ok(length), Ok(_)) => length,
            (Err(written), Err(hashed)) => {
                assert_eq!(written.to_string(), hashed.to_string());
                return;
            }
            (written, hashed) => panic!("{written:?}, but {hashed:?}"),
        };
        let hash = hash.as_ref().unwrap();
        assert_eq!(hash.image_size, length);
        assert_eq!(hash.diff_id, Digest::of(tar));
        if length > READ {
            return;
        }
        let mut image = vec![0; usize::try_from(length).unwrap()];
        file.read_exact_at(&mut image, 0).unwrap();
        assert_eq!(verity(&image), hash.root_hash.to_string());
        // The reference writes times before 1901 in a way that only it reads.
        if let Err(error) = walk(image) {
            assert!(format!("{error:?}").contains("InodeTimestamp"), "{error:?}");
        }
    });
}

/// dm-verity once more, level by level.
fn verity(image: &[u8]) -> String {
    let mut level = image.to_vec();
    loop {
        let hash = |block: &[u8]| {
            let mut padded = block.to_vec();
            padded.resize(BLOCK, 0);
            Sha256::digest([&[0; 32], padded.as_slice()].concat())
        };
        level = level.chunks(BLOCK).flat_map(hash).collect();
        if level.len() == 32 {
            return hex::encode(level);
        }
    }
}

/// Reads every directory and every file.
fn walk(image: Vec<u8>) -> Result<(), Ext4Error> {
    let files = Ext4::load(Box::new(image))?;
    let mut waiting = vec![ext4_view::PathBuf::new("/")];
    while let Some(path) = waiting.pop() {
        let metadata = files.symlink_metadata(&path)?;
        match metadata.file_type() {
            FileType::Directory => {
                for entry in files.read_dir(&path)? {
                    let entry = entry?;
                    let name = entry.file_name();
                    if name != "." && name != ".." {
                        waiting.push(path.join(name));
                    }
                }
            }
            FileType::Regular => {
                let content = files.read(&path)?;
                assert_eq!(content.len() as u64, metadata.len());
            }
            // The reference makes links to nowhere too, which no reader follows.
            FileType::Symlink if metadata.len() == 0 => {}
            FileType::Symlink => drop(files.read_link(&path)?),
            _ => {}
        }
    }
    Ok(())
}

/// Gives its bytes in pieces, and is interrupted now and then.
struct Steps<'a>(&'a [u8], usize);

impl Read for Steps<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.1.min(buffer.len());
        if self.0.len() % 7 == 1 && most > 1 {
            self.1 -= 1;
            return Err(io::ErrorKind::Interrupted.into());
        }
        buffer[..most.min(self.0.len())].copy_from_slice(&self.0[..most.min(self.0.len())]);
        let read = most.min(self.0.len());
        self.0 = &self.0[read..];
        Ok(read)
    }
}
