//! Layers and an image to hash, the same on every machine.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use flate2::write::GzEncoder;
use image_layers::{Digest, Expected, Limits, hash_layer};
use serde_json::json;

const MIB: u64 = 1 << 20;

/// A layer of files of these sizes, a hundred to a directory.
pub(crate) fn write_layer<W: Write>(to: W, seed: u64, sizes: &[u64]) -> Result<W> {
    let mut tar = tar::Builder::new(to);
    for (index, size) in sizes.iter().enumerate() {
        let mut header = tar::Header::new_ustar();
        header.set_size(*size);
        header.set_mode(0o644);
        let path = format!("d{:03}/f{index:05}", index / 100);
        let content = Content {
            state: seed ^ (index as u64) << 32,
            block: Vec::new(),
            at: 0,
        };
        tar.append_data(&mut header, path, content.take(*size))?;
    }
    Ok(tar.into_inner()?)
}

/// An image of three gzip layers of 512 MiB; its layout and its layers' blobs.
pub(crate) fn write_image(layout: &Path) -> Result<(PathBuf, Vec<PathBuf>)> {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let (mut layers, mut diff_ids, mut paths) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 2..5 {
        let path = blobs.join("new");
        let encoder = GzEncoder::new(
            BufWriter::new(File::create(&path)?),
            flate2::Compression::new(4),
        );
        write_layer(encoder, seed, &[4 * MIB; 128])?
            .finish()?
            .flush()?;
        let hash = hash_layer(File::open(&path)?, &Expected::default(), &Limits::default())?;
        let place = blobs.join(hash.blob.hex());
        fs::rename(path, &place)?;
        layers.push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": hash.blob.to_string(),
            "size": hash.blob_size,
        }));
        diff_ids.push(hash.diff_id.to_string());
        paths.push(place);
    }
    let document = |media_type: &str, content: serde_json::Value| -> Result<serde_json::Value> {
        let bytes = content.to_string().into_bytes();
        let digest = Digest::of(&bytes);
        fs::write(blobs.join(digest.hex()), &bytes)?;
        Ok(json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() }))
    };
    let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    let config = document("application/vnd.oci.image.config.v1+json", config)?;
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
    let manifest = document("application/vnd.oci.image.manifest.v1+json", manifest)?;
    fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string())?;
    Ok((layout.to_owned(), paths))
}

/// Bytes that compress to a third, as programs do: a quarter random, the rest from a small alphabet.
struct Content {
    state: u64,
    block: Vec<u8>,
    at: usize,
}

impl Content {
    fn word(&mut self) -> [u8; 8] {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27))
            .wrapping_mul(0x94d0_49bb_1331_11eb)
            .to_le_bytes()
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at >= self.block.len() {
            self.block.clear();
            for index in 0..512 {
                let word = self.word();
                let [kind, ..] = word;
                match index % 4 {
                    0 => self.block.extend_from_slice(&word),
                    _ => self.block.extend([kind % 16; 8]),
                }
            }
            self.at = 0;
        }
        let read = self.block.get(self.at..).unwrap_or_default().read(buffer)?;
        self.at += read;
        Ok(read)
    }
}
