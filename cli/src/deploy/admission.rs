//! Asks the policy of a deployment about every container that Docker has made, before one of them starts.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use policy::ImageManifest;
use policy_simulate::platform::{container_id, questions};
use policy_simulate::{Decision, Document, Question, Simulator};
use serde_json::Value;

use super::DeployError;
use super::created::{Created, ImageOf, KnownLayers, Places};
use crate::policy::layers::RootHashes;

/// Image of the container that holds the network, in the image manifest.
const PAUSE: &str = "pause";
const CREATE: &str = "create_container";
/// Characters at either end of what a rule expects and what was asked, in a message.
const SHOWN: usize = 120;

/// What the admission goes by.
#[derive(Debug)]
pub(super) struct Basis<'b> {
    /// The text that is measured.
    pub(super) policy: &'b str,
    pub(super) images: &'b ImageManifest,
    pub(super) hashed: &'b RootHashes,
}

/// Looks at the container that holds the network, in whose place the platform starts its own.
///
/// # Errors
/// [`DeployError::Denied`]: it is more than that.
pub(super) fn admit_network(basis: &Basis<'_>, made: &[Created]) -> Result<(), DeployError> {
    let pause = basis.images.image(PAUSE)?.config.as_deref();
    made.iter().try_for_each(|one| {
        let outcome = one.only_holds_the_network(pause);
        outcome.map_err(|reason| denied(one.service(), CREATE, reason))
    })
}

/// Asks for every container of a group and gives how many creates were allowed. The questions, which begin with the
/// platform's own container that holds the network, are left in `record` whatever the answer is.
///
/// # Errors
/// [`DeployError::Denied`] for the first that the policy does not allow, or that Docker would start as something else than
/// the policy leaves of it.
pub(super) fn admit(
    basis: &Basis<'_>,
    containers: &[Created],
    images: &[ImageOf],
    places: &Places<'_>,
    record: &Path,
) -> Result<usize, DeployError> {
    let layers = KnownLayers {
        images: basis.images,
        hashed: basis.hashed,
    };
    let images: BTreeMap<&str, &ImageOf> = images.iter().map(|one| (one.id(), one)).collect();
    let mut planned = Vec::new();
    let mut by_id = BTreeMap::new();
    for container in containers.iter().filter(|one| one.id() != places.network) {
        let image = images.get(container.image());
        let image = image.ok_or_else(|| format!("there is no image {}", container.image()));
        let plan = image.and_then(|image| container.planned(image, &layers, places));
        planned.push(plan.map_err(|reason| denied(container.service(), CREATE, reason))?);
        by_id.insert(container_id(container.service()), container);
    }
    let questions = questions(&planned);
    // In the form that `policy simulate --requests` reads.
    std::fs::write(record, serde_json::to_vec_pretty(&questions)?)?;
    ask(basis.policy, &questions, &by_id, places)
}

fn ask(
    policy: &str,
    questions: &[Question],
    by_id: &BTreeMap<String, &Created>,
    places: &Places<'_>,
) -> Result<usize, DeployError> {
    let mut simulator = Simulator::new(Document::policy(policy).map_err(DeployError::Simulate)?);
    let mut creates = 0;
    for question in questions {
        let container = question.input.get("containerID").and_then(Value::as_str);
        let container = container.and_then(|id| by_id.get(id));
        let name = container.map_or("group", |one| one.service());
        let decision = simulator.ask(question).map_err(DeployError::Simulate)?;
        if !decision.allowed {
            return Err(denied(name, &question.point, reasons(&decision)));
        }
        if question.point == CREATE {
            creates += 1;
            if let Some(container) = container {
                let kept = as_it_is(container, &decision, places);
                kept.map_err(|reason| denied(name, CREATE, reason))?;
            }
        }
    }
    Ok(creates)
}

/// The platform takes away what a policy does not name, and Docker does not: the container must be what the policy leaves.
fn as_it_is(container: &Created, decision: &Decision, places: &Places<'_>) -> Result<(), String> {
    if let Some(kept) = &decision.env_list {
        let given = container.variables(places);
        if let Some(more) = given.iter().find(|variable| !kept.contains(variable)) {
            // Its value may be a secret of somebody's.
            let name = more.split('=').next().unwrap_or_default();
            return Err(format!("variable {name} is none of the policy's"));
        }
    }
    if let Some(kept) = &decision.caps_list {
        let mut kept: Vec<&str> = kept
            .effective
            .iter()
            .map(|name| name.strip_prefix("CAP_").unwrap_or(name))
            .collect();
        kept.sort_unstable();
        let given = container.capabilities()?;
        if given != kept {
            return Err(format!(
                "capabilities {}; the policy has {}",
                given.join(","),
                kept.join(",")
            ));
        }
    }
    Ok(())
}

/// The platform's words, and which rule said no. A whole command takes pages; the record has it.
fn reasons(decision: &Decision) -> String {
    let errors = decision
        .errors
        .iter()
        .chain(&decision.policy_error)
        .cloned();
    let findings = decision.findings.iter().map(|finding| {
        let (rule, expected, actual) =
            (&finding.rule, cut(&finding.expected), cut(&finding.actual));
        format!("{rule}: expected {expected}, asked {actual}")
    });
    errors.chain(findings).collect::<Vec<_>>().join("; ")
}

fn denied(container: &str, point: &str, reason: String) -> DeployError {
    DeployError::Denied {
        container: container.to_owned(),
        point: point.to_owned(),
        reason,
    }
}

/// The beginning of a text and, since arguments are added there, its end.
fn cut(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    match (
        letters.first_chunk::<SHOWN>(),
        letters.last_chunk::<SHOWN>(),
    ) {
        (Some(first), Some(last)) if letters.len() > 2 * SHOWN => {
            let (first, last): (String, String) = (first.iter().collect(), last.iter().collect());
            format!("{first} … {last}")
        }
        _ => text.to_owned(),
    }
}
