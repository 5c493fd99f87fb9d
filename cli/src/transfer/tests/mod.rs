//! Transfers between folders and a container in memory that others meddle with.

mod desk;
mod manifests;
mod resume;
mod trouble;
mod verdicts;

use std::collections::BTreeMap;

use blob_format::manifest;
use blob_store::BlobStore;

use self::desk::{Desk, tree};

#[tokio::test]
async fn a_dataset_grows_and_only_a_mirror_forgets() {
    let desk = Desk::new("v2");
    desk.write("in", &[("a", b"one"), ("b/c", b"two")]);
    let first = desk.upload("in").await.unwrap().root;
    desk.write("more", &[("d", b"three"), ("a", b"other")]);

    // What stays in the list must be known to be ours.
    let refused = desk.upload_as("more", None, false).await.unwrap_err();
    assert!(refused.to_string().contains("--manifest-hmac"), "{refused}");
    let old = first.unwrap().parse().unwrap();
    desk.upload_as("more", Some(old), false).await.unwrap();
    desk.download("out").await.unwrap();
    let expected: BTreeMap<String, Vec<u8>> = [("a", "other"), ("b/c", "two"), ("d", "three")]
        .map(|(name, text)| (name.to_owned(), text.into()))
        .into();
    assert_eq!(tree(&desk.path("out")), expected);

    desk.upload_as("more", None, true).await.unwrap();
    assert_eq!(desk.names(), [manifest::PATH, "a", "d"]);
    desk.download("exact").await.unwrap();
    assert_eq!(tree(&desk.path("exact")), tree(&desk.path("more")));
}

#[tokio::test]
async fn a_listed_file_that_storage_lost_is_told_before_anything_is_sent() {
    let desk = Desk::new("v2");
    desk.write("in", &[("a", b"one"), ("b", b"two")]);
    let known = desk
        .upload("in")
        .await
        .unwrap()
        .root
        .unwrap()
        .parse()
        .unwrap();
    let always = blob_store::Condition::Always;
    desk.memory.delete("b", &always).await.unwrap();
    desk.write("more", &[("c", b"three")]);
    let refused = desk
        .upload_as("more", Some(known), false)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("\"b\""), "{refused}");
    assert_eq!(desk.names(), [manifest::PATH, "a"]);
}

#[tokio::test]
async fn a_folder_of_sealed_files_is_a_dataset_too() {
    for format in ["v2", "cse-v1-4m"] {
        let desk = Desk::new(format);
        let big: Vec<u8> = (0..(9 << 20) + 5_u32).map(|i| (i % 251) as u8).collect();
        desk.write("in", &[("a", b"one"), ("b/big", &big), ("empty", b"")]);
        let sealed = desk.folder("sealed");
        desk.upload_to(&sealed, "in").await.unwrap();
        assert!(desk.path("sealed").join(manifest::PATH).exists());
        desk.download_from(&sealed, "out").await.unwrap();
        assert_eq!(tree(&desk.path("out")), tree(&desk.path("in")), "{format}");
        let hidden = |name: &str| name.contains(".partial");
        assert!(!tree(&desk.path("sealed")).keys().any(|name| hidden(name)));
    }
}
