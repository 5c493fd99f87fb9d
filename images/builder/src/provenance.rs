//! How images were built: an in-toto statement with the SLSA provenance predicate, version 1.

use serde_json::{Value, json};

use crate::{BuiltImage, ImageList};

/// What the images were made of.
#[derive(Clone, Debug)]
pub struct Materials {
    /// Commit of the source, and `-dirty` if the tree had changes.
    pub commit: String,
    /// Hex SHA-256 of `Cargo.lock`.
    pub lock_sha256: String,
    /// What `rustc --version` says.
    pub toolchain: String,
    /// Whether layers are compressed.
    pub gzip: bool,
}

/// The statement on the images of one build. The same source and toolchain make the same statement.
#[must_use]
pub fn provenance(list: &ImageList, built: &[BuiltImage], materials: &Materials) -> Value {
    let subjects: Vec<Value> = built
        .iter()
        .map(|image| {
            let digest = image.digest.trim_start_matches("sha256:");
            json!({ "name": image.name, "digest": { "sha256": digest } })
        })
        .collect();
    let mut dependencies = vec![
        json!({ "name": "source", "digest": { "gitCommit": materials.commit } }),
        json!({ "name": "Cargo.lock", "digest": { "sha256": materials.lock_sha256 } }),
    ];
    let files = list.images.iter().flat_map(|image| &image.files);
    dependencies.extend(files.filter_map(|file| {
        let sha256 = file.sha256.as_ref()?;
        Some(json!({ "name": file.target, "digest": { "sha256": sha256 } }))
    }));
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:cleanroom:image-builder:1",
                "externalParameters": {
                    "images": list.images.iter().map(|image| &image.name).collect::<Vec<_>>(),
                    "gzip": materials.gzip,
                },
                "internalParameters": { "toolchain": materials.toolchain },
                "resolvedDependencies": dependencies,
            },
            "runDetails": { "builder": {
                "id": "urn:cleanroom:image-builder",
                "version": { "image-builder": env!("CARGO_PKG_VERSION") },
            }},
        },
    })
}
