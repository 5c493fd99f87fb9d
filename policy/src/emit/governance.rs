use serde_json::{Value, json};

use crate::HostData;

/// `cleanroom-governance-policy.json`: the claims that CGS and the vaults demand of the room.
pub fn governance(host_data: &HostData) -> Value {
    json!({
        "type": "add",
        "claims": {
            "x-ms-sevsnpvm-is-debuggable": false,
            "x-ms-sevsnpvm-hostdata": host_data.to_string(),
        },
    })
}
