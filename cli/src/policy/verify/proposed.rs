//! What was proposed in governance for a contract, and what was accepted before.

use std::path::Path;

use serde_json::{Value, json};

use crate::CliError;
use crate::governance::{Connection, GovCliError, Workspace, deployment_offers};
use crate::policy::source;

/// Everything that a vote is or was about.
#[derive(Debug, Default)]
pub(super) struct Proposed {
    pub(super) templates: Vec<Offer>,
    pub(super) claims: Vec<Offer>,
    /// What a proposal would do besides, by proposal: its name and its arguments.
    pub(super) besides: Vec<Offer>,
    /// The ids of the proposals.
    pub(super) proposals: Vec<String>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Offer {
    /// `accepted template`, `template of proposal 12ab…`.
    pub(super) subject: String,
    pub(super) value: Value,
}

/// The contract as CGS shows it, and what was proposed for it.
pub(super) async fn read(
    client: &Workspace,
    contract_id: &str,
) -> Result<(Value, Proposed), GovCliError> {
    let connection = Connection::open(client)?;
    let found = deployment_offers(&connection, contract_id).await?;
    let mut proposed = Proposed::default();
    // CGS shows an empty object where nothing was accepted; whatever else it shows is compared.
    let accepted = |value: &Value| !value.is_null() && *value != json!({});
    if accepted(&found.template) {
        proposed.template("accepted template", found.template);
    }
    if accepted(&found.claims) {
        proposed.policy("accepted policy", found.claims);
    }
    proposed.actions(contract_id, found.actions);
    Ok((found.contract, proposed))
}

/// Whether an object has exactly these members.
fn has_only(value: &Value, names: &[&str]) -> bool {
    value.as_object().is_some_and(|members| {
        members.len() == names.len() && names.iter().all(|name| members.contains_key(*name))
    })
}

/// Whether an action says nothing beside its template: what a service makes of more is not compared.
fn template_only(action: &Value) -> bool {
    let part = |place: &str| action.pointer(place).cloned().unwrap_or_default();
    has_only(action, &["name", "args"])
        && has_only(&part("/args"), &["contractId", "spec"])
        && has_only(&part("/args/spec"), &["data"])
}

/// Whether an action says nothing beside its claims.
fn claims_only(action: &Value) -> bool {
    let args = action.get("args").cloned().unwrap_or_default();
    has_only(action, &["name", "args"]) && has_only(&args, &["contractId", "type", "claims"])
}

impl Proposed {
    /// Those of files: `cleanroom-container-group.json` or an ARM template, `cleanroom-governance-policy.json`.
    pub(super) fn of_files(
        template: Option<&Path>,
        policy: Option<&Path>,
    ) -> Result<Self, CliError> {
        let json = |path: &Path| -> Result<Value, CliError> {
            let text = source::read(path)?;
            serde_json::from_str(&text).map_err(|error| CliError::file(path, error))
        };
        let mut proposed = Self::default();
        if let Some(path) = template {
            proposed.template(&format!("template {}", path.display()), json(path)?);
        }
        if let Some(path) = policy {
            let document = json(path)?;
            let kind = document.get("type").and_then(Value::as_str);
            if kind != Some("add") || !has_only(&document, &["type", "claims"]) {
                return Err(CliError::Argument {
                    argument: "--policy-file",
                    reason: format!(
                        "{}: expected an object with `type` \"add\" and `claims`, and nothing else",
                        path.display()
                    ),
                });
            }
            let claims = document.get("claims").cloned().unwrap_or_default();
            proposed.policy(&format!("policy {}", path.display()), claims);
        }
        Ok(proposed)
    }

    /// The actions of open proposals, each with its proposal.
    pub(super) fn actions(&mut self, contract_id: &str, actions: Vec<(String, Value)>) {
        for (id, action) in actions {
            if self.proposals.last() != Some(&id) {
                self.proposals.push(id.clone());
            }
            let args = action.get("args").cloned().unwrap_or_default();
            let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default();
            let ours = text("contractId") == contract_id;
            match action.get("name").and_then(Value::as_str) {
                Some("set_deployment_spec") if ours && template_only(&action) => {
                    let data = args.pointer("/spec/data").cloned();
                    self.template(
                        &format!("template of proposal {id}"),
                        data.unwrap_or_default(),
                    );
                }
                Some("set_clean_room_policy")
                    if ours && text("type") == "add" && claims_only(&action) =>
                {
                    let claims = args.get("claims").cloned();
                    self.policy(
                        &format!("policy of proposal {id}"),
                        claims.unwrap_or_default(),
                    );
                }
                _ => self.besides.push(Offer {
                    subject: format!("proposal {id}"),
                    value: action,
                }),
            }
        }
    }

    fn template(&mut self, subject: &str, value: Value) {
        self.templates.push(Offer {
            subject: subject.to_owned(),
            value,
        });
    }

    fn policy(&mut self, subject: &str, value: Value) {
        self.claims.push(Offer {
            subject: subject.to_owned(),
            value,
        });
    }
}
