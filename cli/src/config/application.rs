use std::collections::BTreeMap;
use std::path::PathBuf;

use cleanroom_spec::{
    Application, Document, DocumentType, Image, InlinePolicy, Policy, PolicySource, ProtocolType,
    Requests, Resource, ResourceSettings, ResourceType, RuntimeSettings, SandboxSettings,
    SandboxType, ServiceEndpoint, StartType,
};

use super::tag::TagArgs;
use super::{change, identity_of};
use crate::CliError;
use crate::credential::Access;

/// An application for the fragment.
#[derive(clap::Args, Debug)]
pub struct ApplicationArgs {
    /// The fragment.
    #[arg(long)]
    cleanroom_config: PathBuf,
    /// Unique name.
    #[arg(long)]
    name: String,
    /// Image by digest; with --resolve-tag by tag.
    #[arg(long)]
    image: String,
    #[command(flatten)]
    tag: TagArgs,
    /// Program and arguments, split as a shell does; the image's own by default.
    #[arg(long)]
    command_line: Option<String>,
    /// TCP ports it serves.
    #[arg(long, num_args = 0..)]
    ports: Vec<u16>,
    /// `<access name>=<path>`, read-only.
    #[arg(long, num_args = 0..)]
    datasources: Vec<String>,
    /// `<access name>=<path>`, read-write.
    #[arg(long, num_args = 0..)]
    datasinks: Vec<String>,
    /// `<name>=<value>`.
    #[arg(long, num_args = 0..)]
    env_vars: Vec<String>,
    /// Processors.
    #[arg(long)]
    cpu: f64,
    /// Memory in GiB.
    #[arg(long)]
    memory: f64,
    /// Identity that may pull the image; nobody in particular by default.
    #[arg(long)]
    acr_access_identity: Option<String>,
    /// Starts by itself.
    #[arg(long)]
    auto_start: bool,
    /// `best-effort` accepts a machine that cannot enforce the limits.
    #[arg(long, value_parser = ["enforced", "best-effort"])]
    limits: Option<String>,
}

pub(super) async fn run(args: ApplicationArgs, access: &Access) -> Result<(), CliError> {
    let image = args.tag.pinned(&args.image, access).await?;
    let command = match &args.command_line {
        None => Vec::new(),
        Some(line) => split(line)?,
    };
    change(&args.cleanroom_config, |spec| {
        let identity = match &args.acr_access_identity {
            None => None,
            Some(name) => Some(identity_of(spec, name)?),
        };
        let registry = image
            .reference
            .split('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let application = Application {
            image: Image {
                executable: Document {
                    document_type: DocumentType::Oci,
                    authenticity_receipt: String::new(),
                    identity,
                    backing_resource: Resource {
                        name: args.name.clone(),
                        kind: ResourceType::AzureContainerRegistry,
                        id: image.reference,
                        provider: ServiceEndpoint {
                            protocol: ProtocolType::AzureContainerRegistry,
                            url: registry,
                            configuration: image.resolved,
                        },
                    },
                },
                protection: None,
                enforcement_policy: Policy {
                    policy: Some(PolicySource::Inline(InlinePolicy {
                        policy_document: Some("{'trustType': 'https'}".to_owned()),
                    })),
                },
            },
            name: args.name,
            start_type: if args.auto_start {
                StartType::Auto
            } else {
                StartType::Manual
            },
            command,
            environment_variables: pairs("--env-vars", &args.env_vars)?,
            datasources: pairs("--datasources", &args.datasources)?,
            datasinks: pairs("--datasinks", &args.datasinks)?,
            runtime_settings: RuntimeSettings {
                ports: args.ports,
                resource: ResourceSettings {
                    requests: Requests {
                        cpu: args.cpu,
                        memory_in_gb: args.memory,
                    },
                },
            },
        };
        spec.put_application(application);
        if let Some(limits) = args.limits {
            spec.sandbox = Some(SandboxSettings {
                sandbox_type: SandboxType::Type0,
                privacy_policy: None,
                configuration: serde_json::json!({"limits": limits}).to_string(),
            });
        }
        Ok(())
    })
}

fn pairs(argument: &'static str, items: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    let mut pairs = BTreeMap::new();
    for item in items {
        let refused = |reason: &str| CliError::Argument {
            argument,
            reason: format!("{item:?} {reason}"),
        };
        let (name, value) = item
            .split_once('=')
            .ok_or_else(|| refused("is not <name>=<value>"))?;
        if pairs.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(refused("names something twice"));
        }
    }
    Ok(pairs)
}

/// Splits a command line by the quoting rules of the POSIX shell (no expansion).
fn split(line: &str) -> Result<Vec<String>, CliError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    let open = || CliError::Argument {
        argument: "--command-line",
        reason: "a quote is not closed".to_owned(),
    };
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(open)? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(open)? {
                        '"' => break,
                        '\\' => match chars.next().ok_or_else(open)? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word
                .get_or_insert_default()
                .push(chars.next().ok_or_else(open)?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_split_as_a_shell_does() {
        let split = |line| split(line).unwrap();
        assert_eq!(
            split("/app  -x 'a b' \"c\\\"d\" e\\ f ''"),
            ["/app", "-x", "a b", "c\"d", "e f", ""]
        );
        assert_eq!(
            split("bash -c 'echo $CODE | base64 -d'"),
            ["bash", "-c", "echo $CODE | base64 -d"]
        );
        assert!(super::split("echo 'open").is_err());
    }

    #[test]
    fn pairs_need_a_name_and_come_once() {
        assert_eq!(
            pairs("--env-vars", &["A=b=c".to_owned()]).unwrap()["A"],
            "b=c"
        );
        assert!(pairs("--env-vars", &["A".to_owned()]).is_err());
        assert!(pairs("--env-vars", &["A=1".to_owned(), "A=2".to_owned()]).is_err());
    }
}
