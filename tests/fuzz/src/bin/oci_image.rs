//! Image indexes, manifests and configurations, in OCI's and Docker's types. The documents stand one after the other, a NUL
//! between them; `@n` in one is the digest of the n-th after it, and `#n` its size.
#![no_main]

use std::collections::BTreeMap;
use std::io::Read;

use fuzz::{bounded, whole};
use image_layers::source::{Blobs, Image, ImageSource, OciImages, Platform, Wanted};
use image_layers::{Digest, ImageError};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Documents of one input.
const MOST: usize = 12;

#[derive(Debug)]
struct Store {
    top: Vec<u8>,
    blobs: BTreeMap<Digest, Vec<u8>>,
    /// Gives the wrong bytes for this one.
    liar: Option<Digest>,
}

impl Blobs for Store {
    fn top(&self) -> Result<Vec<u8>, ImageError> {
        Ok(self.top.clone())
    }

    fn blob(&self, digest: &Digest) -> Result<Box<dyn Read + Send + '_>, ImageError> {
        let blob = self.blobs.get(digest).ok_or_else(|| ImageError::Missing {
            what: digest.to_string(),
        })?;
        let changed: &[u8] = if self.liar == Some(*digest) {
            b" "
        } else {
            b""
        };
        Ok(Box::new(changed.chain(blob.as_slice())))
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, input)) = input.split_first() else {
        return;
    };
    let mut documents: Vec<Vec<u8>> = Vec::new();
    for text in input
        .split(|byte| *byte == 0)
        .take(MOST)
        .collect::<Vec<_>>()
        .iter()
        .rev()
    {
        documents.push(filled(text, &documents));
    }
    let Some(top) = documents.pop() else {
        return;
    };
    let mut blobs: BTreeMap<_, _> = documents
        .into_iter()
        .map(|it| (Digest::of(&it), it))
        .collect();
    // A registry's manifest may be reached from an index as well.
    blobs.insert(Digest::of(&top), top.clone());
    let all: Vec<u8> = blobs.values().flatten().copied().collect();
    let wanted = Wanted {
        platform: Platform {
            os: "linux".to_owned(),
            architecture: if choice & 1 == 0 { "amd64" } else { "arm64" }.to_owned(),
            variant: (choice & 2 != 0).then(|| "v8".to_owned()),
        },
        name: (choice & 4 != 0).then(|| "app".to_owned()),
    };
    let mut source = OciImages(Store {
        top,
        blobs,
        liar: None,
    });
    let found = bounded(&all, 256, || source.image(&wanted));
    // Asked again it says the same.
    match (&found, source.image(&wanted)) {
        (Ok(found), Ok(again)) => assert_eq!(format!("{again:?}"), format!("{found:?}")),
        (Err(found), Err(again)) => assert_eq!(again.to_string(), found.to_string()),
        (found, again) => panic!("{found:?}, then {again:?}"),
    }
    if let Ok(image) = found {
        check(&image, &source.0, &wanted);
        // Nothing is an image of which a document has other bytes than its digest says.
        source.0.liar = Some(image.config_digest);
        source.image(&wanted).unwrap_err();
    }
});

/// A document, with what it says of later ones.
fn filled(text: &[u8], later: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((letter, after)) = rest.split_first() {
        let number = after.first().filter(|digit| digit.is_ascii_digit());
        let which = number.map(|digit| usize::from(digit - b'0'));
        let named = which.and_then(|which| later.get(later.len().checked_sub(which)?));
        match (letter, named) {
            (b'@', Some(document)) => out.extend(Digest::of(document).to_string().bytes()),
            (b'#', Some(document)) => out.extend(document.len().to_string().bytes()),
            _ => {
                out.push(*letter);
                rest = after;
                continue;
            }
        }
        rest = &after[1..];
    }
    out
}

/// What an image says must be told a second time by its documents.
fn check(image: &Image, store: &Store, wanted: &Wanted) {
    assert_eq!(Digest::of(&image.config), image.config_digest);
    let config = whole(&image.config).expect("a configuration that is no JSON");
    assert_eq!(config["os"], wanted.platform.os);
    assert_eq!(config["architecture"], wanted.platform.architecture);
    if let Some(variant) = &wanted.platform.variant {
        assert_eq!(config["variant"], variant.as_str());
    }
    let diff_ids: Vec<_> = image
        .layers
        .iter()
        .map(|layer| layer.diff_id.to_string())
        .collect();
    assert_eq!(config["rootfs"]["diff_ids"], Value::from(diff_ids));
    let manifest = &store.blobs[&image.manifest.unwrap()];
    let manifest = whole(manifest).expect("a manifest that is no JSON");
    assert_eq!(
        manifest["config"]["digest"],
        image.config_digest.to_string()
    );
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), image.layers.len());
    for (listed, layer) in layers.iter().zip(&image.layers) {
        assert_eq!(listed["digest"], layer.blob.unwrap().to_string());
        assert_eq!(listed["size"], layer.size.unwrap());
        let kind = listed["mediaType"].as_str().unwrap();
        let compression = format!("{:?}", layer.compression.unwrap()).to_lowercase();
        assert!(kind.ends_with(&compression) || (compression == "none" && kind.ends_with("tar")));
    }
}
