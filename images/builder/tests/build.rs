//! What two builds and one pull must agree on.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use emulators::world::{World, WorldConfig};
use image_builder::{
    Directory, ExtraFile, ImageError, ImageList, ImageSpec, PushTarget, build, push, read_images,
};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The smallest file that passes for a static program.
fn program(tail: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0_u8; 64];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18] = 62;
    bytes.extend_from_slice(tail);
    bytes
}

fn put(path: &Path, bytes: &[u8]) -> PathBuf {
    fs::write(path, bytes).unwrap();
    path.to_owned()
}

fn list(dir: &Path) -> ImageList {
    let binary = put(&dir.join("app"), &program(&[7; 100_000]));
    let extra = put(&dir.join("roots.pem"), b"roots");
    ImageList {
        images: vec![ImageSpec {
            name: "app".into(),
            binary,
            entrypoint: vec![],
            user: Some("10030:10030".into()),
            files: vec![ExtraFile {
                sha256: None,
                source: extra,
                target: "/etc/ssl/roots.pem".into(),
                mode: 0o644,
            }],
            directories: vec![Directory {
                target: "/tmp".into(),
                mode: 0o1777,
            }],
        }],
    }
}

#[test]
fn two_builds_at_different_places_and_times_give_the_same_digests() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let first = build(&list(one.path()), &one.path().join("layout"), false).unwrap();
    let touched = list(two.path());
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
    fs::File::options()
        .write(true)
        .open(&touched.images[0].binary)
        .unwrap()
        .set_modified(old)
        .unwrap();
    let second = build(&touched, &two.path().join("layout"), false).unwrap();
    let pinned = |b: &image_builder::BuiltImage| {
        (
            b.digest.clone(),
            b.config.clone(),
            b.layers.clone(),
            b.executable_sha256.clone(),
        )
    };
    assert_eq!(pinned(&first[0]), pinned(&second[0]));
    assert_eq!(
        read_images(&one.path().join("layout/images.json")).unwrap(),
        first
    );
    let index = |dir: &TempDir| fs::read(dir.path().join("layout/index.json")).unwrap();
    assert_eq!(index(&one), index(&two));
}

#[test]
fn one_changed_byte_changes_the_digest_and_compression_leaves_the_diff_id() {
    let dir = TempDir::new().unwrap();
    let images = list(dir.path());
    let plain = build(&images, &dir.path().join("plain"), false).unwrap();
    let gzip = build(&images, &dir.path().join("gzip"), true).unwrap();
    assert_eq!(plain[0].layers[0].diff_id, gzip[0].layers[0].diff_id);
    assert_ne!(plain[0].digest, gzip[0].digest);
    put(&images.images[0].binary, &program(&[8; 100_000]));
    let changed = build(&images, &dir.path().join("changed"), false).unwrap();
    assert_ne!(plain[0].digest, changed[0].digest);
    assert_ne!(plain[0].executable_sha256, changed[0].executable_sha256);
}

#[test]
fn the_layer_holds_sorted_entries_of_root_without_times() {
    let dir = TempDir::new().unwrap();
    let built = build(&list(dir.path()), &dir.path().join("layout"), false).unwrap();
    let blob = dir
        .path()
        .join("layout/blobs/sha256")
        .join(built[0].layers[0].diff_id.trim_start_matches("sha256:"));
    let mut archive = tar::Archive::new(fs::File::open(blob).unwrap());
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!(
            (
                header.uid().unwrap(),
                header.gid().unwrap(),
                header.mtime().unwrap()
            ),
            (0, 0, 0)
        );
        found.push((
            entry.path().unwrap().display().to_string(),
            header.mode().unwrap(),
        ));
    }
    let expected = [
        ("app", 0o755),
        ("etc/", 0o755),
        ("etc/ssl/", 0o755),
        ("etc/ssl/roots.pem", 0o644),
        ("tmp/", 0o1777),
    ];
    assert_eq!(found, expected.map(|(path, mode)| (path.to_owned(), mode)));
}

#[test]
fn lists_that_cannot_be_right_are_refused_with_their_codes() {
    let dir = TempDir::new().unwrap();
    let good = list(dir.path());
    let refused = |change: &dyn Fn(&mut ImageList)| {
        let mut list = good.clone();
        change(&mut list);
        build(&list, &dir.path().join("layout"), false)
            .unwrap_err()
            .code()
    };
    assert!(build(&good, &dir.path().join("layout"), false).is_ok());
    assert_eq!(
        refused(&|l| l.images[0].name = "App".into()),
        "CR-IMAGE-0002"
    );
    assert_eq!(
        refused(&|l| l.images.push(l.images[0].clone())),
        "CR-IMAGE-0002"
    );
    assert_eq!(
        refused(&|l| l.images[0].binary = dir.path().join("absent")),
        "CR-IMAGE-0003"
    );
    assert_eq!(
        refused(&|l| l.images[0].binary = dir.path().join("roots.pem")),
        "CR-IMAGE-0004"
    );
    assert_eq!(
        refused(&|l| l.images[0].files[0].target = "etc/x".into()),
        "CR-IMAGE-0005"
    );
    assert_eq!(
        refused(&|l| l.images[0].files[0].target = "/etc/../x".into()),
        "CR-IMAGE-0005"
    );
    assert_eq!(
        refused(&|l| l.images[0].files[0].target = "/app".into()),
        "CR-IMAGE-0005"
    );
    assert_eq!(
        refused(&|l| l.images[0].files[0].target = "/app/x".into()),
        "CR-IMAGE-0005"
    );
    assert_eq!(
        refused(&|l| l.images[0].user = Some("operator".into())),
        "CR-IMAGE-0006"
    );
}

