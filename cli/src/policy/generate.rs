use std::path::PathBuf;
use std::process::ExitCode;

use cleanroom_spec::Specification;
use policy::ContainerGroup;
use policy::emit::TemplateOptions;
use policy::emit::cce::{CceOptions, Platform, Profile, cce};
use policy_simulate::Document;
use policy_simulate::lint::{Severity, lint};
use serde_json::json;

use super::layers::LayerArgs;
use super::source;
use crate::{CliError, stores};

/// A policy from a container group.
#[derive(clap::Args, Debug)]
pub struct GenerateArgs {
    /// The container group, as `governance deployment generate` writes it.
    #[arg(long)]
    group: PathBuf,
    #[command(flatten)]
    layers: LayerArgs,
    /// File for the text.
    #[arg(long)]
    out: PathBuf,
    /// For a pod on a virtual node of AKS, instead of a container group of Azure.
    #[arg(long)]
    virtual_node: bool,
    #[command(flatten)]
    form: FormArgs,
}

/// How a policy is written.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct FormArgs {
    /// One member per line. It has other host data than the compact form.
    #[arg(long)]
    pretty: bool,
    /// Version of the API that it claims: 0.11.0, or 0.10.0 as the platform's tool wrote before its 2.x.
    #[arg(long, default_value = "0.11.0", value_parser = profile)]
    api: Profile,
    /// Where the images are, such as `example.azurecr.io/room`.
    #[arg(long)]
    pub(crate) registry: Option<String>,
    /// Lets the platform's own variables in, whatever their values are.
    #[arg(long)]
    platform_environment: bool,
    /// Lets the host run a shell and read what containers print. It keeps little confidential.
    #[arg(long)]
    debug: bool,
    /// Allows everything; only for a virtual environment.
    #[arg(long)]
    allow_all: bool,
}

impl FormArgs {
    /// The flags that change a policy's bytes beyond what `cleanroom deploy` makes of a container group: it has none of them.
    pub(crate) fn beyond_deploy(&self) -> Vec<&'static str> {
        let given = [
            ("--pretty", self.pretty),
            ("--api", self.api != Profile::default()),
            ("--registry", self.registry.is_some()),
            ("--platform-environment", self.platform_environment),
            ("--debug", self.debug),
            ("--allow-all", self.allow_all),
        ];
        let flags = given.into_iter().filter(|(_, given)| *given);
        flags.map(|(flag, _)| flag).collect()
    }

    /// Whether `cleanroom deploy` makes the same policy.
    pub(crate) fn reproduced_by_deploy(&self) -> Result<(), CliError> {
        match self.beyond_deploy().first() {
            None => Ok(()),
            Some(argument) => Err(CliError::Argument {
                argument,
                reason: "`cleanroom deploy` makes the policy of a container group without it, which has other host data"
                    .to_owned(),
            }),
        }
    }

    /// What a deployment template of the contract says beside its group.
    pub(crate) fn template(&self, spec: &Specification) -> TemplateOptions {
        TemplateOptions::of(spec, self.registry.as_deref(), env!("CARGO_PKG_VERSION"))
    }

    pub(crate) fn options(&self, platform: Platform) -> CceOptions {
        CceOptions {
            platform,
            profile: self.api,
            pretty: self.pretty,
            registry: self.registry.clone(),
            platform_environment: self.platform_environment,
            debug: self.debug,
            allow_all: self.allow_all,
        }
    }
}

fn profile(text: &str) -> Result<Profile, String> {
    [Profile::V2, Profile::V1]
        .into_iter()
        .find(|profile| profile.to_string() == text)
        .ok_or_else(|| "neither 0.11.0 nor 0.10.0".to_owned())
}

/// The group in a file.
pub(crate) fn group(path: &std::path::Path) -> Result<ContainerGroup, CliError> {
    let value =
        serde_json::from_str(&source::read(path)?).map_err(|error| CliError::file(path, error))?;
    Ok(ContainerGroup::from_json(value)?)
}

pub(crate) fn run(args: &GenerateArgs) -> Result<ExitCode, CliError> {
    let group = group(&args.group)?;
    let layers = args.layers.of(&group)?;
    let platform = if args.virtual_node {
        Platform::VirtualNode
    } else {
        Platform::ContainerGroup
    };
    let text = cce(&group, &layers, &args.form.options(platform))?;
    let host_data = text.host_data()?.to_string();
    // Read back by the code that a voter uses: what it cannot read is not written.
    let findings: Vec<_> = lint(&Document::policy(text.as_str())?)
        .into_iter()
        .filter(|one| one.severity > Severity::Note)
        .map(|one| one.to_string())
        .collect();
    stores::write_text(&args.out, text.as_str())?;
    crate::print(&json!({
        "hostData": host_data,
        "file": args.out,
        "findings": findings,
        "images": args.layers.known(&group)?,
    }))?;
    Ok(ExitCode::SUCCESS)
}
