//! Commands that need no service.

use super::Desk;

const IMAGE: &str = "litware.azurecr.io/demo-app@sha256:";

async fn fragment(desk: &Desk) {
    desk.stores().await;
    desk.write(
        "datastores.yaml",
        format!(
            "datastores:\n- name: input\n  secretstore_config: {}\n  secretstore_name: local\n  encryptionMode: CSE\n  \
             storeType: Azure_BlobStorage\n  storeProviderUrl: https://litwarestore.blob.core.windows.net\n  storeName: \
             input-container\n",
            desk.path("secretstores.yaml").display()
        ),
    );
    desk.ok("config init --cleanroom-config @litware.yaml")
        .await;
    desk.ok(
        "config add-identity az-federated --cleanroom-config @litware.yaml --name litware-identity \
         --client-id 11111111-1111-1111-1111-111111111111 --tenant-id 22222222-2222-2222-2222-222222222222",
    )
    .await;
    desk.ok(&dataset("add-datasource", "litware-input")).await;
}

fn dataset(verb: &str, name: &str) -> String {
    format!(
        "config {verb} --cleanroom-config @litware.yaml --datastore-name input --datastore-config @datastores.yaml \
         --identity litware-identity --secretstore-config @secretstores.yaml --dek-secret-store deks \
         --kek-secret-store keks --access-name {name}"
    )
}

fn application(datasource: &str) -> String {
    format!(
        "config add-application --cleanroom-config @litware.yaml --name demo-app --image {IMAGE}{} --command-line /demo-app \
         --datasources {datasource}=/mnt/remote/input --env-vars INPUT_LOCATION=/mnt/remote/input --cpu 0.5 --memory 4",
        "a".repeat(64)
    )
}

#[tokio::test]
async fn a_fragment_made_by_commands_is_a_valid_specification_without_key_material() {
    let desk = Desk::offline();
    fragment(&desk).await;
    desk.ok(&application("litware-input")).await;
    desk.ok("config validate --cleanroom-config @litware.yaml")
        .await;
    let written = desk.read("litware.yaml");
    for expected in [
        "clientId: 11111111-1111-1111-1111-111111111111",
        "name: input-container",
        r#"configuration: "{\"KeyType\":\"KEK\",\"EncryptionMode\":\"CSE\",\"format\":\"v2\"}""#,
        r#"{\"authority\":\"https://sharedneu.neu.attest.azure.net\",\"vaultKind\":\"KeyVault\"}"#,
        "protocol: AzureKeyVault_SecureKey",
    ] {
        assert!(written.contains(expected), "{expected} not in {written}");
    }
}

#[tokio::test]
async fn the_name_of_the_key_encryption_key_depends_on_the_access_name_and_not_on_a_path() {
    let desk = Desk::offline();
    fragment(&desk).await;
    let first = desk.read("litware.yaml");
    std::fs::rename(desk.path("litware.yaml"), desk.path("other.yaml")).unwrap();
    fragment_again(&desk).await;
    assert_eq!(first, desk.read("litware.yaml"));
    desk.ok(&dataset("add-datasink", "litware-output")).await;
    let names: std::collections::BTreeSet<String> = desk
        .read("litware.yaml")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("name: wrapped-input-dek-"))
        .map(ToOwned::to_owned)
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

async fn fragment_again(desk: &Desk) {
    desk.ok("config init --cleanroom-config @litware.yaml")
        .await;
    desk.ok(
        "config add-identity az-federated --cleanroom-config @litware.yaml --name litware-identity \
         --client-id 11111111-1111-1111-1111-111111111111 --tenant-id 22222222-2222-2222-2222-222222222222",
    )
    .await;
    desk.ok(&dataset("add-datasource", "litware-input")).await;
}

