//! Many small files. fio cannot time opening, writing and closing as one, so this is done here.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::ensure;

const FILES: usize = 1000;
const LENGTH: usize = 4096;

/// Makes all files; returns files per second.
pub(crate) fn create(directory: &Path) -> anyhow::Result<f64> {
    let content = [0x5a; LENGTH];
    each(|n| {
        File::create(directory.join(name(n)))?.write_all(&content)?;
        Ok(())
    })
}

/// Reads them all.
pub(crate) fn read(directory: &Path) -> anyhow::Result<f64> {
    let mut content = [0; LENGTH];
    each(|n| {
        File::open(directory.join(name(n)))?.read_exact(&mut content)?;
        ensure!(content == [0x5a; LENGTH], "other content");
        Ok(())
    })
}

/// Removes them all.
pub(crate) fn remove(directory: &Path) -> anyhow::Result<f64> {
    each(|n| Ok(fs::remove_file(directory.join(name(n)))?))
}

fn name(n: usize) -> String {
    format!("small-{n}")
}

fn each(mut work: impl FnMut(usize) -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let began = Instant::now();
    for n in 0..FILES {
        work(n)?;
    }
    Ok(FILES as f64 / began.elapsed().as_secs_f64())
}
