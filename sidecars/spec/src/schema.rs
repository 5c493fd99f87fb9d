//! The JSON Schema of the shape that is written.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use crate::{ProtectionConfiguration, SpecError, Specification};

/// The schema of a [`Specification`] in the 4.0.0 shape, as the text of the published file.
///
/// It says what the types say: members, their types, and that there are no others. What a whole document must fulfil is
/// [`Specification::validate`]'s; the older shapes and spellings that are read are not in it.
///
/// # Errors
/// None in practice: a schema is serialisable.
pub fn schema() -> Result<String, SpecError> {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let schema = generator.into_root_schema_for::<Specification>();
    let text = serde_json::to_string_pretty(&sorted(schema.to_value()));
    Ok(text.map_err(SpecError::unreadable)? + "\n")
}

/// `protection.configuration`: a text, and what is in it.
pub(crate) fn protection_configuration(generator: &mut SchemaGenerator) -> Schema {
    let content = generator.subschema_for::<ProtectionConfiguration>();
    json_schema!({
        "type": "string",
        "default": "",
        "contentMediaType": "application/json",
        "contentSchema": content,
    })
}

/// The same bytes whatever order the maps of this build of `serde_json` keep.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.into_iter().collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            let members = members
                .into_iter()
                .map(|(name, member)| (name, sorted(member)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        value => value,
    }
}
