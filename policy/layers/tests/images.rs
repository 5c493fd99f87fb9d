//! Archives and layouts: the published ones, and each way in which one can be wrong.
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
use std::io::Write;
use std::path::{Path, PathBuf};

use image_layers::source::{Input, Platform, open_path};
use image_layers::{Digest, Expected, ImageError, LayerError, Limits, hash_layer};
use serde_json::{Value, json};

use crate::common::draft::{Draft, INDEX, MANIFEST, draft, find, hash, layers, wanted};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/cce")
}

#[test]
fn published_archives_have_the_right_root_hashes() {
    let list: Value =
        serde_json::from_str(&fs::read_to_string(vectors().join("images/images.json")).unwrap())
            .unwrap();
    let cases = list["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let path = vectors().join(case["file"].as_str().unwrap());
        let got: Vec<String> = if case["kind"] == "layer" {
            let Input::Layer(file) = open_path(&path).unwrap() else {
                panic!("{id} is taken for an image");
            };
            let hash = hash_layer(file, &Expected::default(), &Limits::default()).unwrap();
            vec![hash.root_hash.to_string()]
        } else {
            hash(&path)
                .unwrap()
                .iter()
                .map(|layer| layer.root_hash.to_string())
                .collect()
        };
        let expect = match (
            &case["better"]["layers_linux_amd64"],
            &case["expect"]["root_hash"],
        ) {
            (Value::Array(better), _) => better.clone(),
            (_, Value::String(hash)) => vec![json!(hash)],
            _ => case["expect"]["layers"].as_array().unwrap().clone(),
        };
        assert_eq!(json!(got), json!(expect), "{id}");
    }
}

#[test]
fn the_platform_is_chosen_and_its_absence_lists_what_there_is() {
    let path = vectors().join("images/oci-multiarch-arm64-first.tar");
    let arm = find(&path, &wanted("linux/arm64", None)).unwrap();
    assert_eq!(arm.layers.len(), 1);
    let amd = find(&path, &wanted("linux/amd64", None)).unwrap();
    assert_eq!(amd.layers.len(), 3);
    let error = find(&path, &wanted("linux/s390x", None)).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, ImageError::NoPlatform { .. }), "{error:?}");
    assert!(
        message.contains("linux/arm64") && message.contains("linux/amd64"),
        "{message}"
    );
    let docker = find(
        &vectors().join("images/docker-save-20.10.tar"),
        &wanted("linux/arm64", None),
    );
    assert!(
        matches!(docker, Err(ImageError::NoPlatform { .. })),
        "{docker:?}"
    );
}

fn refusal(draft: &Draft) -> ImageError {
    hash(draft.write().path()).unwrap_err()
}

#[test]
fn a_layout_directory_gives_what_its_archive_gives() {
    let folder = draft(|_| {}).write();
    let expected = hash(folder.path()).unwrap();
    assert_eq!(expected.len(), 2);
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut archive = tar::Builder::new(file.reopen().unwrap());
    archive.append_dir_all("", folder.path()).unwrap();
    archive.finish().unwrap();
    assert_eq!(hash(file.path()).unwrap(), expected);
}

#[test]
fn forged_lists_are_refused() {
    // Another platform than the image's own configuration says.
    let mut forged = Draft::empty();
    let arm = forged.image("arm64", &layers(), |_| {});
    forged.list(
        arm,
        json!({ "platform": { "os": "linux", "architecture": "amd64" } }),
    );
    assert!(matches!(
        refusal(&forged),
        ImageError::ForgedPlatform { .. }
    ));

    // Two readers would see two images.
    let confused = draft(|manifest| manifest["manifests"] = json!([]));
    assert!(matches!(refusal(&confused), ImageError::Confused { .. }));
    let mut mislabelled = Draft::empty();
    let mut image = mislabelled.image("amd64", &layers(), |manifest| {
        manifest.as_object_mut().unwrap().remove("mediaType");
    });
    image["mediaType"] = json!(INDEX);
    mislabelled.list(image, json!({}));
    assert!(matches!(refusal(&mislabelled), ImageError::Confused { .. }));

    let two_keys = r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#;
    let folder = draft(|_| {}).write();
    fs::write(folder.path().join("index.json"), two_keys).unwrap();
    assert!(matches!(
        hash(folder.path()),
        Err(ImageError::Document { .. })
    ));
}

#[test]
fn two_images_for_one_platform_need_a_name() {
    let mut two = draft(|_| {});
    let other = two.image("amd64", &layers()[..1], |_| {});
    two.list(
        other.clone(),
        json!({ "annotations": { "io.containerd.image.name": "docker.io/library/app:1" } }),
    );
    // The same image under another name is no third one, and provenance is none at all.
    two.list(
        other,
        json!({ "annotations": { "org.opencontainers.image.ref.name": "again" } }),
    );
    let provenance = two.document(MANIFEST, &json!({}));
    two.list(
        provenance,
        json!({ "platform": { "os": "unknown", "architecture": "unknown" } }),
    );
    let folder = two.write();
    let error = hash(folder.path()).unwrap_err();
    assert!(
        matches!(&error, ImageError::Ambiguous { present } if present.len() == 2),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("docker.io/library/app:1"),
        "{error}"
    );
    let digest = two.index[0]["digest"].as_str().unwrap().to_owned();
    for (name, count) in [("app:1", 1), ("again", 1), (digest.as_str(), 2)] {
        let image = find(folder.path(), &wanted("linux/amd64", Some(name))).unwrap();
        assert_eq!(image.layers.len(), count, "{name}");
    }
    let error = find(folder.path(), &wanted("linux/amd64", Some("app:2"))).unwrap_err();
    assert!(
        matches!(&error, ImageError::NoSuchImage { .. }),
        "{error:?}"
    );
}

