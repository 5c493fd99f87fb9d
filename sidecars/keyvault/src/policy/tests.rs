use super::*;

mod evaluator;
mod generator;
mod grammar;

const OURS: [u8; 32] = [0xAB; 32];

fn authority(host: &str) -> Url {
    Url::parse(&format!("https://{host}")).unwrap()
}

fn terms() -> ReleaseTerms {
    ReleaseTerms::new(&authority("sharedneu.neu.attest.azure.net:8443"), OURS)
}

fn allow_all_bytes(at: usize) -> [u8; 32] {
    let mut bytes = [0; 32];
    hex::decode_to_slice(attestation::ALLOW_ALL_HOST_DATA[at], &mut bytes).unwrap();
    bytes
}

fn claims() -> serde_json::Map<String, Value> {
    let claims = json!({
        "iss": "https://sharedneu.neu.attest.azure.net:8443",
        "x-ms-sevsnpvm-hostdata": "ab".repeat(32), "x-ms-compliance-status": "azure-compliant-uvm",
        "x-ms-attestation-type": "sevsnpvm", "x-ms-sevsnpvm-is-debuggable": false, "x-ms-sevsnpvm-vmpl": 0,
        "x-ms-sevsnpvm-guestsvn-int": 104, "x-ms-runtime": {"keys": [1], "n": {"deep": true}},
    });
    claims.as_object().unwrap().clone()
}

fn with(name: &str, value: Value) -> serde_json::Map<String, Value> {
    let mut claims = claims();
    claims.insert(name.to_owned(), value);
    claims
}
