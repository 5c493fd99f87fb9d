//! Which manifest is written over which.

use std::sync::Mutex;

use blob_format::manifest;
use blob_store::{BlobStore, Condition, StoreError};

use super::desk::{Desk, tree};
use crate::CliError;
use crate::transfer::{Coming, Known, Moved};

fn root(moved: &Moved) -> manifest::ManifestHmac {
    moved.root.as_ref().unwrap().parse().unwrap()
}

async fn upload(desk: &Desk, folder: &str, known: &Known, mirror: bool) -> Result<Moved, CliError> {
    desk.upload_with(folder, known, &|_| Ok(()), mirror).await
}

#[tokio::test]
async fn a_manifest_that_storage_hides_is_not_forgotten() {
    let desk = Desk::new("v2");
    desk.write("in", &[("a", b"one"), ("b", b"two")]);
    let known = Known::only(root(&desk.upload("in").await.unwrap()));
    let hidden = desk.memory.bytes(manifest::PATH).unwrap();
    let always = Condition::Always;
    desk.memory.delete(manifest::PATH, &always).await.unwrap();
    desk.write("more", &[("c", b"three")]);
    desk.requests();
    let refused = upload(&desk, "more", &known, false).await.unwrap_err();
    assert!(matches!(refused, CliError::Dataset { .. }), "{refused}");
    assert_eq!(desk.written(), Vec::<String>::new());

    let put = desk.memory.put_blob(manifest::PATH, hidden.into(), &always);
    put.await.unwrap();
    upload(&desk, "more", &known, false).await.unwrap();
    desk.download("out").await.unwrap();
    assert_eq!(tree(&desk.path("out")).len(), 3);
    desk.memory.delete(manifest::PATH, &always).await.unwrap();
    upload(&desk, "more", &known, true).await.unwrap();
    assert_eq!(desk.names(), [manifest::PATH, "c"]);
}

#[tokio::test]
async fn an_older_manifest_is_not_written_over_even_if_nothing_of_it_stays() {
    let desk = Desk::new("v2");
    desk.write("in", &[("a", b"one")]);
    let first = Known::only(root(&desk.upload("in").await.unwrap()));
    let older = desk.memory.bytes(manifest::PATH).unwrap();
    desk.write("more", &[("b", b"two")]);
    let known = Known::only(root(&upload(&desk, "more", &first, false).await.unwrap()));
    desk.memory.tamper(manifest::PATH, |bytes| *bytes = older);
    desk.requests();
    let refused = upload(&desk, "in", &known, false).await.unwrap_err();
    assert!(refused.to_string().contains("--manifest-hmac"), "{refused}");
    assert_eq!(desk.written(), Vec::<String>::new());
}

#[tokio::test]
async fn a_manifest_is_noted_before_it_is_written_and_known_afterwards() {
    let desk = Desk::new("v2");
    desk.write("in", &[("a", b"one"), ("b", b"two")]);
    let old = root(&desk.upload("in").await.unwrap());
    desk.write("more", &[("c", b"three")]);
    let noted = Mutex::new(Vec::new());
    let expect = |coming: &Coming| {
        noted.lock().unwrap().push((coming.over, coming.root));
        Ok(())
    };

    // Every other file is gone from the list and the container says no: the command ends in between.
    desk.meddle(|(kind, ..)| {
        (*kind == "delete").then(|| StoreError::Forbidden {
            code: "test".to_owned(),
        })
    });
    let known = Known::only(old);
    let stopped = desk.upload_with("more", &known, &expect, true).await;
    stopped.unwrap_err();
    let (over, coming) = noted.lock().unwrap()[0];
    assert_eq!(over, Some(old));
    desk.calm();
    let known = Known {
        written: Some(old),
        perhaps: vec![coming],
    };
    let moved = upload(&desk, "more", &known, true).await.unwrap();
    assert_eq!(root(&moved), coming);
    assert_eq!(desk.names(), [manifest::PATH, "c"]);

    // A note that cannot be made leaves the manifest as it is.
    let stuck = |_: &Coming| {
        Err(CliError::io(
            "the list",
            std::io::ErrorKind::StorageFull.into(),
        ))
    };
    let known = Known::only(coming);
    let refused = desk.upload_with("in", &known, &stuck, false).await;
    refused.unwrap_err();
    upload(&desk, "in", &known, false).await.unwrap();
}
