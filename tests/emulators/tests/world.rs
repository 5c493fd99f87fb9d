//! A world over its own TLS: names, certificates, upsets, the request log, the admin port.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]
use std::time::{Duration, Instant};

use emulators::upset::{Kind, Upset};
use emulators::world::{Authority, CGS_HOST, MAA_HOST, World, WorldConfig};
use reqwest::{Certificate, Client, StatusCode};

async fn world() -> World {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    World::start(WorldConfig::two_parties()).await.unwrap()
}

/// Trusts `root` alone and finds every name of the world at its port.
fn client_trusting(world: &World, root: &str) -> reqwest::ClientBuilder {
    let roots = [Certificate::from_pem(root.as_bytes()).unwrap()];
    let builder = Client::builder().tls_certs_only(roots).no_proxy();
    world
        .hosts()
        .iter()
        .fold(builder, |builder, host| builder.resolve(host, world.addr()))
}

fn client(world: &World) -> Client {
    client_trusting(world, world.ca_pem()).build().unwrap()
}

fn url(world: &World, path: &str) -> url::Url {
    world.url("operator.azurecr.io").join(path).unwrap()
}

#[tokio::test]
async fn every_name_has_a_certificate_of_its_own_under_the_worlds_root() {
    let world = world().await;
    let client = client(&world);
    for host in world.hosts() {
        let answer = client
            .get(world.url(&host))
            .send()
            .await
            .unwrap_or_else(|e| panic!("{host}: {e:?}"));
        assert_ne!(answer.status(), StatusCode::MISDIRECTED_REQUEST, "{host}");
    }
    let other = Authority::new("another root").unwrap();
    let distrust = client_trusting(&world, &other.pem()).build().unwrap();
    assert!(distrust.get(world.url(MAA_HOST)).send().await.is_err());
    assert!(
        world
            .hosts()
            .contains(&"litwarestore.z1.web.core.windows.net".to_owned())
    );
    assert!(
        world
            .hosts()
            .contains(&"fabrikamhsm.managedhsm.azure.net".to_owned())
    );
}