#[test]
fn indexes_may_be_nested_but_not_for_ever() {
    let mut nested = Draft::empty();
    let mut descriptor = nested.image("amd64", &layers(), |_| {});
    for depth in 0..6 {
        let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
        descriptor = nested.document(INDEX, &index);
        nested.index = vec![descriptor.clone()];
        let result = hash(nested.write().path());
        match depth {
            0..=2 => assert_eq!(result.unwrap().len(), 2),
            _ => assert!(
                matches!(result, Err(ImageError::Document { .. })),
                "{depth}: {result:?}"
            ),
        }
    }
}

#[test]
fn media_types_that_are_not_known_are_refused() {
    let unknown = "application/vnd.example+json";
    let config = draft(|manifest| manifest["config"]["mediaType"] = json!(unknown));
    let layer = draft(|manifest| manifest["layers"][1]["mediaType"] = json!(unknown));
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let foreign = draft(|manifest| manifest["layers"][0]["mediaType"] = json!(foreign));
    let manifest = draft(|manifest| manifest["mediaType"] = json!(unknown));
    for draft in [config, layer, foreign, manifest] {
        let error = refusal(&draft);
        assert!(matches!(error, ImageError::MediaType { .. }), "{error:?}");
    }
}

#[test]
fn every_part_is_compared_with_its_digest_and_size() {
    let good = draft(|_| {});
    let folder = good.write();
    let manifest: Value = {
        let digest = good.index[0]["digest"].as_str().unwrap();
        serde_json::from_slice(&good.blobs[digest.strip_prefix("sha256:").unwrap()]).unwrap()
    };
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap();
        folder
            .path()
            .join("blobs/sha256")
            .join(digest.strip_prefix("sha256:").unwrap())
    };
    let with_changed = |path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let original = fs::read(path).unwrap();
        let mut changed = original.clone();
        change(&mut changed);
        fs::write(path, changed).unwrap();
        let error = hash(folder.path()).unwrap_err();
        fs::write(path, original).unwrap();
        error
    };
    let flip: &dyn Fn(&mut Vec<u8>) = &|bytes| *bytes.last_mut().unwrap() ^= 1;
    let longer: &dyn Fn(&mut Vec<u8>) = &|bytes| bytes.push(b' ');
    for descriptor in [&good.index[0], &manifest["config"]] {
        assert!(matches!(
            with_changed(&blob(descriptor), flip),
            ImageError::Digest { .. }
        ));
        assert!(matches!(
            with_changed(&blob(descriptor), longer),
            ImageError::Size { .. }
        ));
    }
    let layer = blob(&manifest["layers"][1]);
    let error = with_changed(&layer, flip);
    assert!(
        matches!(
            &error,
            ImageError::Layer {
                index: 1,
                source: LayerError::BlobDigest { .. },
                ..
            }
        ),
        "{error:?}"
    );
    let error = with_changed(&layer, longer);
    assert!(
        matches!(
            &error,
            ImageError::Layer {
                source: LayerError::BlobSize { .. },
                ..
            }
        ),
        "{error:?}"
    );
    fs::remove_file(&layer).unwrap();
    let error = hash(folder.path()).unwrap_err();
    assert!(matches!(&error, ImageError::Missing { .. }), "{error:?}");

    // The blob is the manifest's, but the configuration is of another image.
    let swapped = draft(|manifest| manifest["layers"].as_array_mut().unwrap().swap(0, 1));
    let error = refusal(&swapped);
    assert!(
        matches!(
            &error,
            ImageError::Layer {
                source: LayerError::DiffId { .. },
                ..
            }
        ),
        "{error:?}"
    );
    let fewer = draft(|manifest| {
        manifest["layers"].as_array_mut().unwrap().pop();
    });
    assert!(matches!(
        refusal(&fewer),
        ImageError::LayerCount {
            manifest: 1,
            config: 2
        }
    ));
}

#[test]
fn documents_that_are_too_large_or_name_other_algorithms_are_refused() {
    let huge = draft(|manifest| manifest["config"]["size"] = json!(1_u64 << 40));
    assert!(matches!(refusal(&huge), ImageError::Size { .. }));
    let sha512 = draft(|manifest| {
        manifest["config"]["digest"] = json!(format!("sha512:{}", "a".repeat(128)))
    });
    assert!(matches!(refusal(&sha512), ImageError::Document { .. }));
    // A path where a digest should be.
    let path = draft(|manifest| manifest["config"]["digest"] = json!("sha256:../../../etc/passwd"));
    assert!(matches!(refusal(&path), ImageError::Document { .. }));
    let negative = draft(|manifest| manifest["layers"][0]["size"] = json!(-1));
    assert!(matches!(refusal(&negative), ImageError::Document { .. }));
}

