//! The test application as an image of one layer.

use std::io::Write;

use emulators::world::World;
use flate2::Compression;
use flate2::write::GzEncoder;
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, Config, ImageLayer};
use oci_client::manifest::{IMAGE_LAYER_GZIP_MEDIA_TYPE, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use serde_json::json;
use sha2::{Digest, Sha256};

pub(crate) struct Image {
    /// By digest.
    pub(crate) reference: String,
    /// Digest of its layer.
    pub(crate) layer: String,
}

impl Image {
    pub(crate) async fn push(world: &World) -> Self {
        let tar = tar();
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&tar).unwrap();
        let packed = packed.finish().unwrap();
        let layer = digest(&packed);
        let layers = [ImageLayer::new(
            packed,
            IMAGE_LAYER_GZIP_MEDIA_TYPE.to_owned(),
            None,
        )];
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(&tar)]},
        });
        let config = Config::oci_v1(config.to_string().into_bytes(), None);
        let manifest = OciImageManifest::build(&layers, &config, None);
        let repository = format!("localhost:{}/team/app", world.addr().port());
        let tagged: Reference = format!("{repository}:v1").parse().unwrap();
        let client = client(world);
        let auth = RegistryAuth::Anonymous;
        let pushed = client.push(&tagged, &layers, config, &auth, Some(manifest));
        let url = pushed.await.unwrap().manifest_url;
        let manifest = url.rsplit('/').next().unwrap();
        Self {
            reference: format!("{repository}@{manifest}"),
            layer,
        }
    }
}

fn client(world: &World) -> Client {
    let root = Certificate {
        encoding: CertificateEncoding::Pem,
        data: world.ca_pem().as_bytes().to_vec(),
    };
    Client::new(ClientConfig {
        tls_certs_only: vec![root],
        use_monolithic_push: true,
        ..ClientConfig::default()
    })
}

fn tar() -> Vec<u8> {
    let own = std::env::current_exe().unwrap();
    let program = own.ancestors().nth(2).unwrap().join("examples/application");
    let program = std::fs::read(&program).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; `cargo test` without --test builds it",
            program.display()
        )
    });
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(program.len() as u64);
    tar.append_data(&mut header, "application", &program[..])
        .unwrap();
    tar.into_inner().unwrap()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
