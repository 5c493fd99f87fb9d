//! What is published beside a layout: the manifest of images, bills of materials, provenance, and the signature.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image_builder::{
    Described, ExtraFile, ImageList, ImageSpec, PublishedImages, build, describe, read_signed, sign,
};
use image_layers::source::{Input, Platform, Wanted, open_path};
use image_layers::{Settings, hash_image};
use serde_json::{Value, json};
use sha2::Digest as _;
use tempfile::TempDir;

struct Build {
    folder: TempDir,
    manifest: PublishedImages,
}

impl Build {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("layout").join(name)
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap()
    }
}

/// Two images of one program each, described from a small workspace.
fn published() -> Build {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut images = Vec::new();
    fs::write(at("roots.pem"), "roots").unwrap();
    for (name, byte) in [("app", 7_u8), ("sidecar", 8)] {
        let mut program = vec![byte; 50_000];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        program[6..64].fill(0);
        program[18] = 62;
        fs::write(at(name), program).unwrap();
        images.push(ImageSpec {
            name: name.into(),
            binary: at(name),
            entrypoint: vec![],
            user: Some("10030:10030".into()),
            files: vec![ExtraFile {
                sha256: Some(hex::encode(sha2::Sha256::digest("roots"))),
                source: at("roots.pem"),
                target: "/etc/roots.pem".into(),
                mode: 0o644,
            }],
            directories: vec![],
        });
    }
    let list = ImageList { images };
    fs::write(at("list.json"), serde_json::to_vec(&list).unwrap()).unwrap();
    let layout = at("layout");
    build(&list, &layout, true).unwrap();

    let package = |name: &str, source: Value, kind: &str| {
        json!({ "id": format!("id of {name}"), "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0",
                "source": source, "targets": [{ "name": name, "kind": [kind] }] })
    };
    let dep = |name: &str, kind: Value| json!({ "pkg": format!("id of {name}"), "dep_kinds": [{ "kind": kind }] });
    let node = |name: &str, deps: Value| json!({ "id": format!("id of {name}"), "deps": deps });
    let metadata = json!({
        "packages": [
            package("app", Value::Null, "bin"), package("sidecar", Value::Null, "bin"),
            package("linked", json!("registry"), "lib"), package("below", json!("registry"), "lib"),
            package("tested", json!("registry"), "lib"), package("building", json!("registry"), "lib"),
            // Another package's program of the same name is not ours.
            package("app", json!("registry"), "bin"),
        ],
        "resolve": { "nodes": [
            node("app", json!([dep("linked", Value::Null), dep("tested", json!("dev")), dep("building", json!("build"))])),
            node("sidecar", json!([])),
            node("linked", json!([dep("below", Value::Null)])),
            node("below", json!([])), node("tested", json!([])), node("building", json!([])),
        ]},
    });
    fs::write(at("metadata.json"), metadata.to_string()).unwrap();
    let lock = "[[package]]\nname = \"below\"\nversion = \"1.0.0\"\nchecksum = \"00ff\"\n";
    fs::write(at("Cargo.lock"), lock).unwrap();
    let manifest = describe(&Described {
        list: &at("list.json"),
        layout: &layout,
        metadata: &at("metadata.json"),
        lock: &at("Cargo.lock"),
        commit: "0123abcd".into(),
        toolchain: "rustc 1".into(),
        gzip: true,
    })
    .unwrap();
    Build { folder, manifest }
}

#[test]
fn the_manifest_has_every_digest_and_the_root_hashes_that_the_hasher_computes() {
    let build = published();
    assert_eq!(
        PublishedImages::read(&build.path("image-manifest.json")).unwrap(),
        build.manifest
    );
    assert_eq!(build.manifest.images.len(), 2);
    let layout = build.folder.path().join("layout");
    for image in &build.manifest.images {
        let Input::Images(source) = open_path(&layout).unwrap() else {
            panic!("no layout");
        };
        let wanted = Wanted {
            platform: Platform::linux_amd64(),
            name: Some(image.digest.clone()),
        };
        let found = source.image(&wanted).unwrap();
        let hashed = hash_image(source.as_ref(), &found, &Settings::default()).unwrap();
        assert_eq!(image.check(&found, &hashed), []);
        let blob = layout.join("blobs/sha256").join(&image.layers[0].blob[7..]);
        assert_eq!(image.size, fs::metadata(blob).unwrap().len());

        let mut other = image.clone();
        other.layers[0].root_hash = "0".repeat(64);
        let differences = other.check(&found, &hashed);
        assert_eq!(differences.len(), 1);
        assert_eq!(differences[0].what, "layer 0 root_hash");
    }
    assert_eq!(build.manifest.root_hashes().len(), 2);
}

#[test]
fn two_builds_in_two_folders_publish_the_same_bytes() {
    let (one, two) = (published(), published());
    let files = [
        "image-manifest.json",
        "provenance.json",
        "sbom/app.cdx.json",
        "sbom/sidecar.cdx.json",
        "index.json",
    ];
    for file in files {
        let text = |build: &Build| fs::read_to_string(build.path(file)).unwrap();
        assert_eq!(text(&one), text(&two), "{file}");
        let folder = one.folder.path().to_str().unwrap();
        assert!(!text(&one).contains(folder), "{file}");
    }
}

