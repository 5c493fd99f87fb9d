//! Listings.

use crate::calls::{call, put, stage, with_container};

fn names(xml: &str) -> Vec<String> {
    xml.split("<Name>")
        .skip(1)
        .map(|rest| rest.split("</Name>").next().unwrap().to_owned())
        .collect()
}

fn marker(xml: &str) -> Option<String> {
    Some(
        xml.split("<NextMarker>")
            .nth(1)?
            .split("</NextMarker>")
            .next()?
            .to_owned(),
    )
}

#[tokio::test]
async fn a_listing_pages_through_names_and_prefixes_once_each() {
    let blob = with_container().await;
    for name in [
        "a", "dir/1", "dir/2", "dir/3", "dir.txt", "z/deep/1", "z/deep/2", "zz",
    ] {
        put(&blob, &format!("/data/{name}"), name.as_bytes()).await;
    }
    stage(&blob, "/data/only-staged", 1, b"x").await;
    let collect = async |query: &str| {
        let (mut found, mut pages, mut next) = (Vec::new(), 0, None::<String>);
        loop {
            let from = next.map(|m| format!("&marker={m}")).unwrap_or_default();
            let page = call(
                &blob,
                "GET",
                &format!("/data?restype=container&comp=list{query}{from}"),
            )
            .send()
            .await
            .text();
            found.extend(names(&page));
            pages += 1;
            match marker(&page) {
                Some(more) => next = Some(more),
                None => return (found, pages),
            }
        }
    };
    let all = [
        "a", "dir.txt", "dir/1", "dir/2", "dir/3", "z/deep/1", "z/deep/2", "zz",
    ];
    assert_eq!(collect("").await, (all.map(str::to_owned).to_vec(), 1));
    assert_eq!(
        collect("&maxresults=3").await,
        (all.map(str::to_owned).to_vec(), 3)
    );
    let top = ["a", "dir.txt", "dir/", "z/", "zz"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(collect("&delimiter=/").await, (top.clone(), 1));
    assert_eq!(collect("&delimiter=/&maxresults=1").await, (top, 5));
    assert_eq!(
        collect("&prefix=dir/&delimiter=/").await.0,
        ["dir/1", "dir/2", "dir/3"]
    );
    assert_eq!(collect("&prefix=none").await.0, [""; 0]);
    blob.begin_listings_empty("litwarestore", true);
    assert_eq!(collect("").await, (all.map(str::to_owned).to_vec(), 2));
}

#[tokio::test]
async fn a_listing_shows_metadata_but_not_that_of_blobs_under_a_key() {
    let blob = with_container().await;
    let write = |path: &str| {
        call(&blob, "PUT", path)
            .with("x-ms-blob-type", "BlockBlob")
            .with("x-ms-meta-kind", "a<b")
    };
    write("/data/open").send().await;
    write("/data/closed").key(&[7; 32]).send().await;
    let list = async |query: &str| {
        call(
            &blob,
            "GET",
            &format!("/data?restype=container&comp=list{query}"),
        )
        .send()
        .await
    };
    let text = list("&include=metadata").await.text();
    assert_eq!(text.matches("<kind>a&lt;b</kind>").count(), 1);
    assert_eq!(text.matches("<CustomerProvidedKeySha256>").count(), 1);
    assert!(text.contains("ServiceEndpoint=\"https://litwarestore.blob.core.windows.net:4443/\""));
    assert!(!list("").await.text().contains("<Metadata>"));
    // Mounts tell flat accounts from hierarchical ones by this refusal.
    assert_eq!(
        list("&include=permissions").await.refusal(),
        (400, "InvalidQueryParameterValue")
    );
    assert_eq!(
        list("&maxresults=0").await.refusal(),
        (400, "InvalidQueryParameterValue")
    );
    assert_eq!(
        list("&marker=***").await.refusal(),
        (400, "InvalidQueryParameterValue")
    );
}

#[tokio::test]
async fn names_that_xml_cannot_carry_are_listed_encoded() {
    let blob = with_container().await;
    put(&blob, "/data/a%01b", b"x").await;
    put(&blob, "/data/a%26b", b"x").await;
    let text = call(&blob, "GET", "/data?restype=container&comp=list")
        .send()
        .await
        .text();
    assert!(
        text.contains("<Name Encoded=\"true\">a%01b</Name>")
            && text.contains("<Name>a&amp;b</Name>"),
        "{text}"
    );
}
