//! What was proposed in governance for a contract, and what was accepted before.

use std::path::Path;

use serde_json::Value;

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
    let accepted = |value: &Value| value.as_object().is_some_and(|members| !members.is_empty());
    if accepted(&found.template) {
        proposed.template("accepted template", found.template);
    }
    if accepted(&found.claims) {
        proposed.policy("accepted policy", found.claims);
    }
    for (id, action) in found.actions {
        let args = action.get("args").cloned().unwrap_or_default();
        let text = |name: &str| args.get(name).and_then(Value::as_str).unwrap_or_default();
        let ours = text("contractId") == contract_id;
        match action.get("name").and_then(Value::as_str) {
            Some("set_deployment_spec") if ours => {
                let data = args.pointer("/spec/data").cloned();
                proposed.template(
                    &format!("template of proposal {id}"),
                    data.unwrap_or_default(),
                );
            }
            Some("set_clean_room_policy") if ours && text("type") == "add" => {
                let claims = args.get("claims").cloned();
                proposed.policy(
                    &format!("policy of proposal {id}"),
                    claims.unwrap_or_default(),
                );
            }
            _ => proposed.besides.push(Offer {
                subject: format!("proposal {id}"),
                value: action,
            }),
        }
    }
    Ok((found.contract, proposed))
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
            let claims = json(path)?.get("claims").cloned().unwrap_or_default();
            proposed.policy(&format!("policy {}", path.display()), claims);
        }
        Ok(proposed)
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
