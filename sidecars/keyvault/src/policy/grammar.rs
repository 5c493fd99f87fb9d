use serde_json::{Map, Value};
use thiserror::Error;

use crate::KeyVaultError;

/// Groups within groups.
const DEEPEST: usize = 8;
const MAX_BYTES: usize = 32 << 10;

/// What a text lacks to be a release policy.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum PolicyFlaw {
    /// Larger than any vault takes.
    #[error("larger than 32 KiB")]
    TooLarge,
    /// Groups nested too deeply.
    #[error("nested more than 8 groups deep")]
    TooDeep,
    /// Not an object where one must be.
    #[error("not an object")]
    NotObject,
    /// The version of the grammar.
    #[error("version must be \"1.0.0\"")]
    Version,
    /// A member that the grammar does not have.
    #[error("a member that the grammar does not have")]
    Member,
    /// A group is a list with at least one part.
    #[error("must be a list with at least one part")]
    List,
    /// The provider whose tokens count.
    #[error("authority must be an https URL")]
    Authority,
    /// A condition is one claim or one group.
    #[error("must be one claim with one operator, or one anyOf or allOf")]
    Condition,
    /// An operator that the grammar does not have.
    #[error(
        "the operator is none of equals, notEquals, less, lessOrEquals, greater, greaterOrEquals, exists"
    )]
    Operator,
    /// The value of an operator.
    #[error(
        "the value must be text, a number, true or false; an integer to be compared in size, true or false for exists"
    )]
    Operand,
}

/// A policy that was read: groups and claims, as deep as the bounds allow.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) elements: Vec<Element>,
}

#[derive(Debug)]
pub(super) struct Element {
    pub(super) authority: String,
    pub(super) group: Group,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) kind: Kind,
    pub(super) parts: Vec<Condition>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Any,
    All,
}

#[derive(Debug)]
pub(super) enum Condition {
    Group(Group),
    Claim(Claim),
}

#[derive(Debug)]
pub(super) struct Claim {
    pub(super) name: String,
    pub(super) operator: Operator,
    pub(super) expected: Value,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operator {
    Equals,
    NotEquals,
    Less,
    LessOrEquals,
    Greater,
    GreaterOrEquals,
    Exists,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Any => "anyOf",
            Self::All => "allOf",
        }
    }
}

impl Operator {
    const ALL: [Self; 7] = [
        Self::Equals,
        Self::NotEquals,
        Self::Less,
        Self::LessOrEquals,
        Self::Greater,
        Self::GreaterOrEquals,
        Self::Exists,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Equals => "equals",
            Self::NotEquals => "notEquals",
            Self::Less => "less",
            Self::LessOrEquals => "lessOrEquals",
            Self::Greater => "greater",
            Self::GreaterOrEquals => "greaterOrEquals",
            Self::Exists => "exists",
        }
    }

    fn takes(self, operand: &Value) -> bool {
        match self {
            Self::Equals | Self::NotEquals => scalar(operand).is_some(),
            Self::Less | Self::LessOrEquals | Self::Greater | Self::GreaterOrEquals => {
                integer(operand).is_some()
            }
            Self::Exists => matches!(scalar(operand).as_deref(), Some("true" | "false")),
        }
    }
}

/// A value as vaults compare it: `false` and `"false"` are the same text. Lists, objects and null are no values.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A value as vaults compare it in size: a whole number, or its digits.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

impl Policy {
    pub(super) fn read(policy: &Value) -> Result<Self, KeyVaultError> {
        if policy.to_string().len() > MAX_BYTES {
            return Err(flaw("", PolicyFlaw::TooLarge));
        }
        let members = object(policy, "")?;
        only(members, &["version", "anyOf"], "")?;
        // Samples for other attestation types carry 0.2.
        match members.get("version").and_then(Value::as_str) {
            Some("1.0.0" | "0.2") => {}
            _ => return Err(flaw("version", PolicyFlaw::Version)),
        }
        let elements = list(members.get("anyOf"), "anyOf")?;
        let elements = elements.iter().enumerate();
        let elements =
            elements.map(|(at, element)| Element::read(element, &format!("anyOf[{at}]")));
        Ok(Self {
            elements: elements.collect::<Result<_, _>>()?,
        })
    }
}

impl Element {
    fn read(element: &Value, path: &str) -> Result<Self, KeyVaultError> {
        let members = object(element, path)?;
        only(members, &["authority", "anyOf", "allOf"], path)?;
        let authority = members.get("authority").and_then(Value::as_str);
        let authority = authority.filter(|text| text.starts_with("https://"));
        let authority =
            authority.ok_or_else(|| flaw(&format!("{path}.authority"), PolicyFlaw::Authority))?;
        Ok(Self {
            authority: authority.to_owned(),
            group: Group::read(members, path, 0)?,
        })
    }
}

impl Group {
    /// The one group among the members.
    fn read(members: &Map<String, Value>, path: &str, depth: usize) -> Result<Self, KeyVaultError> {
        if depth >= DEEPEST {
            return Err(flaw(path, PolicyFlaw::TooDeep));
        }
        let kind = match (members.contains_key("anyOf"), members.contains_key("allOf")) {
            (true, false) => Kind::Any,
            (false, true) => Kind::All,
            _ => return Err(flaw(path, PolicyFlaw::Condition)),
        };
        let path = format!("{path}.{}", kind.name());
        let parts = list(members.get(kind.name()), &path)?;
        let parts = parts.iter().enumerate();
        let parts = parts.map(|(at, part)| Condition::read(part, &format!("{path}[{at}]"), depth));
        Ok(Self {
            kind,
            parts: parts.collect::<Result<_, _>>()?,
        })
    }
}

impl Condition {
    fn read(part: &Value, path: &str, depth: usize) -> Result<Self, KeyVaultError> {
        let members = object(part, path)?;
        let Some(claim) = members.get("claim") else {
            only(members, &["anyOf", "allOf"], path)?;
            return Group::read(members, path, depth + 1).map(Self::Group);
        };
        let mut operators = members.iter().filter(|(name, _)| *name != "claim");
        let (Some(name), Some((operator, expected)), None) =
            (claim.as_str(), operators.next(), operators.next())
        else {
            return Err(flaw(path, PolicyFlaw::Condition));
        };
        let operator = Operator::ALL.into_iter().find(|op| op.name() == operator);
        let operator = operator.ok_or_else(|| flaw(path, PolicyFlaw::Operator))?;
        if !operator.takes(expected) {
            return Err(flaw(path, PolicyFlaw::Operand));
        }
        Ok(Self::Claim(Claim {
            name: name.to_owned(),
            operator,
            expected: expected.clone(),
        }))
    }
}

fn object<'a>(value: &'a Value, path: &str) -> Result<&'a Map<String, Value>, KeyVaultError> {
    value
        .as_object()
        .ok_or_else(|| flaw(path, PolicyFlaw::NotObject))
}

fn list<'a>(value: Option<&'a Value>, path: &str) -> Result<&'a [Value], KeyVaultError> {
    match value.and_then(Value::as_array) {
        Some(parts) if !parts.is_empty() => Ok(parts),
        _ => Err(flaw(path, PolicyFlaw::List)),
    }
}

fn only(members: &Map<String, Value>, known: &[&str], path: &str) -> Result<(), KeyVaultError> {
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        Some(_) => Err(flaw(path, PolicyFlaw::Member)),
        None => Ok(()),
    }
}

fn flaw(path: &str, flaw: PolicyFlaw) -> KeyVaultError {
    let path = if path.is_empty() { "policy" } else { path };
    KeyVaultError::Policy {
        path: path.to_owned(),
        flaw,
    }
}