async fn world() -> World {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    World::start(WorldConfig::two_parties()).await.unwrap()
}

fn target(world: &World) -> PushTarget {
    let registry = format!("localhost:{}/suite/app", world.addr().port());
    PushTarget {
        registry,
        ca_pem: Some(world.ca_pem().as_bytes().to_vec()),
        login: None,
    }
}

#[tokio::test]
async fn a_pushed_image_is_pulled_by_the_digest_that_was_built() {
    let world = world().await;
    let dir = TempDir::new().unwrap();
    let layout = dir.path().join("layout");
    let built = build(&list(dir.path()), &layout, false).unwrap();
    let reference = push(&layout, "app", target(&world)).await.unwrap();
    assert_eq!(
        reference,
        format!(
            "localhost:{}/suite/app@{}",
            world.addr().port(),
            built[0].digest
        )
    );

    let root = Certificate {
        encoding: CertificateEncoding::Pem,
        data: world.ca_pem().as_bytes().to_vec(),
    };
    let client = Client::new(ClientConfig {
        tls_certs_only: vec![root],
        ..ClientConfig::default()
    });
    let image: Reference = reference.parse().unwrap();
    let layer = ["application/vnd.oci.image.layer.v1.tar"];
    let pulled = client
        .pull(&image, &RegistryAuth::Anonymous, layer.to_vec())
        .await
        .unwrap();
    assert_eq!(pulled.digest.as_deref(), Some(built[0].digest.as_str()));
    assert_eq!(pulled.layers[0].sha256_digest(), built[0].layers[0].diff_id);

    world
        .services()
        .registry
        .corrupt_blob(&built[0].layers[0].diff_id);
    let error = client
        .pull(&image, &RegistryAuth::Anonymous, layer.to_vec())
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("igest"), "{error}");

    // Everything is there: a second push sends no blob again.
    world.services().registry.heal();
    let before = world.requests("registry").len();
    push(&layout, "app", target(&world)).await.unwrap();
    let methods: Vec<_> = world
        .requests("registry")
        .split_off(before)
        .into_iter()
        .map(|r| r.method)
        .collect();
    assert!(!methods.contains(&"POST".to_owned()), "{methods:?}");
}

#[tokio::test]
async fn a_damaged_layout_an_absent_image_and_a_bad_reference_are_not_pushed() {
    let world = world().await;
    let dir = TempDir::new().unwrap();
    let layout = dir.path().join("layout");
    let built = build(&list(dir.path()), &layout, false).unwrap();
    let code = |result: Result<String, ImageError>| result.unwrap_err().code();
    assert_eq!(
        code(push(&layout, "other", target(&world)).await),
        "CR-IMAGE-0008"
    );
    let bare = PushTarget {
        registry: "localhost".into(),
        ..target(&world)
    };
    assert_eq!(code(push(&layout, "app", bare).await), "CR-IMAGE-0010");
    let distrust = PushTarget {
        ca_pem: Some(emulators::world::Authority::new("x").unwrap().pem().into()),
        ..target(&world)
    };
    assert_eq!(code(push(&layout, "app", distrust).await), "CR-IMAGE-0011");
    let blob = layout
        .join("blobs/sha256")
        .join(built[0].layers[0].diff_id.trim_start_matches("sha256:"));
    fs::write(&blob, b"other").unwrap();
    assert_eq!(
        code(push(&layout, "app", target(&world)).await),
        "CR-IMAGE-0009"
    );
    assert!(
        world
            .services()
            .registry
            .manifest("suite/app", &built[0].digest)
            .is_none()
    );
}

#[tokio::test]
async fn a_registry_that_wants_a_login_takes_one() {
    let world = world().await;
    world
        .services()
        .registry
        .require_push_login("operator", "open sesame");
    let dir = TempDir::new().unwrap();
    let layout = dir.path().join("layout");
    build(&list(dir.path()), &layout, false).unwrap();
    assert_eq!(
        push(&layout, "app", target(&world))
            .await
            .unwrap_err()
            .code(),
        "CR-IMAGE-0011"
    );
    let login = image_builder::Login {
        user: "operator".into(),
        password: "open sesame".into(),
    };
    push(
        &layout,
        "app",
        PushTarget {
            login: Some(login),
            ..target(&world)
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_password_is_not_taken_to_where_a_registry_sends_it_in_clear() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let dir = TempDir::new().unwrap();
    let layout = dir.path().join("layout");
    build(&list(dir.path()), &layout, false).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = format!("{}/suite/app", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let paths = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..read]).to_lowercase();
            paths.lock().unwrap().push(head);
            let answer = "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\
                          www-authenticate: Bearer realm=\"http://registry.example/token\"\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let target = PushTarget {
        registry,
        ca_pem: None,
        login: Some(image_builder::Login {
            user: "operator".into(),
            password: "open sesame".into(),
        }),
    };
    let error = push(&layout, "app", target).await.unwrap_err();
    assert_eq!(error.code(), "CR-IMAGE-0011");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("it must be https"), "{cause}");
    let asked = asked.lock().unwrap();
    assert!(asked.len() == 1 && asked[0].starts_with("get /v2/ "));
    assert!(!asked[0].contains("authorization"));
}
