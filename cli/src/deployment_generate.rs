//! `cleanroom governance deployment generate`: from an accepted contract to what exactly will run.

use cleanroom_spec::Specification;
use policy::{Deployment, ImageManifest, PolicyError};
use serde_json::{Value, json};
use sidecar_http::Coded;

use crate::governance::{GenerateArgs, workspace};
use crate::{CliError, stores};

/// Writes `cleanroom-container-group.json` (the policy bytes) and `cleanroom-governance-policy.json`; `contract` is the whole
/// contract as CGS shows it.
///
/// # Errors
/// The contract is not valid, an image is missing, or the target is not made by this version.
pub async fn run(contract: Value, args: GenerateArgs) -> Result<Value, Box<dyn Coded>> {
    generate(&contract, &args).map_err(|error| Box::new(error) as Box<dyn Coded>)
}

fn generate(contract: &Value, args: &GenerateArgs) -> Result<Value, CliError> {
    if !args.output_dir.is_dir() {
        return Err(CliError::Argument {
            argument: "--output-dir",
            reason: format!("{} is no folder", args.output_dir.display()),
        });
    }
    match args.target.as_str() {
        "local" => {}
        "arm" => return Err(PolicyError::Arm.into()),
        other => {
            return Err(CliError::Argument {
                argument: "--target",
                reason: format!("{other:?} is neither local nor arm"),
            });
        }
    }
    let text = contract
        .get("data")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let spec = Specification::from_yaml(text)?;
    let client = workspace(&args.shared.governance_client).map_err(Box::new)?;
    let extra_roots_pem = match &args.extra_roots {
        None => None,
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| CliError::io(path.display().to_string(), error))?,
        ),
    };
    let deployment = Deployment {
        contract_id: args.contract_id.clone(),
        ccf_endpoint: client
            .ccf_endpoint
            .as_str()
            .trim_end_matches('/')
            .to_owned(),
        service_cert_pem: client.service_cert_pem,
        extra_roots_pem,
        insecure_virtual: args.insecure_virtual,
    };
    let group = policy::build(&spec, &deployment, &ImageManifest::read(&args.images)?)?;
    let governance = policy::emit::governance(&group)?;
    let bytes = group.policy_bytes()?;
    let group_file = args.output_dir.join("cleanroom-container-group.json");
    let policy_file = args.output_dir.join("cleanroom-governance-policy.json");
    stores::write_text(&group_file, &String::from_utf8_lossy(&bytes))?;
    stores::write_text(&policy_file, &policy::canonical_json(&governance))?;
    Ok(json!({
        "hostData": group.host_data()?.to_string(),
        "files": [group_file, policy_file],
    }))
}
