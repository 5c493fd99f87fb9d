//! `cleanroom policy hash` of a real registry, with and without accounts, and of a real Docker engine.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use image_builder::{ImageList, ImageSpec, Login, PushTarget, build, push};
use serde_json::{Value, json};
use tempfile::TempDir;

/// `docker-registry`, of the Debian archive, on a loopback port of its own.
struct Registry {
    folder: TempDir,
    process: Child,
    address: String,
}

impl Registry {
    /// With an account if it is to ask for one: `reader`, whose password is `open sesame`.
    fn start(account: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let address = format!("127.0.0.1:{port}");
        let mut config = json!({
            "version": "0.1",
            "log": { "level": "error" },
            "storage": { "filesystem": { "rootdirectory": folder.path().join("data") } },
            "http": { "addr": address },
        });
        if account {
            let line = "reader:$2b$05$8oNcZ96sdwRmTkprBsWqO.NRs53JAi5H5uOjgizhaup682AQ.NpMW\n";
            let path = folder.path().join("htpasswd");
            fs::write(&path, line).unwrap();
            config["auth"] = json!({ "htpasswd": { "realm": "test", "path": path } });
        }
        let path = folder.path().join("config.yml");
        // JSON is YAML.
        fs::write(&path, config.to_string()).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self {
            folder,
            process,
            address,
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(&registry.address).is_err() {
            assert!(Instant::now() < deadline, "the registry does not start");
            std::thread::yield_now();
        }
        registry
    }

    /// Pushes an image of one layer; its reference by digest, and what its layer must be.
    fn push(&self, login: Option<Login>) -> (String, Value) {
        let mut program = vec![0_u8; 100_000];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        program[18] = 62;
        let binary = self.folder.path().join("app");
        fs::write(&binary, program).unwrap();
        let image = ImageSpec {
            name: "app".into(),
            binary,
            entrypoint: vec![],
            user: None,
            files: vec![],
            directories: vec![],
        };
        let layout = self.folder.path().join("layout");
        let list = ImageList {
            images: vec![image],
        };
        build(&list, &layout, true).unwrap();
        let target = PushTarget {
            registry: format!("{}/suite/app", self.address),
            ca_pem: None,
            login,
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let reference = runtime.block_on(push(&layout, "app", target)).unwrap();
        let local = printed(&hash(&home(&[]), &[layout.to_str().unwrap()]));
        (reference, local["layers"].clone())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn login(password: &str) -> Login {
    Login {
        user: "reader".into(),
        password: password.into(),
    }
}

/// A home folder with Docker's configuration and programs in `bin`.
struct Home(TempDir);

fn home(programs: &[(&str, &str)]) -> Home {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("bin")).unwrap();
    for (name, script) in programs {
        let path = folder.path().join("bin").join(name);
        let mut file = fs::File::create(&path).unwrap();
        write!(file, "#!/bin/sh\n{script}\n").unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o755))
            .unwrap();
    }
    Home(folder)
}

impl Home {
    fn configured(self, config: &Value) -> Self {
        let folder = self.0.path().join(".docker");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.json"), config.to_string()).unwrap();
        self
    }
}

fn hash(home: &Home, arguments: &[&str]) -> Output {
    let bin: PathBuf = home.0.path().join("bin");
    Command::new(env!("CARGO_BIN_EXE_cleanroom"))
        .args(["policy", "hash", "--json"])
        .args(arguments)
        .current_dir(home.0.path())
        .env_clear()
        .env("HOME", home.0.path())
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .output()
        .unwrap()
}

fn printed(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refusal(output: &Output) -> (String, String) {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    let part = |name: &str| error["error"][name].as_str().unwrap().to_owned();
    (part("code"), part("message"))
}

#[test]
fn a_pushed_image_has_its_layouts_hashes_by_digest_and_by_tag() {
    let registry = Registry::start(false);
    let (reference, layers) = registry.push(None);
    let document = printed(&hash(&home(&[]), &[&reference]));
    assert_eq!(document["layers"], layers);
    assert_eq!(document["reference"], json!(reference));

    // A tag, which only a push of its own makes: the digest is said.
    let digest = reference.split_once('@').unwrap().1;
    let url = format!("http://{}/v2/suite/app/manifests", registry.address);
    let curl = format!(
        "curl -sf -H 'Accept: application/vnd.oci.image.manifest.v1+json' {url}/{digest} | \
         curl -sf -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary @- {url}/one"
    );
    let tagged = Command::new("sh").args(["-c", &curl]).status().unwrap();
    assert!(tagged.success());
    let tag = format!("{}/suite/app:one", registry.address);
    assert_eq!(printed(&hash(&home(&[]), &[&tag])), document);

    for (wrong, code) in [
        (
            format!("{}/suite/app:two", registry.address),
            "CR-LAYER-0033",
        ),
        (
            format!("{}/suite/app@sha256:{}", registry.address, "0".repeat(64)),
            "CR-LAYER-0033",
        ),
        (
            format!("{}/suite/app@sha256:00", registry.address),
            "CR-LAYER-0046",
        ),
        (
            format!("{}/Suite/app:one", registry.address),
            "CR-LAYER-0046",
        ),
    ] {
        let (got, message) = refusal(&hash(&home(&[]), &[&wrong]));
        assert_eq!(got, code, "{wrong}: {message}");
    }
}

#[test]
fn a_registry_that_is_not_there_is_said_to_be_unreachable() {
    let gone = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let (code, message) = refusal(&hash(&home(&[]), &[&format!("{gone}/app:one")]));
    assert_eq!(code, "CR-LAYER-0047");
    assert!(message.contains("refused"), "{message}");
}

#[test]
fn accounts_come_from_dockers_configuration_and_its_helpers() {
    let registry = Registry::start(true);
    let (reference, layers) = registry.push(Some(login("open sesame")));
    let address = registry.address.as_str();
    let auth = |password: &str| {
        use base64::Engine as _;
        let text = format!("reader:{password}");
        base64::prelude::BASE64_STANDARD.encode(text)
    };
    let good = format!(
        r#"read server; [ "$1" = get ] && [ "$server" = "{address}" ] && echo '{{"ServerURL":"{address}","Username":"reader","Secret":"open sesame"}}'"#
    );
    let wrong = good.replace("open sesame", "expired");
    let none = "cat >/dev/null; echo 'credentials not found in native keychain'; exit 1";
    let broken = "cat >/dev/null; echo 'Secret: open sesame' >&2; exit 3";
    let noise = "cat >/dev/null; echo 'open sesame'";

    let file = |password: &str| json!({ "auths": { address: { "auth": auth(password) } } });
    let helper = json!({ "credHelpers": { address: "test" } });
    let store = json!({ "credsStore": "test", "auths": { address: {} } });
    let accepted = [
        home(&[]).configured(&file("open sesame")),
        home(&[]).configured(
            &json!({ "auths": { format!("https://{address}"): { "auth": auth("open sesame") } } }),
        ),
        home(&[("docker-credential-test", &good)]).configured(&helper),
        home(&[("docker-credential-test", &good)]).configured(&store),
    ];
    for home in &accepted {
        assert_eq!(printed(&hash(home, &[&reference]))["layers"], layers);
    }
    let refused = [
        (home(&[]), "CR-LAYER-0048", "without a credential"),
        (
            home(&[]).configured(&file("expired")),
            "CR-LAYER-0048",
            "to reader",
        ),
        (
            home(&[("docker-credential-test", &wrong)]).configured(&helper),
            "CR-LAYER-0048",
            "to reader",
        ),
        (
            home(&[("docker-credential-test", none)]).configured(&helper),
            "CR-LAYER-0048",
            "without a credential",
        ),
        (
            home(&[("docker-credential-test", broken)]).configured(&helper),
            "CR-LAYER-0049",
            "docker-credential-test failed",
        ),
        (
            home(&[("docker-credential-test", noise)]).configured(&store),
            "CR-LAYER-0049",
            "did not answer with",
        ),
        (
            home(&[]).configured(&helper),
            "CR-LAYER-0049",
            "cannot be started",
        ),
        (
            home(&[]).configured(&json!({ "credHelpers": { address: "../x" } })),
            "CR-LAYER-0049",
            "no name of a credential helper",
        ),
        (
            home(&[]).configured(&json!({ "auths": { address: { "auth": "open sesame" } } })),
            "CR-LAYER-0049",
            "not base64",
        ),
        (
            home(&[]).configured(&json!({ "auths": "open sesame" })),
            "CR-LAYER-0049",
            "no Docker configuration",
        ),
    ];
    for (home, code, reason) in &refused {
        let (got, message) = refusal(&hash(home, &[&reference]));
        assert_eq!(got, *code, "{message}");
        assert!(message.contains(reason), "{message}");
        assert!(!message.contains("sesame"), "{message}");
    }
}

#[test]
fn an_engines_image_is_read_through_its_socket() {
    let engine = std::env::vars().find(|(name, _)| name == "DOCKER_HOST");
    let socket = engine.map_or_else(|| "/var/run/docker.sock".to_owned(), |(_, value)| value);
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/cce/images");
    let archive = vectors.join("docker-save-20.10.tar");
    let loaded = Command::new("docker")
        .arg("load")
        .arg("--input")
        .arg(&archive)
        .output()
        .unwrap();
    assert!(
        loaded.status.success(),
        "{}",
        String::from_utf8_lossy(&loaded.stderr)
    );
    let said = String::from_utf8(loaded.stdout).unwrap();
    let name = said.trim().rsplit_once(": ").unwrap().1.trim().to_owned();
    let asked = hash(
        &home(&[]),
        &[&format!("docker-daemon:{name}"), "--docker-socket", &socket],
    );
    let absent = hash(
        &home(&[]),
        &["docker-daemon:no/such:image", "--docker-socket", &socket],
    );
    let removed = Command::new("docker")
        .args(["image", "rm", &name])
        .output()
        .unwrap();
    assert!(removed.status.success());
    let from_file = printed(&hash(&home(&[]), &[archive.to_str().unwrap()]));
    assert_eq!(printed(&asked), from_file);
    assert_eq!(refusal(&absent).0, "CR-LAYER-0042");
    let nobody = hash(
        &home(&[]),
        &[
            "docker-daemon:app",
            "--docker-socket",
            "/nowhere/docker.sock",
        ],
    );
    assert_eq!(refusal(&nobody).0, "CR-LAYER-0047");
    let far = hash(
        &home(&[]),
        &["docker-daemon:app", "--docker-socket", "tcp://127.0.0.1:1"],
    );
    assert_eq!(refusal(&far).0, "CR-CLI-0003");
}

#[test]
fn published_images_are_verified_in_a_layout_and_in_a_registry() {
    let registry = Registry::start(false);
    let (reference, layers) = registry.push(None);
    let digest = reference.split_once('@').unwrap().1;
    let folder = registry.folder.path();
    let layout = folder.join("layout");
    let built: Value =
        serde_json::from_slice(&fs::read(layout.join("images.json")).unwrap()).unwrap();
    let index: Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let manifest = index["manifests"][0]["digest"].as_str().unwrap();
    assert_eq!(manifest, digest);
    let blob = |digest: &str| layout.join("blobs/sha256").join(&digest[7..]);
    let manifest: Value = serde_json::from_slice(&fs::read(blob(manifest)).unwrap()).unwrap();
    let layer = &manifest["layers"][0];
    let file = |name: &str| {
        fs::write(folder.join(name), "{}").unwrap();
        let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        json!({ "file": name, "digest": digest })
    };
    let published = json!({
        "version": 1,
        "converter": image_layers::CONVERTER,
        "platform": "linux/amd64",
        "images": [{
            "name": "app",
            "digest": digest,
            "config": built[0]["config"],
            "size": layer["size"],
            "layers": [{
                "blob": layer["digest"],
                "size": layer["size"],
                "diff_id": layers[0]["diff_id"],
                "root_hash": layers[0]["root_hash"],
            }],
            "sbom": file("sbom.json"),
        }],
        "provenance": file("provenance.json"),
    });
    let path = folder.join("image-manifest.json");
    let verify = |manifest: &Value, source: &str, more: &[&str]| {
        fs::write(&path, manifest.to_string()).unwrap();
        let home = home(&[]);
        Command::new(env!("CARGO_BIN_EXE_cleanroom"))
            .args(["images", "verify", source, "--output", "json", "--manifest"])
            .arg(&path)
            .args(more)
            .env_clear()
            .env("HOME", home.0.path())
            .output()
            .unwrap()
    };
    let report = |output: &Output, code: i32| -> Value {
        assert_eq!(
            output.status.code(),
            Some(code),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let layout_name = layout.to_str().unwrap();
    let suite = format!("{}/suite", registry.address);
    for source in [layout_name, &suite] {
        let report = report(&verify(&published, source, &["--files"]), 0);
        assert_eq!([&report["asListed"], &report["signed"]], [true, false]);
        assert_eq!(report["images"][0]["differences"], json!([]));
    }
    let mut other = published.clone();
    other["images"][0]["layers"][0]["root_hash"] = json!("0".repeat(64));
    for source in [layout_name, &suite] {
        let report = report(&verify(&other, source, &[]), 1);
        assert_eq!(report["asListed"], false);
        let difference = &report["images"][0]["differences"][0];
        assert_eq!(difference["what"], "layer 0 root_hash");
        assert_eq!(difference["actual"], layers[0]["root_hash"]);
    }
    let mut absent = published.clone();
    absent["images"][0]["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    let said = report(&verify(&absent, layout_name, &[]), 1);
    assert_eq!(said["images"][0]["differences"][0]["actual"], "not there");
    assert_eq!(refusal(&verify(&absent, &suite, &[])).0, "CR-LAYER-0033");
    fs::write(folder.join("sbom.json"), "{ }").unwrap();
    let said = report(&verify(&published, layout_name, &["--files"]), 1);
    assert_eq!(said["files"][0]["what"], "sbom.json");

    // The signed manifest spares the layers; another publisher's does not.
    let key = |name: &str| {
        let path = folder.join(name);
        let made = Command::new("openssl")
            .args(["genpkey", "-algorithm", "EC", "-pkeyopt"])
            .args(["ec_paramgen_curve:P-384", "-out"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(made.status.success());
        let public = Command::new("openssl")
            .args(["pkey", "-pubout", "-in"])
            .arg(&path)
            .output()
            .unwrap();
        fs::write(folder.join(format!("{name}.pub")), public.stdout).unwrap();
        fs::read(path).unwrap()
    };
    let (own, _) = (key("own"), key("other"));
    let signed = folder.join("signed.cose");
    let text = published.to_string();
    fs::write(&signed, image_builder::sign(text.as_bytes(), &own).unwrap()).unwrap();
    fs::remove_file(blob(layer["digest"].as_str().unwrap())).unwrap();
    let by = |name: &str| {
        let public = folder.join(name);
        let arguments = [
            layout_name,
            "--published",
            signed.to_str().unwrap(),
            "--published-key",
            public.to_str().unwrap(),
        ];
        hash(&home(&[]), &arguments)
    };
    assert_eq!(printed(&by("own.pub"))["layers"], layers);
    assert_eq!(refusal(&by("other.pub")).0, "CR-IMAGE-0015");

    // Without a key the report says that nobody vouches for the manifest; with one that it is signed.
    let said = |manifest: &Path, more: &[&str]| {
        let home = home(&[]);
        let output = Command::new(env!("CARGO_BIN_EXE_cleanroom"))
            .args(["images", "verify", &suite, "--manifest"])
            .arg(manifest)
            .args(more)
            .env_clear()
            .env("HOME", home.0.path())
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let public = folder.join("own.pub");
    let (code, text) = said(&signed, &["--key", public.to_str().unwrap()]);
    assert_eq!(code, Some(0));
    assert!(text.contains("verified: all is as the signed manifest") && !text.contains("UNSIGNED"));
    for (manifest, code) in [(&published, 0), (&other, 1)] {
        fs::write(&path, manifest.to_string()).unwrap();
        let (exit, text) = said(&path, &[]);
        assert_eq!(exit, Some(code));
        assert!(text.starts_with("UNSIGNED: "), "{text}");
        let last = text.lines().last().unwrap();
        assert!(
            last.contains("UNSIGNED") && !last.starts_with("verified"),
            "{text}"
        );
    }
    let mut nowhere = published.clone();
    nowhere["platform"] = json!("linux");
    assert_eq!(refusal(&verify(&nowhere, &suite, &[])).0, "CR-IMAGE-0013");
}
