//! The registry as an OCI client meets it, over the world's TLS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]
use emulators::world::{World, WorldConfig};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, Config, ImageLayer};
use oci_client::manifest::{IMAGE_LAYER_MEDIA_TYPE, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use sha2::{Digest as _, Sha256};

async fn world() -> World {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    World::start(WorldConfig::two_parties()).await.unwrap()
}

fn client(world: &World, monolithic: bool) -> Client {
    let root = Certificate {
        encoding: CertificateEncoding::Pem,
        data: world.ca_pem().as_bytes().to_vec(),
    };
    let config = ClientConfig {
        tls_certs_only: vec![root],
        use_monolithic_push: monolithic,
        ..ClientConfig::default()
    };
    Client::new(config)
}

fn image(world: &World, tail: &str) -> Reference {
    format!("localhost:{}/team/app{tail}", world.addr().port())
        .parse()
        .unwrap()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

async fn push(world: &World, monolithic: bool) -> String {
    let layers = [ImageLayer::new(
        b"layer bytes".to_vec(),
        IMAGE_LAYER_MEDIA_TYPE.to_owned(),
        None,
    )];
    let config = Config::oci_v1(br#"{"architecture":"amd64"}"#.to_vec(), None);
    let manifest = OciImageManifest::build(&layers, &config, None);
    let auth = RegistryAuth::Anonymous;
    let pushed = client(world, monolithic)
        .push(&image(world, ":v1"), &layers, config, &auth, Some(manifest))
        .await;
    pushed
        .unwrap()
        .manifest_url
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn what_was_pushed_in_one_piece_or_in_chunks_is_pulled_by_tag_and_by_digest() {
    let world = world().await;
    let chunked = push(&world, false).await;
    assert_eq!(push(&world, true).await, chunked);
    for tail in [":v1".to_owned(), format!("@{chunked}")] {
        let pulled = client(&world, false)
            .pull(
                &image(&world, &tail),
                &RegistryAuth::Anonymous,
                vec![IMAGE_LAYER_MEDIA_TYPE],
            )
            .await
            .unwrap_or_else(|e| panic!("{tail}: {e}"));
        assert_eq!(pulled.layers[0].data.as_ref(), b"layer bytes");
        assert_eq!(pulled.digest.as_deref(), Some(chunked.as_str()));
    }
}

#[tokio::test]
async fn a_client_detects_a_blob_and_a_manifest_that_changed_on_the_wire() {
    let world = world().await;
    let manifest = push(&world, true).await;
    let pull = async || {
        let reference = image(&world, &format!("@{manifest}"));
        client(&world, false)
            .pull(
                &reference,
                &RegistryAuth::Anonymous,
                vec![IMAGE_LAYER_MEDIA_TYPE],
            )
            .await
            .map(|_| ())
    };
    let registry = &world.services().registry;
    for corrupted in [
        digest(b"layer bytes"),
        digest(br#"{"architecture":"amd64"}"#),
        manifest.clone(),
    ] {
        registry.corrupt_blob(&corrupted);
        assert!(pull().await.is_err(), "{corrupted}");
        registry.heal();
        pull().await.unwrap();
    }
}

#[tokio::test]
async fn an_unknown_digest_is_a_typed_refusal() {
    let world = world().await;
    push(&world, true).await;
    let absent = image(&world, &format!("@{}", digest(b"absent")));
    let error = client(&world, false)
        .pull(
            &absent,
            &RegistryAuth::Anonymous,
            vec![IMAGE_LAYER_MEDIA_TYPE],
        )
        .await
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .to_lowercase()
            .contains("manifest unknown"),
        "{error}"
    );
}

struct Raw {
    client: reqwest::Client,
    base: String,
}

impl Raw {
    fn new(world: &World) -> Self {
        let root = reqwest::Certificate::from_pem(world.ca_pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only([root])
            .no_proxy()
            .build()
            .unwrap();
        Self {
            client,
            base: format!("https://localhost:{}", world.addr().port()),
        }
    }

    /// Status and first error code.
    async fn send(
        &self,
        method: &str,
        path: &str,
        body: &'static [u8],
        header: Option<(&str, &str)>,
    ) -> (u16, String) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .body(body);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body: serde_json::Value =
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
        (
            status,
            body["errors"][0]["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    }
}

#[tokio::test]
async fn content_under_another_digest_does_not_enter() {
    let world = world().await;
    let raw = Raw::new(&world);
    let upload = format!("/v2/app/blobs/uploads/?digest={}", digest(b"right"));
    assert_eq!(
        raw.send("POST", &upload, b"wrong", None).await,
        (400, "DIGEST_INVALID".to_owned())
    );
    assert_eq!(raw.send("POST", &upload, b"right", None).await.0, 201);
    assert_eq!(world.services().registry.blobs("app"), [digest(b"right")]);
    let kind = Some(("content-type", "application/vnd.oci.image.manifest.v1+json"));
    let by_digest = format!("/v2/app/manifests/{}", digest(b"other"));
    assert_eq!(
        raw.send("PUT", &by_digest, b"{}", kind).await,
        (400, "DIGEST_INVALID".to_owned())
    );
    assert_eq!(
        raw.send("PUT", "/v2/app/manifests/v1", b"no json", kind)
            .await,
        (400, "MANIFEST_INVALID".to_owned())
    );
    let unknown = br#"{"config":{"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}}"#;
    assert_eq!(
        raw.send("PUT", "/v2/app/manifests/v1", unknown, kind).await,
        (400, "MANIFEST_BLOB_UNKNOWN".to_owned())
    );
    assert!(world.services().registry.manifest("app", "v1").is_none());
}

#[tokio::test]
async fn chunks_that_do_not_follow_and_sessions_of_other_repositories_are_refused() {
    let world = world().await;
    let raw = Raw::new(&world);
    let begun = raw
        .client
        .post(format!("{}/v2/app/blobs/uploads/", raw.base))
        .send()
        .await
        .unwrap();
    let session = begun.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(
        raw.send("PATCH", &session, b"abc", Some(("content-range", "0-2")))
            .await
            .0,
        202
    );
    let gap = raw
        .send("PATCH", &session, b"def", Some(("content-range", "4-6")))
        .await;
    assert_eq!(gap, (416, "BLOB_UPLOAD_INVALID".to_owned()));
    let stolen = session.replace("/v2/app/", "/v2/other/");
    assert_eq!(
        raw.send("PATCH", &stolen, b"def", None).await,
        (404, "BLOB_UPLOAD_UNKNOWN".to_owned())
    );
    let done = format!("{session}?digest={}", digest(b"abcdef"));
    assert_eq!(raw.send("PUT", &done, b"def", None).await.0, 201);
    let range = Some(("range", "bytes=2-3"));
    assert_eq!(
        raw.send(
            "GET",
            &format!("/v2/app/blobs/{}", digest(b"abcdef")),
            b"",
            range
        )
        .await
        .0,
        206
    );
}

#[tokio::test]
async fn pushing_asks_for_the_login_that_pulling_does_not_need() {
    let world = world().await;
    push(&world, true).await;
    world
        .services()
        .registry
        .require_push_login("operator", "sesame");
    let raw = Raw::new(&world);
    let upload = format!("/v2/app/blobs/uploads/?digest={}", digest(b"right"));
    assert_eq!(
        raw.send("POST", &upload, b"right", None).await,
        (401, "UNAUTHORIZED".to_owned())
    );
    let wrong = Some(("authorization", "Basic b3BlcmF0b3I6d3Jvbmc="));
    assert_eq!(
        raw.send("POST", &upload, b"right", wrong).await,
        (401, "UNAUTHORIZED".to_owned())
    );
    let right = Some(("authorization", "Basic b3BlcmF0b3I6c2VzYW1l"));
    assert_eq!(raw.send("POST", &upload, b"right", right).await.0, 201);
    assert_eq!(
        raw.send("GET", "/v2/team/app/manifests/v1", b"", None)
            .await
            .0,
        200
    );
}