#[test]
fn a_bill_lists_what_is_linked_and_nothing_else() {
    let build = published();
    let bill = build.json("sbom/app.cdx.json");
    assert_eq!(bill["specVersion"], "1.6");
    assert_eq!(
        bill["metadata"]["component"]["version"],
        build.manifest.images[0].digest
    );
    let components = bill["components"].as_array().unwrap();
    let names: Vec<_> = components
        .iter()
        .map(|part| part["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["/app", "/etc/roots.pem", "app", "below", "linked"]);
    assert_eq!(components[3]["hashes"][0]["content"], "00ff");
    assert_eq!(
        components[3]["licenses"][0]["expression"],
        "MIT OR Apache-2.0"
    );
    let linked = bill["dependencies"].as_array().unwrap();
    assert_eq!(
        linked[2],
        json!({ "ref": "pkg:cargo/linked@1.0.0", "dependsOn": ["pkg:cargo/below@1.0.0"] })
    );
}

#[test]
fn the_provenance_names_the_images_and_what_they_were_made_of() {
    let build = published();
    let statement = build.json("provenance.json");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let digest = format!(
        "sha256:{}",
        statement["subject"][1]["digest"]["sha256"]
            .as_str()
            .unwrap()
    );
    assert_eq!(digest, build.manifest.images[1].digest);
    let materials = &statement["predicate"]["buildDefinition"]["resolvedDependencies"];
    assert_eq!(materials[0]["digest"]["gitCommit"], "0123abcd");
}

#[test]
fn files_that_were_changed_or_lead_elsewhere_are_differences() {
    let build = published();
    let layout = build.folder.path().join("layout");
    assert_eq!(build.manifest.check_files(&layout), []);
    fs::write(build.path("sbom/app.cdx.json"), "{}").unwrap();
    fs::remove_file(build.path("provenance.json")).unwrap();
    let differences = build.manifest.check_files(&layout);
    let names: Vec<_> = differences.iter().map(|part| part.what.as_str()).collect();
    assert_eq!(names, ["sbom/app.cdx.json", "provenance.json"]);
    let mut leaving = build.manifest.clone();
    leaving.provenance.file = "../list.json".into();
    let differences = leaving.check_files(&layout);
    assert_eq!(
        differences[1].actual,
        "a path that leaves the manifest's folder"
    );
}

/// A key pair on P-384 or another curve, by openssl: private and public PEM.
fn key(folder: &Path, curve: &str) -> (Vec<u8>, Vec<u8>) {
    let path = folder.join(format!("{curve}.pem"));
    let algorithm = format!("ec_paramgen_curve:{curve}");
    let made = Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            &algorithm,
            "-out",
        ])
        .arg(&path)
        .output()
        .unwrap();
    assert!(made.status.success());
    let public = Command::new("openssl")
        .args(["pkey", "-pubout", "-in"])
        .arg(&path)
        .output()
        .unwrap();
    (fs::read(&path).unwrap(), public.stdout)
}

#[test]
fn a_signed_manifest_is_read_with_its_publishers_key_only() {
    let build = published();
    let folder = build.folder.path();
    let text = fs::read(build.path("image-manifest.json")).unwrap();
    let (private, public) = key(folder, "P-384");
    let signed = sign(&text, &private).unwrap();
    let path = folder.join("manifest.cose");
    let read = |bytes: &[u8], key: &[u8]| {
        fs::write(&path, bytes).unwrap();
        read_signed(&path, key).map_err(|error| error.code())
    };
    assert_eq!(read(&signed, &public), Ok(build.manifest.clone()));

    let other = TempDir::new().unwrap();
    let (_, another) = key(other.path(), "P-384");
    assert_eq!(read(&signed, &another), Err("CR-IMAGE-0015"));
    // One byte anywhere: of the header, of the manifest, of the signature.
    for at in [2, 12, 200, signed.len() / 2, signed.len() - 1] {
        let mut changed = signed.clone();
        changed[at] ^= 1;
        assert_eq!(read(&changed, &public), Err("CR-IMAGE-0015"), "byte {at}");
    }
    for nothing in [&b""[..], b"\xd2", &text, &signed[..signed.len() / 2]] {
        assert_eq!(read(nothing, &public), Err("CR-IMAGE-0015"));
    }
    let (weak, weak_public) = key(folder, "P-256");
    assert_eq!(sign(&text, &weak).unwrap_err().code(), "CR-IMAGE-0014");
    assert_eq!(read(&signed, &weak_public), Err("CR-IMAGE-0014"));
    assert_eq!(read(&signed, b"no key"), Err("CR-IMAGE-0014"));
    // Signed, but no manifest of images.
    let nonsense = sign(b"{}", &private).unwrap();
    assert_eq!(read(&nonsense, &public), Err("CR-IMAGE-0013"));
    let text = String::from_utf8(text).unwrap();
    for (written, other) in [
        ("\"version\": 1", "\"version\": 2"),
        ("linux/amd64", "linux"),
    ] {
        let other = text.replacen(written, other, 1);
        assert_ne!(other, text);
        let signed = sign(other.as_bytes(), &private).unwrap();
        assert_eq!(read(&signed, &public), Err("CR-IMAGE-0013"), "{written}");
    }
}

#[test]
fn a_build_of_what_nobody_committed_says_so() {
    let folder = TempDir::new().unwrap();
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(["-c", "user.name=n", "-c", "user.email=e@example"])
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let said = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../commit");
        let output = Command::new(script).arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    assert_eq!(said(), "unknown");
    git(&["init", "--quiet"]);
    assert_eq!(said(), "unknown", "no commit yet");
    write(".gitignore", "/built\n");
    write("source", "one");
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "first"]);
    let commit = git(&["rev-parse", "HEAD"]);
    write("built", "by the build itself");
    assert_eq!(said(), commit);
    // A new file is built in as well as a changed one.
    write("new", "module");
    assert_eq!(said(), format!("{commit}-dirty"));
    fs::remove_file(folder.path().join("new")).unwrap();
    assert_eq!(said(), commit);
    write("source", "two");
    assert_eq!(said(), format!("{commit}-dirty"));
}
