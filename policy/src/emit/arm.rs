use serde_json::Value;

use crate::{ContainerGroup, PolicyError};

/// The ARM template of a group.
///
/// # Errors
/// Always [`PolicyError::Arm`]: a template without a CCE policy would deploy a room that nobody measured.
pub fn arm(_group: &ContainerGroup) -> Result<Value, PolicyError> {
    Err(PolicyError::Arm)
}