#[tokio::test]
async fn the_format_of_a_dataset_is_pinned_and_is_for_client_side_encryption_alone() {
    let desk = Desk::offline();
    fragment(&desk).await;
    for format in cleanroom_spec::Format::ALL {
        let name = format.as_str();
        let line = dataset("add-datasource", "litware-input");
        desk.ok(&format!("{line} --format {name}")).await;
        let pinned = format!(r#"\"EncryptionMode\":\"CSE\",\"format\":\"{name}\"}}"#);
        let written = desk.read("litware.yaml");
        assert!(written.contains(&pinned), "{pinned} not in {written}");
    }
    let stores = desk.read("datastores.yaml").replace("CSE", "CPK");
    desk.write("datastores.yaml", stores);
    let line = dataset("add-datasource", "litware-input");
    let code = desk.code(&format!("{line} --format v2")).await;
    assert_eq!(code, "CR-CLI-0003");
}

#[tokio::test]
async fn a_dataset_that_the_service_encrypts_names_no_key() {
    let desk = Desk::offline();
    fragment(&desk).await;
    let stores = desk.read("datastores.yaml").replace("CSE", "SSE");
    desk.write("datastores.yaml", stores);
    let keyed = dataset("add-datasource", "litware-input");
    assert_eq!(desk.code(&keyed).await, "CR-CLI-0003");
    desk.ok(
        "config add-datasource --cleanroom-config @litware.yaml --datastore-name input --datastore-config \
         @datastores.yaml --identity litware-identity --secretstore-config @secretstores.yaml --access-name litware-input",
    )
    .await;
    desk.ok(&application("litware-input")).await;
    desk.ok("config validate --cleanroom-config @litware.yaml")
        .await;
    let written = desk.read("litware.yaml");
    for absent in ["kek", "dek", "attest.azure.net"] {
        assert!(!written.contains(absent), "{absent} in {written}");
    }
    // And the other way round: an encrypted one without its stores.
    let stores = desk.read("datastores.yaml").replace("SSE", "CSE");
    desk.write("datastores.yaml", stores);
    let keyless = keyed.replace("--kek-secret-store keks", "");
    assert_eq!(desk.code(&keyless).await, "CR-CLI-0003");
}

#[tokio::test]
async fn beginning_a_fragment_twice_changes_nothing() {
    let desk = Desk::offline();
    fragment(&desk).await;
    let before = desk.read("litware.yaml");
    desk.ok("config init --cleanroom-config @litware.yaml")
        .await;
    assert_eq!(before, desk.read("litware.yaml"));
}

#[tokio::test]
async fn validation_gives_every_problem_to_tools_as_a_list() {
    let desk = Desk::offline();
    fragment(&desk).await;
    desk.ok(&application("unknown")).await;
    let text = desk.read("litware.yaml").replace("cpu: 0.5", "cpu: 0");
    desk.write("litware.yaml", text);
    let error = desk
        .run("config validate --cleanroom-config @litware.yaml")
        .await
        .unwrap_err();
    assert_eq!(error.code(), "CR-SPEC-0004");
    let codes: Vec<&str> = error
        .problems()
        .iter()
        .map(|problem| problem.code)
        .collect();
    assert_eq!(codes, ["CR-SPEC-0029", "CR-SPEC-0032"]);
}

#[tokio::test]
async fn fragments_are_merged_into_a_file_and_a_conflict_names_its_place() {
    let desk = Desk::offline();
    fragment(&desk).await;
    let other = desk
        .read("litware.yaml")
        .replace("input-container", "another");
    desk.ok("config init --cleanroom-config @fabrikam.yaml")
        .await;
    desk.ok(
        "config view --cleanroom-config @fabrikam.yaml --configs @litware.yaml --out-file @contract.yaml --no-print",
    )
    .await;
    assert_eq!(desk.read("contract.yaml"), desk.read("litware.yaml"));
    desk.write("changed.yaml", other);
    let error = desk
        .run("config view --cleanroom-config @litware.yaml --configs @changed.yaml --no-print")
        .await
        .unwrap_err();
    assert_eq!(error.code(), "CR-SPEC-0003");
    assert_eq!(
        error.problems()[0].path,
        "datasources[litware-input].store.name"
    );
}

#[tokio::test]
async fn what_is_not_there_or_cannot_hold_it_is_refused_by_name() {
    let desk = Desk::offline();
    fragment(&desk).await;
    let add = dataset("add-datasource", "x");
    let wrong = |from: &str, to: &str| {
        let line = add.replace(from, to);
        assert_ne!(line, add);
        line
    };
    for (line, code) in [
        (
            wrong("--datastore-name input", "--datastore-name other"),
            "CR-CLI-0004",
        ),
        (
            wrong("--identity litware-identity", "--identity other"),
            "CR-CLI-0004",
        ),
        (
            wrong("--kek-secret-store keks", "--kek-secret-store other"),
            "CR-CLI-0004",
        ),
        (
            wrong("--kek-secret-store keks", "--kek-secret-store local"),
            "CR-CLI-0006",
        ),
        (
            wrong("--dek-secret-store deks", "--dek-secret-store keks"),
            "CR-CLI-0006",
        ),
    ] {
        assert_eq!(desk.code(&line).await, code, "{line}");
    }
    let again = "secretstore add --config @secretstores.yaml --name local --backingstore-type Local_File \
                 --backingstore-path @keys";
    assert_eq!(desk.code(again).await, "CR-CLI-0005");
}

#[tokio::test]
async fn stores_are_given_by_resource_id_or_by_url_and_by_nothing_else() {
    let desk = Desk::offline();
    let add = |id: &str| {
        format!(
            "secretstore add --config @{}.yaml --name s --backingstore-type Azure_KeyVault_Managed_HSM --backingstore-id \
             {id} --attestation-endpoint https://maa.example",
            id.len()
        )
    };
    let group = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault";
    for (id, url, kind) in [
        (
            format!("{group}/vaults/kv"),
            "https://kv.vault.azure.net",
            "KeyVault",
        ),
        (
            format!("{group}/managedHSMs/hsm"),
            "https://hsm.managedhsm.azure.net",
            "ManagedHsm",
        ),
        (
            "https://kv.vault.azure.net/".to_owned(),
            "https://kv.vault.azure.net",
            "KeyVault",
        ),
    ] {
        desk.ok(&add(&id)).await;
        let written = desk.read(&format!("{}.yaml", id.len()));
        assert!(
            written.contains(&format!("storeProviderUrl: {url}\n")),
            "{written}"
        );
        assert!(written.contains(kind), "{written}");
    }
    for id in [
        "http://kv.vault.azure.net",
        "kv",
        "/subscriptions/s",
        "https://user@kv.vault.azure.net",
        "https://kv?x=y",
    ] {
        assert_eq!(desk.code(&add(id)).await, "CR-CLI-0003", "{id}");
    }
}
