use serde_json::{Value, json};

use crate::{ContainerGroup, PolicyError};

/// `cleanroom-governance-policy.json`: the claims that CGS and the vaults demand of the room.
///
/// # Errors
/// The group's host data is one of the two that are refused everywhere.
pub fn governance(group: &ContainerGroup) -> Result<Value, PolicyError> {
    Ok(json!({
        "type": "add",
        "claims": {
            "x-ms-sevsnpvm-is-debuggable": false,
            "x-ms-sevsnpvm-hostdata": group.host_data()?.to_string(),
        },
    }))
}