/// A Docker archive of members; a member without content is a link to what its name is followed by.
fn docker(members: &[(&str, &[u8])], links: &[(&str, &str)]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    for (name, target) in links {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, name, target).unwrap();
    }
    file.write_all(&builder.into_inner().unwrap()).unwrap();
    file
}

#[test]
fn docker_archives_that_mislead_are_refused() {
    let layer = &layers()[0];
    let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": { "diff_ids": [Digest::of(layer).to_string()] } }).to_string();
    let config_name = format!("{}.json", Digest::of(config.as_bytes()).hex());
    let image = |layer: &str, tag: &str| json!({ "Config": config_name, "RepoTags": [tag], "Layers": [layer] });
    let manifest = |images: &[Value]| json!(images).to_string();
    let one = manifest(&[image("a/layer.tar", "app:1")]);
    let good = docker(
        &[
            ("a/layer.tar", layer),
            (&config_name, config.as_bytes()),
            ("manifest.json", one.as_bytes()),
        ],
        &[],
    );
    assert_eq!(hash(good.path()).unwrap().len(), 1);

    let two = manifest(&[image("a/layer.tar", "app:1"), image("b/layer.tar", "app:2")]);
    let several = docker(
        &[
            ("a/layer.tar", layer),
            ("b/layer.tar", layer),
            (&config_name, config.as_bytes()),
            ("manifest.json", two.as_bytes()),
        ],
        &[],
    );
    assert!(matches!(
        hash(several.path()),
        Err(ImageError::Ambiguous { .. })
    ));
    find(several.path(), &wanted("linux/amd64", Some("app:2"))).unwrap();
    let error = find(several.path(), &wanted("linux/amd64", Some("app:3"))).unwrap_err();
    assert!(matches!(error, ImageError::NoSuchImage { .. }), "{error:?}");

    let with_links = |links: &[(&str, &str)]| {
        let archive = docker(
            &[
                ("b/layer.tar", layer),
                (&config_name, config.as_bytes()),
                ("manifest.json", one.as_bytes()),
            ],
            links,
        );
        hash(archive.path())
    };
    assert_eq!(
        with_links(&[("a/layer.tar", "../b/layer.tar")])
            .unwrap()
            .len(),
        1
    );
    for outside in ["/etc/passwd", "../../b/layer.tar"] {
        let error = with_links(&[("a/layer.tar", outside)]).unwrap_err();
        assert!(
            matches!(error, ImageError::Missing { .. }),
            "{outside}: {error:?}"
        );
    }
    let error = with_links(&[("a/layer.tar", "../c"), ("c", "a/layer.tar")]).unwrap_err();
    assert!(matches!(error, ImageError::Archive { .. }), "{error:?}");

    let twice = docker(
        &[
            ("a/layer.tar", layer),
            (&config_name, config.as_bytes()),
            ("manifest.json", one.as_bytes()),
            ("./manifest.json", b"[]"),
        ],
        &[],
    );
    assert!(matches!(
        hash(twice.path()),
        Err(ImageError::Archive { .. })
    ));
    let other = config.replace("amd64", "arm64");
    let forged = docker(
        &[
            ("a/layer.tar", layer),
            (&config_name, other.as_bytes()),
            ("manifest.json", one.as_bytes()),
        ],
        &[],
    );
    assert!(matches!(
        hash(forged.path()),
        Err(ImageError::Digest { .. })
    ));
    let wrong_layer = docker(
        &[
            ("a/layer.tar", &layers()[1]),
            (&config_name, config.as_bytes()),
            ("manifest.json", one.as_bytes()),
        ],
        &[],
    );
    let error = hash(wrong_layer.path()).unwrap_err();
    assert!(
        matches!(
            &error,
            ImageError::Layer {
                source: LayerError::DiffId { .. },
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn paths_that_are_no_image_say_so() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        open_path(folder.path()),
        Err(ImageError::Unrecognised { .. })
    ));
    assert!(matches!(
        open_path(Path::new("/dev/null")),
        Err(ImageError::Unrecognised { .. })
    ));
    assert!(matches!(
        open_path(&folder.path().join("missing")),
        Err(ImageError::Read { .. })
    ));
    fs::write(
        folder.path().join("oci-layout"),
        r#"{"imageLayoutVersion":"2.0.0"}"#,
    )
    .unwrap();
    assert!(matches!(
        open_path(folder.path()),
        Err(ImageError::Document { .. })
    ));
}

#[test]
fn platforms_are_read_and_written() {
    for text in ["linux/amd64", "linux/arm/v7"] {
        assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
    }
    for text in ["", "linux", "linux/", "/amd64", "linux/amd64/", "a/b/c/d"] {
        assert!(text.parse::<Platform>().is_err(), "{text:?}");
    }
}
