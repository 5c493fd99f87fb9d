use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::explanation::{Clause, Explanation, Group as Judged, clipped};
use super::grammar::{Claim, Condition, Element, Group, Kind, Operator, Policy, integer, scalar};
use super::{ReleasePolicy, allow_all, names_host_data};
use crate::KeyVaultError;

/// Says which clauses of a release policy the claims of a token satisfy, before any vault is asked.
///
/// Every clause is judged, also where another already decided. A missing claim satisfies nothing but `exists: false`.
/// A policy or a token of a container group under which anything may run releases nothing, whatever the clauses say.
///
/// # Errors
/// [`KeyVaultError::Policy`] if the policy is not one of the grammar.
pub fn evaluate(
    policy: &ReleasePolicy,
    claims: &Map<String, Value>,
) -> Result<Explanation, KeyVaultError> {
    let tree = Policy::read(policy.as_json())?;
    let mut judge = Judge {
        claims,
        clauses: Vec::new(),
        groups: Vec::new(),
    };
    let mut holds = false;
    let mut warnings = Vec::new();
    for (at, element) in tree.elements.iter().enumerate() {
        let path = format!("anyOf[{at}]");
        holds |= judge.element(element, &path);
        if !binds_host_data(&element.group) {
            warnings.push(format!(
                "{path} names no host data: any container group may satisfy it"
            ));
        }
    }
    let refusal = judge.refusal();
    Ok(Explanation {
        released: holds && refusal.is_none(),
        refusal,
        clauses: judge.clauses,
        groups: judge.groups,
        warnings,
    })
}

struct Judge<'a> {
    claims: &'a Map<String, Value>,
    clauses: Vec<Clause>,
    groups: Vec<Judged>,
}

impl Judge<'_> {
    fn element(&mut self, element: &Element, path: &str) -> bool {
        let issuer = self.claims.get("iss");
        let bare = |text: &str| text.trim_end_matches('/').to_owned();
        let ours = issuer
            .and_then(Value::as_str)
            .is_some_and(|issuer| bare(issuer) == bare(&element.authority));
        self.clauses.push(Clause {
            path: format!("{path}.authority"),
            claim: "iss".to_owned(),
            operator: "authority",
            expected: Value::from(element.authority.as_str()),
            actual: issuer.map(clipped),
            holds: ours,
            note: None,
        });
        let met = self.group(&element.group, path);
        ours && met
    }

    fn group(&mut self, group: &Group, path: &str) -> bool {
        let path = format!("{path}.{}", group.kind.name());
        let place = self.groups.len();
        self.groups.push(Judged {
            path: path.clone(),
            holds: false,
        });
        let mut met = 0;
        for (at, part) in group.parts.iter().enumerate() {
            let path = format!("{path}[{at}]");
            let holds = match part {
                Condition::Group(inner) => self.group(inner, &path),
                Condition::Claim(claim) => self.claim(claim, path),
            };
            met += usize::from(holds);
        }
        let holds = match group.kind {
            Kind::Any => met > 0,
            Kind::All => met == group.parts.len(),
        };
        if let Some(judged) = self.groups.get_mut(place) {
            judged.holds = holds;
        }
        holds
    }

    fn claim(&mut self, claim: &Claim, path: String) -> bool {
        let actual = find(self.claims, &claim.name);
        let holds = judge(claim.operator, &claim.expected, actual);
        self.clauses.push(Clause {
            path,
            claim: claim.name.clone(),
            operator: claim.operator.name(),
            expected: clipped(&claim.expected),
            actual: actual.map(clipped),
            holds,
            note: note(claim, actual),
        });
        holds
    }

    /// Why nothing is released, whatever the clauses say.
    fn refusal(&self) -> Option<String> {
        let asked = self.clauses.iter().find(|clause| {
            clause.operator == Operator::Equals.name()
                && names_host_data(&clause.claim)
                && allow_all(&clause.expected)
        });
        if let Some(clause) = asked {
            return Some(format!(
                "{} asks for the host data of a published policy that allows everything",
                clause.path
            ));
        }
        let places = [super::HOST_DATA, super::CVM_HOST_DATA];
        let given = places
            .into_iter()
            .find(|name| find(self.claims, name).is_some_and(allow_all));
        given.map(|name| {
            format!("claim {name} is the host data of a published policy that allows everything")
        })
    }
}

/// A claim by its whole name, else into the object named by what stands before the first dot. Lists are not entered.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let mut here = claims;
    let mut rest = name;
    loop {
        if let Some(value) = here.get(rest) {
            return Some(value);
        }
        let (head, tail) = rest.split_once('.')?;
        here = here.get(head)?.as_object()?;
        rest = tail;
    }
}

fn judge(operator: Operator, expected: &Value, actual: Option<&Value>) -> bool {
    let Some(actual) = actual else {
        return operator == Operator::Exists && scalar(expected).as_deref() == Some("false");
    };
    let same = || scalar(actual).is_some_and(|text| Some(text) == scalar(expected));
    let order = || Some(integer(actual)?.cmp(&integer(expected)?));
    match operator {
        Operator::Equals => same(),
        Operator::NotEquals => !same(),
        Operator::Less => order() == Some(Ordering::Less),
        Operator::LessOrEquals => order().is_some_and(Ordering::is_le),
        Operator::Greater => order() == Some(Ordering::Greater),
        Operator::GreaterOrEquals => order().is_some_and(Ordering::is_ge),
        Operator::Exists => scalar(expected).as_deref() == Some("true"),
    }
}

/// What the verdict alone does not tell.
fn note(claim: &Claim, actual: Option<&Value>) -> Option<String> {
    let Some(actual) = actual else {
        return Some("the token has no such claim".to_owned());
    };
    if claim.operator == Operator::Exists {
        return None;
    }
    let kind = |value: &Value| match value {
        Value::String(_) => "text",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::Null => "null",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    if scalar(actual).is_none() {
        return Some(format!(
            "the claim is {}, which equals no value",
            kind(actual)
        ));
    }
    let (asked, given) = (kind(&claim.expected), kind(actual));
    // The service is known to compare the texts (its own samples write "true" where tokens have true); nothing promises
    // that every vault and every version does.
    (asked != given).then(|| {
        format!("the policy has {asked}, the token {given}: compared as text; a vault that compares types says otherwise")
    })
}

/// Whether every way to satisfy the group goes through a host data.
fn binds_host_data(group: &Group) -> bool {
    let binds = |part: &Condition| match part {
        Condition::Group(inner) => binds_host_data(inner),
        Condition::Claim(claim) => {
            claim.operator == Operator::Equals && names_host_data(&claim.name)
        }
    };
    match group.kind {
        Kind::All => group.parts.iter().any(binds),
        Kind::Any => group.parts.iter().all(binds),
    }
}
