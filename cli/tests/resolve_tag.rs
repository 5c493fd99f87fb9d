//! `cleanroom config add-application`: a tag is an error, or it is resolved by a real registry and recorded with its digest.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use cleanroom_spec::Specification;
use image_builder::{ImageList, ImageSpec, PushTarget, build, push};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `docker-registry`, of the Debian archive, on a loopback port of its own.
struct Registry {
    folder: TempDir,
    process: Child,
    address: String,
}

fn free_address() -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().to_string()
}

impl Registry {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let address = free_address();
        let config = json!({
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": folder.path().join("data")}},
            "http": {"addr": address},
        });
        let path = folder.path().join("config.yml");
        // JSON is YAML.
        std::fs::write(&path, config.to_string()).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < deadline, "the registry does not start");
            std::thread::yield_now();
        }
        Self {
            folder,
            process,
            address,
        }
    }

    /// Pushes an image for linux/amd64 and gives its manifest's digest.
    fn push(&self) -> String {
        let mut program = vec![0_u8; 10_000];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        program[18] = 62;
        let binary = self.folder.path().join("app");
        std::fs::write(&binary, program).unwrap();
        let image = ImageSpec {
            name: "app".into(),
            binary,
            entrypoint: vec![],
            user: None,
            files: vec![],
            directories: vec![],
        };
        let layout = self.folder.path().join("layout");
        build(
            &ImageList {
                images: vec![image],
            },
            &layout,
            true,
        )
        .unwrap();
        let target = PushTarget {
            registry: format!("{}/suite/app", self.address),
            ca_pem: None,
            login: None,
        };
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let reference = runtime.block_on(push(&layout, "app", target)).unwrap();
        reference.split_once('@').unwrap().1.to_owned()
    }

    fn get(&self, digest: &str) -> Vec<u8> {
        let url = format!("http://{}/v2/suite/app/manifests/{digest}", self.address);
        let got = Command::new("curl")
            .args(["-sf", "-H", &format!("Accept: {MANIFEST}"), &url])
            .output()
            .unwrap();
        assert!(got.status.success());
        got.stdout
    }

    fn tag(&self, tag: &str, media_type: &str, document: &[u8]) {
        let file = self.folder.path().join("document");
        std::fs::write(&file, document).unwrap();
        let url = format!("http://{}/v2/suite/app/manifests/{tag}", self.address);
        let put = Command::new("curl")
            .args([
                "-sf",
                "-X",
                "PUT",
                "-H",
                &format!("Content-Type: {media_type}"),
            ])
            .args(["--data-binary", &format!("@{}", file.display()), &url])
            .status()
            .unwrap();
        assert!(put.success());
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Owner(TempDir);

impl Owner {
    fn new() -> Self {
        let owner = Self(TempDir::new().unwrap());
        let begun = owner.config(&["init", "--cleanroom-config", "c.yaml"]);
        assert!(begun.status.success());
        owner
    }

    fn config(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cleanroom"))
            .arg("config")
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .env("HOME", self.0.path())
            .output()
            .unwrap()
    }

    fn add(&self, image: &str, more: &[&str]) -> Output {
        let arguments = [
            "add-application",
            "--cleanroom-config",
            "c.yaml",
            "--name",
            "app",
            "--image",
            image,
            "--cpu",
            "1",
            "--memory",
            "1",
        ];
        self.config(&[arguments.as_slice(), more].concat())
    }

    fn fragment(&self) -> String {
        std::fs::read_to_string(self.0.path().join("c.yaml")).unwrap()
    }

    /// The code of a refusal, which leaves the fragment as it was.
    fn refused(&self, image: &str, more: &[&str]) -> String {
        let before = self.fragment();
        let output = self.add(image, more);
        assert_eq!(output.status.code(), Some(1), "{image}");
        assert!(output.stdout.is_empty());
        assert_eq!(self.fragment(), before);
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        error["error"]["code"].as_str().unwrap().to_owned()
    }

    /// The image that is recorded: its reference, and when and for what it was resolved.
    fn recorded(&self) -> (String, Value) {
        let spec = Specification::from_yaml(&self.fragment()).unwrap();
        let application = &spec.applications[0];
        let provider = &application.image.executable.backing_resource.provider;
        let resolved = serde_json::from_str(&provider.configuration).unwrap_or(Value::Null);
        (application.image_reference().to_owned(), resolved)
    }
}

#[test]
fn a_tag_is_resolved_to_the_manifest_of_the_platform_and_recorded_with_it() {
    let registry = Registry::start();
    let digest = registry.push();
    let manifest = registry.get(&digest);
    registry.tag("v1", MANIFEST, &manifest);
    let of = |os: &str| json!({"architecture": "amd64", "os": os});
    let listed = |digest: &str, platform: Value| json!({"mediaType": MANIFEST, "digest": digest, "size": manifest.len(), "platform": platform});
    let index = json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [listed(&digest, of("linux"))],
    });
    registry.tag("many", INDEX, index.to_string().as_bytes());

    let owner = Owner::new();
    for tag in ["v1", "many"] {
        let tagged = format!("{}/suite/app:{tag}", registry.address);
        let before = OffsetDateTime::now_utc();
        let added = owner.add(&tagged, &["--resolve-tag"]);
        assert!(
            added.status.success(),
            "{}",
            String::from_utf8_lossy(&added.stderr)
        );
        let (reference, resolved) = owner.recorded();
        assert_eq!(reference, format!("{tagged}@{digest}"));
        assert_eq!(resolved["platform"], "linux/amd64");
        let at = OffsetDateTime::parse(resolved["resolvedAt"].as_str().unwrap(), &Rfc3339).unwrap();
        assert!(at >= before.replace_nanosecond(0).unwrap() && at <= OffsetDateTime::now_utc());
        let told: Value = serde_json::from_slice(&added.stdout).unwrap();
        assert_eq!(told["image"], reference);
    }

    // The record is what a specification accepts.
    let valid = owner.config(&["validate", "--cleanroom-config", "c.yaml"]);
    assert!(
        valid.status.success(),
        "{}",
        String::from_utf8_lossy(&valid.stderr)
    );

    let many = format!("{}/suite/app:many", registry.address);
    let other = ["--resolve-tag", "--platform", "linux/arm64"];
    assert_eq!(owner.refused(&many, &other), "CR-LAYER-0039");
    let unknown = format!("{}/suite/app:v2", registry.address);
    assert_eq!(owner.refused(&unknown, &["--resolve-tag"]), "CR-LAYER-0033");
    let nonsense = ["--resolve-tag", "--platform", "linux"];
    assert_eq!(owner.refused(&many, &nonsense), "CR-CLI-0003");
    let pinned = format!("{many}@{digest}");
    assert_eq!(owner.refused(&pinned, &["--resolve-tag"]), "CR-CLI-0003");
}

#[test]
fn a_tag_that_is_not_resolved_or_cannot_be_is_an_error() {
    let owner = Owner::new();
    let gone = format!("{}/app", free_address());
    assert_eq!(owner.refused(&format!("{gone}:v1"), &[]), "CR-CLI-0003");
    assert_eq!(owner.refused(&gone, &["--resolve-tag"]), "CR-CLI-0003");
    assert_eq!(
        owner.refused(&format!("{gone}:v1"), &["--resolve-tag"]),
        "CR-LAYER-0047"
    );
    assert_eq!(owner.refused("app:v1", &["--resolve-tag"]), "CR-LAYER-0046");

    // By digest, as ever, nobody is asked.
    let digest = "ab".repeat(32);
    let pinned = format!("registry.example/app@sha256:{digest}");
    assert!(owner.add(&pinned, &[]).status.success());
    assert_eq!(owner.recorded(), (pinned, Value::Null));
}
