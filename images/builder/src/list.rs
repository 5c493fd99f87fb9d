//! The list of images to build.
use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ImageError;

/// Input of [`build`](crate::build).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ImageList {
    /// The images.
    pub images: Vec<ImageSpec>,
}

/// One image: a binary and what it needs beside it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// Name of the image and of its repository; lower case letters, digits, `-`.
    pub name: String,
    /// The program on this machine; an ELF file, static unless its loader is among `files`.
    pub binary: PathBuf,
    /// Program path in the image and leading arguments; `["/<name>"]` when empty.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    /// `<uid>` or `<uid>:<gid>`; root when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// More files.
    #[serde(default)]
    pub files: Vec<ExtraFile>,
    /// Empty directories, for mount points and `/tmp`.
    #[serde(default)]
    pub directories: Vec<Directory>,
}

/// A file beside the program.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExtraFile {
    /// On this machine.
    pub source: PathBuf,
    /// In the image, absolute.
    pub target: String,
    /// Permission bits; 0o644 when absent.
    #[serde(default = "plain_file")]
    pub mode: u32,
    /// Hex SHA-256 that the content must have; for files that others built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

fn plain_file() -> u32 {
    0o644
}

/// An empty directory.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// In the image, absolute.
    pub target: String,
    /// Permission bits; 0o755 when absent.
    #[serde(default = "plain_directory")]
    pub mode: u32,
}

fn plain_directory() -> u32 {
    0o755
}

impl ImageList {
    /// Names fit for repositories, each once; users numeric.
    pub(crate) fn check(&self) -> Result<(), ImageError> {
        let mut seen = BTreeSet::new();
        for image in &self.images {
            let refused = |reason| ImageError::Name {
                name: image.name.clone(),
                reason,
            };
            let plain = image
                .name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !plain
                || image.name.is_empty()
                || image.name.len() > 63
                || image.name.starts_with('-')
            {
                return Err(refused("lower case letters, digits and '-', at most 63"));
            }
            if !seen.insert(&image.name) {
                return Err(refused("used twice"));
            }
            if let Some(user) = &image.user {
                let number = |text: &str| text.parse::<u32>().is_ok();
                if !user.splitn(2, ':').all(number) {
                    return Err(ImageError::User {
                        image: image.name.clone(),
                        user: user.clone(),
                    });
                }
            }
        }
        Ok(())
    }
}

impl ImageSpec {
    /// The entry point with its default filled in.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        if self.entrypoint.is_empty() {
            vec![format!("/{}", self.name)]
        } else {
            self.entrypoint.clone()
        }
    }
}
