use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    AccessPoint, AccessPointType, Application, GovernanceSettings, Identity, NetworkSettings,
    SandboxSettings, SpecError, shape,
};

/// A clean room: who takes part, which data, which code, which network.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Specification {
    /// Sandbox of the application.
    #[serde(default)]
    pub sandbox: Option<SandboxSettings>,
    /// Identities that the room may act as.
    #[serde(default)]
    pub identities: Vec<Identity>,
    /// Data it reads.
    #[serde(default)]
    pub datasources: Vec<AccessPoint>,
    /// Data it writes.
    #[serde(default)]
    pub datasinks: Vec<AccessPoint>,
    /// Code it runs.
    #[serde(default)]
    pub applications: Vec<Application>,
    /// Network of the code.
    #[serde(default)]
    pub network: Option<NetworkSettings>,
    /// Consent, audit, telemetry.
    #[serde(default)]
    pub governance: Option<GovernanceSettings>,
}

/// Largest specification text in bytes.
const MAX_TEXT: usize = 4 << 20;

impl Specification {
    /// Reads a specification (YAML or JSON) in the 2.0.0, 4.0.0 or HEAD shape.
    ///
    /// # Errors
    /// Every unknown key at once with its nearest known name and every member that has no counterpart in 4.0.0, or the
    /// values of a wrong type.
    pub fn from_yaml(text: &str) -> Result<Self, SpecError> {
        if text.len() > MAX_TEXT {
            return Err(SpecError::unreadable(format!(
                "longer than {MAX_TEXT} bytes"
            )));
        }
        let value: Value = serde_saphyr::from_str(text).map_err(SpecError::unreadable)?;
        Self::from_value(value)
    }

    /// Reads a specification that is already parsed.
    ///
    /// # Errors
    /// As [`Specification::from_yaml`].
    pub fn from_value(value: Value) -> Result<Self, SpecError> {
        let value = shape::current(value)?;
        Self::deserialize(&value).map_err(|error| {
            let places = misfits(&value);
            SpecError::unreadable(if places.is_empty() {
                error.to_string()
            } else {
                places.join("; ")
            })
        })
    }

    /// The YAML text, keys sorted, nulls present, as upstream's tools write it.
    ///
    /// # Errors
    /// None in practice: every member is serialisable.
    pub fn to_yaml(&self) -> Result<String, SpecError> {
        let value = serde_json::to_value(self).map_err(SpecError::unreadable)?;
        serde_saphyr::to_string(&value).map_err(SpecError::unreadable)
    }

    /// Every access point, sources first.
    pub fn access_points(&self) -> impl Iterator<Item = &AccessPoint> {
        self.datasources.iter().chain(&self.datasinks)
    }

    /// The access point of a name.
    pub fn access_point(&self, name: &str) -> Option<&AccessPoint> {
        self.access_points().find(|point| point.name == name)
    }

    /// Adds or replaces an identity by name.
    pub fn put_identity(&mut self, identity: Identity) {
        put(&mut self.identities, identity, |identity| &identity.name);
    }

    /// Adds or replaces an access point by name, among the sources or the sinks as its type says.
    pub fn put_access_point(&mut self, point: AccessPoint) {
        let list = match point.kind {
            AccessPointType::ReadOnly => &mut self.datasources,
            AccessPointType::ReadWrite => &mut self.datasinks,
        };
        put(list, point, |point| &point.name);
    }

    /// Adds or replaces an application by name.
    pub fn put_application(&mut self, application: Application) {
        put(&mut self.applications, application, |application| {
            &application.name
        });
    }
}

/// The entries whose values have a wrong type, by name: the deserializer itself says neither where nor how many.
fn misfits(value: &Value) -> Vec<String> {
    fn of<'a, T: Deserialize<'a>>(value: &'a Value, list: &str, places: &mut Vec<String>) {
        let items = value.get(list).and_then(Value::as_array);
        for (index, item) in items.into_iter().flatten().enumerate() {
            if let Err(error) = T::deserialize(item) {
                let name = item.get("name").and_then(Value::as_str);
                let label = name.map_or_else(|| index.to_string(), ToOwned::to_owned);
                places.push(format!("{list}[{label}]: {error}"));
            }
        }
    }
    let mut places = Vec::new();
    of::<Identity>(value, "identities", &mut places);
    of::<AccessPoint>(value, "datasources", &mut places);
    of::<AccessPoint>(value, "datasinks", &mut places);
    of::<Application>(value, "applications", &mut places);
    places
}

fn put<T>(list: &mut Vec<T>, item: T, name: impl Fn(&T) -> &str) {
    match list.iter_mut().find(|other| name(other) == name(&item)) {
        Some(other) => *other = item,
        None => list.push(item),
    }
}