#[tokio::test]
async fn both_http_versions_reach_the_service_that_was_named() {
    let world = world().await;
    let second = client(&world)
        .get(url(&world, "/v2/"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (second.version(), second.status()),
        (reqwest::Version::HTTP_2, StatusCode::OK)
    );
    let first = client_trusting(&world, world.ca_pem())
        .http1_only()
        .build()
        .unwrap();
    let first = first.get(url(&world, "/v2/")).send().await.unwrap();
    assert_eq!(
        (first.version(), first.status()),
        (reqwest::Version::HTTP_11, StatusCode::OK)
    );
    // The right certificate under another Host is another site's business.
    let http1 = client_trusting(&world, world.ca_pem())
        .http1_only()
        .build()
        .unwrap();
    let misdirected = http1
        .get(url(&world, "/v2/"))
        .header("host", "www.example.com")
        .send()
        .await
        .unwrap();
    assert_eq!(misdirected.status(), StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn a_status_upset_hits_so_often_and_is_logged() {
    let world = world().await;
    let client = client(&world);
    world.upset(
        Upset::next("registry", Kind::Status(503))
            .at("/v2/")
            .times(2),
    );
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(
            client
                .get(url(&world, "/v2/"))
                .send()
                .await
                .unwrap()
                .status()
                .as_u16(),
        );
    }
    assert_eq!(seen, [503, 503, 200]);
    let logged: Vec<_> = world
        .requests("registry")
        .into_iter()
        .map(|r| (r.method, r.path, r.host, r.status))
        .collect();
    let row = |status| {
        (
            "GET".to_owned(),
            "/v2/".to_owned(),
            "operator.azurecr.io".to_owned(),
            status,
        )
    };
    assert_eq!(logged, [row(503), row(503), row(200)]);
    assert!(world.requests("blob").is_empty());
}

#[tokio::test]
async fn a_busy_front_end_speaks_the_services_language() {
    let world = world().await;
    world.upset(Upset::next("blob", Kind::Status(503)));
    let answer = client(&world)
        .get(world.url("litwarestore.blob.core.windows.net"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["x-ms-error-code"], "ServerBusy");
    assert!(
        answer
            .text()
            .await
            .unwrap()
            .contains("<Code>ServerBusy</Code>")
    );
}

#[tokio::test]
async fn a_delayed_answer_comes_late_and_right() {
    let world = world().await;
    let client = client(&world);
    client.get(url(&world, "/v2/")).send().await.unwrap();
    world.upset(Upset::next("registry", Kind::Delay(150)));
    let begun = Instant::now();
    assert_eq!(
        client
            .get(url(&world, "/v2/"))
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::OK
    );
    assert!(begun.elapsed() >= Duration::from_millis(150));
}

/// Uploads the blob "data" in one request.
async fn upload(world: &World) -> reqwest::Result<reqwest::Response> {
    client(world)
        .post(url(world, &format!("/v2/app/blobs/uploads/?digest={DATA}")))
        .body("data")
        .send()
        .await
}

const DATA: &str = "sha256:3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7";

#[tokio::test]
async fn a_reset_cuts_the_connection_before_the_work_and_a_lost_answer_after_it() {
    let world = world().await;
    world.upset(Upset::next("registry", Kind::Reset));
    assert!(upload(&world).await.is_err());
    assert!(world.services().registry.blobs("app").is_empty());
    world.upset(Upset::next("registry", Kind::LoseAnswer));
    assert!(upload(&world).await.is_err());
    assert_eq!(world.services().registry.blobs("app"), [DATA]);
    assert_eq!(
        world
            .requests("registry")
            .iter()
            .map(|r| r.status)
            .collect::<Vec<_>>(),
        [0, 0]
    );
    assert_eq!(upload(&world).await.unwrap().status(), StatusCode::CREATED);
}

#[tokio::test]
async fn a_truncated_body_ends_half_way_under_a_length_that_promises_more() {
    let world = world().await;
    for http1 in [true, false] {
        world.upset(Upset::next("registry", Kind::TruncateBody));
        let builder = client_trusting(&world, world.ca_pem());
        let client = if http1 { builder.http1_only() } else { builder }
            .build()
            .unwrap();
        let mut answer = client.get(url(&world, "/v2/")).send().await.unwrap();
        assert_eq!(
            (answer.status(), answer.content_length()),
            (StatusCode::OK, Some(2))
        );
        let mut read = Vec::new();
        let ended = loop {
            match answer.chunk().await {
                Ok(Some(part)) => read.extend_from_slice(&part),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        assert!(ended.is_err());
        assert_eq!(read, b"{");
    }
}

#[tokio::test]
async fn the_hosts_file_resolves_every_name_to_loopback() {
    let world = world().await;
    let file = world.hosts_file();
    for host in world
        .hosts()
        .iter()
        .map(String::as_str)
        .chain([CGS_HOST, "localhost"])
    {
        let found = file.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some("127.0.0.1") && words.any(|word| word == host)
        });
        assert!(found, "{host}");
    }
}

#[tokio::test]
async fn a_dropped_world_no_longer_answers() {
    let world = world().await;
    let (addr, client, url) = (world.addr(), client(&world), url(&world, "/v2/"));
    client.get(url.clone()).send().await.unwrap();
    world.stop().await;
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
    assert!(client.get(url).send().await.is_err());
}

#[tokio::test]
async fn other_processes_order_upsets_read_the_log_and_search_the_wire() {
    let world = world().await;
    let admin = format!("http://{}", world.serve_admin().await.unwrap());
    let plain = Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap();
    let upset = r#"{"service":"registry","path_contains":"/v2/","kind":{"status":429}}"#;
    let put = plain
        .put(format!("{admin}/upset"))
        .header("content-type", "application/json")
        .body(upset);
    assert_eq!(put.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(
        client(&world)
            .get(url(&world, "/v2/"))
            .send()
            .await
            .unwrap()
            .status(),
        429
    );
    let log = plain
        .get(format!("{admin}/requests?service=registry"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let mut log: serde_json::Value = serde_json::from_str(&log).unwrap();
    // How long it took differs from run to run; that it is told does not.
    let micros = log[0].as_object_mut().unwrap().remove("micros");
    assert!(micros.is_some_and(|micros| micros.is_u64()));
    assert_eq!(
        log,
        serde_json::json!([
            {"method": "GET", "path": "/v2/", "host": "operator.azurecr.io", "status": 429}
        ])
    );
    let output = world
        .url("litwarestore.blob.core.windows.net")
        .join("/output/a")
        .unwrap();
    client(&world)
        .put(output)
        .body("a body on the wire")
        .send()
        .await
        .unwrap();
    let contains = async |query: &str, needle: &'static str| {
        let asked = plain
            .post(format!("{admin}/wire/contains{query}"))
            .body(needle)
            .send()
            .await
            .unwrap();
        (asked.status().as_u16(), asked.text().await.unwrap())
    };
    assert_eq!(contains("", "on the wire").await, (200, "true".to_owned()));
    assert_eq!(
        contains("?container=output", "on the wire").await,
        (200, "true".to_owned())
    );
    assert_eq!(
        contains("?container=output", "elsewhere").await,
        (200, "false".to_owned())
    );
    // Where nothing came, "not there" proves nothing.
    assert_eq!(contains("?container=input", "on the wire").await.0, 409);
    assert_eq!(contains("?contaner=output", "on the wire").await.0, 400);
    assert!(world.blob_wire_contains(b"on the wire"));
    plain.post(format!("{admin}/stop")).send().await.unwrap();
    world.stopped().await;
}

#[test]
fn configuration_with_a_spelling_mistake_is_refused() {
    let party = r#"{"name":"litware","tenant_id":"t","storage_accounts":["a",{"name":"b","grants":["c"]}]}"#;
    let config: WorldConfig = serde_json::from_str(&format!(r#"{{"tenants":[{party}]}}"#)).unwrap();
    assert_eq!(config.parties[0].storage_accounts[1].grants, ["c"]);
    assert!(serde_json::from_str::<WorldConfig>(&format!(r#"{{"partys":[{party}]}}"#)).is_err());
}
