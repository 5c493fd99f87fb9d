//! Keys bound to a deployment.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use emulators::vault::Vault;
use serde_json::json;

use super::Desk;
use crate::config::read_specification;
use crate::config::wrap::wrap;
use crate::stores::{self, DataStores};

const HOST_DATA: [u8; 32] = [0x5a; 32];

/// Two datasets of one key encryption key.
pub(super) async fn prepared() -> Desk {
    let desk = Desk::online().await;
    desk.stores().await;
    desk.ok("config init --cleanroom-config @litware.yaml")
        .await;
    desk.ok(
        "config add-identity az-federated --cleanroom-config @litware.yaml --name litware-identity \
         --client-id 11111111-1111-1111-1111-111111111111 --tenant-id 22222222-2222-2222-2222-222222222222",
    )
    .await;
    for (verb, name) in [("add-datasource", "input"), ("add-datasink", "output")] {
        desk.ok(&desk.add_datastore(name, "CSE")).await;
        desk.ok(&format!(
            "config {verb} --cleanroom-config @litware.yaml --datastore-name {name} --datastore-config @datastores.yaml \
             --identity litware-identity --secretstore-config @secretstores.yaml --dek-secret-store deks \
             --kek-secret-store keks --kek-name litware-kek"
        ))
        .await;
    }
    desk
}

pub(super) async fn bind(desk: &Desk, host_data: &[u8; 32]) {
    let spec = read_specification(&desk.path("litware.yaml")).unwrap();
    let stores: DataStores = stores::read(&desk.path("datastores.yaml")).unwrap();
    let azure = desk.access.given.as_ref().unwrap();
    let wrapped = wrap(&spec, &stores, host_data, azure).await.unwrap();
    assert_eq!(wrapped.len(), 2);
}

fn vault(desk: &Desk) -> &Vault {
    &desk.world().services().vaults["litwarekv.vault.azure.net"]
}

#[tokio::test]
async fn a_key_is_imported_once_under_the_exact_release_policy_and_again_only_for_other_host_data()
{
    let desk = prepared().await;
    bind(&desk, &HOST_DATA).await;
    let authority = desk.world().url("sharedneu.neu.attest.azure.net");
    assert_eq!(
        vault(&desk).release_policy("litware-kek").unwrap(),
        json!({"version": "1.0.0", "anyOf": [{
            "authority": authority.as_str().trim_end_matches('/'),
            "allOf": [
                {"claim": "x-ms-sevsnpvm-hostdata", "equals": hex::encode(HOST_DATA)},
                {"claim": "x-ms-compliance-status", "equals": "azure-compliant-uvm"},
                {"claim": "x-ms-attestation-type", "equals": "sevsnpvm"},
                {"claim": "x-ms-sevsnpvm-is-debuggable", "equals": false},
                {"claim": "x-ms-sevsnpvm-vmpl", "equals": 0},
                {"claim": "x-ms-sevsnpvm-guestsvn-int", "greaterOrEquals": 104},
            ],
        }]})
    );
    assert_eq!(vault(&desk).key_versions("litware-kek"), 1);
    bind(&desk, &HOST_DATA).await;
    assert_eq!(vault(&desk).key_versions("litware-kek"), 1);
    bind(&desk, &[1; 32]).await;
    assert_eq!(vault(&desk).key_versions("litware-kek"), 2);
}

#[tokio::test]
async fn the_wrapped_keys_are_in_the_vault_and_no_key_encryption_key_is_on_the_disk() {
    let desk = prepared().await;
    bind(&desk, &HOST_DATA).await;
    let mut seen = Vec::new();
    for name in ["input", "output"] {
        let value = vault(&desk)
            .secret(&format!("wrapped-{name}-dek-litware-kek"))
            .unwrap();
        let wrapped = BASE64_STANDARD.decode(value).unwrap();
        assert_eq!(wrapped.len(), 256, "RSA-2048");
        seen.push(wrapped);
    }
    assert_ne!(seen[0], seen[1]);
    let files: Vec<String> = super::tree(desk.folder.path()).into_keys().collect();
    assert_eq!(
        files,
        [
            "datastores.yaml",
            "keys/input.bin",
            "keys/output.bin",
            "litware.yaml",
            "secretstores.yaml"
        ]
    );
}

#[tokio::test]
async fn a_lost_data_key_is_told_before_anything_is_imported() {
    let desk = prepared().await;
    std::fs::remove_file(desk.path("keys/input.bin")).unwrap();
    let spec = read_specification(&desk.path("litware.yaml")).unwrap();
    let stores: DataStores = stores::read(&desk.path("datastores.yaml")).unwrap();
    let azure = desk.access.given.as_ref().unwrap();
    assert!(wrap(&spec, &stores, &HOST_DATA, azure).await.is_err());
    assert_eq!(vault(&desk).key_versions("litware-kek"), 0);
}
