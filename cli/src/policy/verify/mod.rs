//! One command for a voter: from the contract to the host data, worked out again and compared with what was proposed.

mod compare;
mod form;
mod proposed;
#[cfg(test)]
mod proposed_tests;
mod report;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trust_tests;

use std::path::PathBuf;
use std::process::ExitCode;

use cleanroom_spec::Specification;
use policy::emit::cce::Platform;
use policy::{ContainerGroup, Deployment};
use serde_json::Value;

use self::compare::Recomputed;
use self::proposed::Proposed;
use self::report::Report;
use super::generate::FormArgs;
use super::layers::LayerArgs;
use super::{show, source};
use crate::CliError;
use crate::governance::{Profile, workspace};

/// What a voter compares.
#[derive(clap::Args, Debug)]
pub struct VerifyArgs {
    /// Contract id.
    #[arg(long)]
    contract_id: String,
    /// Name of the governance client that asks, and whose service certificate the room must be pinned to.
    #[arg(long, env = "CLEANROOM_GOVERNANCE_CLIENT", value_name = "NAME")]
    governance_client: String,
    #[command(flatten)]
    layers: LayerArgs,
    #[command(flatten)]
    form: FormArgs,
    /// The profile of the room.
    #[arg(long, value_enum, default_value = "job")]
    profile: Profile,
    /// A template that was not proposed yet, instead of those that were.
    #[arg(long)]
    template_file: Option<PathBuf>,
    /// A policy that was not proposed yet, instead of those that were.
    #[arg(long)]
    policy_file: Option<PathBuf>,
    /// Accepts images and roots of a virtual environment, which keeps nothing confidential.
    #[arg(long)]
    insecure_virtual: bool,
    /// PEM file of further trusted roots; only with --insecure-virtual.
    #[arg(long)]
    extra_roots: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &VerifyArgs) -> Result<ExitCode, CliError> {
    let client = workspace(&args.governance_client).map_err(Box::new)?;
    let (contract, mut proposed) = proposed::read(&client, &args.contract_id)
        .await
        .map_err(Box::new)?;
    if args.template_file.is_some() || args.policy_file.is_some() {
        proposed = Proposed::of_files(args.template_file.as_deref(), args.policy_file.as_deref())?;
    }
    let deployment = Deployment {
        contract_id: args.contract_id.clone(),
        ccf_endpoint: client
            .ccf_endpoint
            .as_str()
            .trim_end_matches('/')
            .to_owned(),
        service_cert_pem: client.service_cert_pem,
        extra_roots_pem: args.extra_roots.as_deref().map(source::read).transpose()?,
        insecure_virtual: args.insecure_virtual,
    };
    let report = judge(args, &contract, &deployment, &proposed)?;
    show(&report, &report, args.json, report.yes())
}

fn judge(
    args: &VerifyArgs,
    contract: &Value,
    deployment: &Deployment,
    proposed: &Proposed,
) -> Result<Report, CliError> {
    let mut report = Report::new(&args.contract_id);
    let state = contract.get("state").and_then(Value::as_str);
    report.equal("contract", "state", "Accepted", state.unwrap_or("none"));
    let text = contract.get("data").and_then(Value::as_str);
    let spec = Specification::from_yaml(text.unwrap_or_default())?;
    let images = args.layers.manifest()?;
    let group = policy::build_for(args.profile.into(), &spec, deployment, &images)?;
    report.fact("specification sha256", &group.specification_sha256);
    report.fact("images sha256", args.layers.sha256()?);
    report.images(args.layers.known(&group)?, args.insecure_virtual);
    report.proposals.clone_from(&proposed.proposals);
    let recomputed = Recomputed {
        text: &|group: &ContainerGroup, platform: Platform| {
            let layers = args.layers.of(group)?;
            Ok(policy::emit::cce::cce(
                group,
                &layers,
                &args.form.options(platform),
            )?)
        },
        group,
        options: args.form.template(&spec),
        beyond_deploy: args.form.beyond_deploy(),
    };
    recomputed.compare(proposed, &mut report)?;
    Ok(report)
}
