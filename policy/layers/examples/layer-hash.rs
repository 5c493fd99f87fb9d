//! Prints the digest and the root hash of every layer of a layer's tar, an image archive or an OCI layout.
//!
//! `layer-hash PATH [OS/ARCHITECTURE]`; with `--image FILE` after a plain layer's path its ext4 image is written there.

#![allow(clippy::print_stdout, reason = "the output of a command")]

use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image_layers::source::{Input, Platform, Wanted, open_path};
use image_layers::{Expected, Limits, Settings, hash_image, hash_layer, write_image};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, platform) = match arguments.as_slice() {
        [path] => (path, Platform::linux_amd64()),
        [path, flag, image] if flag == "--image" => {
            let tar = BufReader::new(File::open(path)?);
            write_image(tar, &File::create_new(image)?, &Limits::default())?;
            return Ok(());
        }
        [path, platform] => (path, platform.parse()?),
        _ => return Err("usage: layer-hash PATH [OS/ARCHITECTURE | --image FILE]".into()),
    };
    match open_path(Path::new(path))? {
        Input::Layer(file) => {
            let hash = hash_layer(file, &Expected::default(), &Limits::default())?;
            println!("{} {}", hash.diff_id, hash.root_hash);
        }
        Input::Images(source) => {
            let image = source.image(&Wanted {
                platform,
                name: None,
            })?;
            for layer in hash_image(source.as_ref(), &image, &Settings::default())? {
                println!("{} {}", layer.diff_id, layer.root_hash);
            }
        }
    }
    Ok(())
}
