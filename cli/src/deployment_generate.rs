//! `cleanroom governance deployment generate`: from an accepted contract to what exactly will run.

use cleanroom_spec::Specification;
use policy::Deployment;
use policy::emit::cce::{Platform, cce};
use policy_simulate::Document;
use policy_simulate::lint::{Severity, lint};
use serde_json::{Value, json};
use sidecar_http::Coded;

use crate::governance::{GenerateArgs, Target, Workspace, workspace};
use crate::{CliError, stores};

/// Writes `cleanroom-container-group.json`, `cleanroom-policy.rego` (the bytes that are measured),
/// `cleanroom-governance-policy.json` and the template of the target; `contract` is the whole contract as CGS shows it.
///
/// # Errors
/// The contract is not valid, an image or its layers are missing, or no template can be made.
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
    if args.target == Target::Local {
        args.form.reproduced_by_deploy()?;
    }
    let group = policy::build_for(
        args.profile.into(),
        spec,
        deployment,
        &args.layers.manifest()?,
    )?;
    let platform = match args.target {
        Target::Local | Target::Arm => Platform::ContainerGroup,
        Target::Pod => Platform::VirtualNode,
    };
    let text = cce(
        &group,
        &args.layers.of(&group)?,
        &args.form.options(platform),
    )?;
    let host_data = text.host_data()?;
    let mut made = vec![
        (
            "cleanroom-container-group.json",
            policy::canonical_json(&group.to_json()?),
        ),
        ("cleanroom-policy.rego", text.as_str().to_owned()),
        (
            "cleanroom-governance-policy.json",
            policy::canonical_json(&policy::emit::governance(&host_data)),
        ),
    ];
    let options = args.form.template(spec);
    match args.target {
        Target::Local => {}
        Target::Arm => made.push((
            "cleanroom-arm-template.json",
            pretty(&policy::emit::arm(&group, &text, &options)?)?,
        )),
        Target::Pod => made.push((
            "cleanroom-pod.json",
            pretty(&policy::emit::pod(&group, &text, &options)?)?,
        )),
    }
    // Read back by the code that a voter uses, and nothing is written before all is made.
    let findings: Vec<_> = lint(&Document::policy(text.as_str())?)
        .iter()
        .filter(|one| one.severity > Severity::Note)
        .map(ToString::to_string)
        .collect();
    let files: Vec<_> = made
        .iter()
        .map(|(name, _)| args.output_dir.join(name))
        .collect();
    for (file, (_, text)) in files.iter().zip(&made) {
        stores::write_text(file, text)?;
    }
    Ok(json!({
        "hostData": host_data.to_string(),
        "files": files,
        "findings": findings,
        "images": args.layers.known(&group)?,
    }))
}

fn pretty(value: &Value) -> Result<String, CliError> {
    serde_json::to_string_pretty(value).map_err(|error| CliError::io("the template", error.into()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::governance::{Profile, Shared};
    use crate::policy::generate::FormArgs;
    use crate::policy::layers::LayerArgs;

    const HELLO: &str = include_str!("../../tests/vectors/spec/hello-job.yaml");

    fn args(folder: &Path) -> GenerateArgs {
        GenerateArgs {
            contract_id: "collab1".to_owned(),
            output_dir: folder.to_owned(),
            layers: LayerArgs::new(folder.join("images.json"), None, None),
            form: FormArgs::default(),
            insecure_virtual: false,
            target: Target::Local,
            profile: Profile::Job,
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
    fn without_a_folder_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut wanted = args(folder.path());
        wanted.output_dir = folder.path().join("missing");
        assert_eq!(
            code(generate(&json!({"data": HELLO}), &wanted)),
            "CR-CLI-0003"
        );
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
        .map(|name| {
            let layer = json!({"diff_id": format!("sha256:{:064x}", 1), "root_hash": format!("{:064x}", name.len())});
            json!({"name": name, "digest": format!("sha256:{:064x}", name.len()), "layers": [layer]})
        })
        .collect();
        std::fs::write(folder.path().join("images.json"), json!(images).to_string()).unwrap();
        let mut args = args(folder.path());
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
        let text = read("cleanroom-policy.rego");
        let policy = read("cleanroom-governance-policy.json");
        let hash = hex::encode(Sha256::digest(&text));
        assert_eq!(told["hostData"], hash);
        assert_eq!(
            serde_json::from_slice::<Value>(&policy).unwrap(),
            json!({"type": "add", "claims": {
                "x-ms-sevsnpvm-hostdata": hash,
                "x-ms-sevsnpvm-is-debuggable": false,
            }})
        );
        write(&spec, &deployment, &args).unwrap();
        assert_eq!(read("cleanroom-policy.rego"), text);
        assert_eq!(read("cleanroom-governance-policy.json"), policy);

        // A template needs a registry, and without one nothing is written.
        args.target = Target::Arm;
        assert_eq!(code(write(&spec, &deployment, &args)), "CR-POLICY-0012");
        assert!(!folder.path().join("cleanroom-arm-template.json").exists());
        args.form.registry = Some("litware.azurecr.io".to_owned());
        let told = write(&spec, &deployment, &args).unwrap();
        let template: Value = serde_json::from_slice(&read("cleanroom-arm-template.json")).unwrap();
        let carried =
            &template["resources"][0]["properties"]["confidentialComputeProperties"]["ccePolicy"];
        let carried = BASE64_STANDARD.decode(carried.as_str().unwrap()).unwrap();
        assert_eq!(carried, read("cleanroom-policy.rego"));
        assert_eq!(told["hostData"], hex::encode(Sha256::digest(&carried)));
        args.target = Target::Pod;
        write(&spec, &deployment, &args).unwrap();
        let pod: Value = serde_json::from_slice(&read("cleanroom-pod.json")).unwrap();
        assert_eq!(pod["kind"], "Pod");
    }
}
