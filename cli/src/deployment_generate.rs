//! `cleanroom governance deployment generate`: from an accepted contract to what exactly will run.

use cleanroom_spec::Specification;
use policy::{Deployment, ImageManifest, PolicyError};
use serde_json::{Value, json};
use sidecar_http::Coded;

use crate::governance::{GenerateArgs, Workspace, workspace};
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
    write(&spec, &deployment(args, client)?, args)
}

fn deployment(args: &GenerateArgs, client: Workspace) -> Result<Deployment, CliError> {
    let extra_roots_pem = match &args.extra_roots {
        None => None,
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| CliError::io(path.display().to_string(), error))?,
        ),
    };
    Ok(Deployment {
        contract_id: args.contract_id.clone(),
        ccf_endpoint: client
            .ccf_endpoint
            .as_str()
            .trim_end_matches('/')
            .to_owned(),
        service_cert_pem: client.service_cert_pem,
        extra_roots_pem,
        insecure_virtual: args.insecure_virtual,
    })
}

fn write(
    spec: &Specification,
    deployment: &Deployment,
    args: &GenerateArgs,
) -> Result<Value, CliError> {
    let group = policy::build(spec, deployment, &ImageManifest::read(&args.images)?)?;
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sha2::{Digest, Sha256};

    use super::*;
    use crate::governance::Shared;

    const HELLO: &str = include_str!("../../tests/vectors/spec/hello-job.yaml");

    fn args(folder: &Path) -> GenerateArgs {
        GenerateArgs {
            contract_id: "collab1".to_owned(),
            output_dir: folder.to_owned(),
            images: folder.join("images.json"),
            insecure_virtual: false,
            target: "local".to_owned(),
            extra_roots: None,
            shared: Shared {
                governance_client: "litware".to_owned(),
                query: None,
            },
        }
    }

    fn code(outcome: Result<Value, CliError>) -> String {
        outcome.unwrap_err().code().to_owned()
    }

    #[test]
    fn a_target_that_is_not_made_is_refused_with_its_own_code() {
        let folder = tempfile::tempdir().unwrap();
        let contract = json!({"data": HELLO});
        let mut wanted = args(folder.path());
        wanted.target = "arm".to_owned();
        assert_eq!(code(generate(&contract, &wanted)), "CR-POLICY-0012");
        wanted.target = "kubernetes".to_owned();
        assert_eq!(code(generate(&contract, &wanted)), "CR-CLI-0003");
        wanted.output_dir = folder.path().join("missing");
        assert_eq!(code(generate(&contract, &wanted)), "CR-CLI-0003");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_policy_names_the_hash_of_the_very_file_beside_it_and_two_runs_write_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let images: Vec<Value> = [
            "init",
            "skr-agent",
            "secrets",
            "identity",
            "governance",
            "otel-collector",
            "blobfuse-shim",
            "code-launcher",
        ]
        .iter()
        .map(|name| json!({"name": name, "digest": format!("sha256:{:064x}", name.len())}))
        .collect();
        std::fs::write(folder.path().join("images.json"), json!(images).to_string()).unwrap();
        let args = args(folder.path());
        let deployment = Deployment {
            contract_id: "collab1".to_owned(),
            ccf_endpoint: "https://cgs.operator.example".to_owned(),
            service_cert_pem: "certificate".to_owned(),
            extra_roots_pem: None,
            insecure_virtual: false,
        };
        let spec = Specification::from_yaml(HELLO).unwrap();
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        let told = write(&spec, &deployment, &args).unwrap();
        let group = read("cleanroom-container-group.json");
        let policy = read("cleanroom-governance-policy.json");
        let hash = hex::encode(Sha256::digest(&group));
        assert_eq!(told["hostData"], hash);
        assert_eq!(
            serde_json::from_slice::<Value>(&policy).unwrap(),
            json!({"type": "add", "claims": {
                "x-ms-sevsnpvm-hostdata": hash,
                "x-ms-sevsnpvm-is-debuggable": false,
            }})
        );
        write(&spec, &deployment, &args).unwrap();
        assert_eq!(read("cleanroom-container-group.json"), group);
        assert_eq!(read("cleanroom-governance-policy.json"), policy);
    }
}
