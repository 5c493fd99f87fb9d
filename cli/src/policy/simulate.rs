use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use policy_simulate::{Decision, Question, Simulator};
use serde::Serialize;
use serde_json::json;

use super::layers::LayerArgs;
use super::{Lines, generate, requests, show, source};
use crate::CliError;

/// Questions to a policy.
#[derive(clap::Args, Debug)]
pub struct SimulateArgs {
    /// The policy: its text, its base64, or a template that carries it.
    policy: PathBuf,
    #[command(flatten)]
    questions: Questions,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
#[group(required = true, multiple = true)]
struct Questions {
    /// JSON list of `{"point","input"}`, asked one after the other; a fragment's text is in `fragment`.
    #[arg(long, conflicts_with = "group")]
    requests: Option<PathBuf>,
    /// A container group: asks what the platform asks when it starts it.
    #[arg(long)]
    group: Option<PathBuf>,
    #[command(flatten)]
    layers: Option<LayerArgs>,
}

/// A question with its answer.
#[derive(Serialize)]
struct Answered {
    point: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
    #[serde(flatten)]
    decision: Decision,
}

pub(super) fn run(args: &SimulateArgs) -> Result<ExitCode, CliError> {
    let document = source::policy(&args.policy)?;
    let host_data = document.sha256.clone();
    let mut simulator = Simulator::new(document);
    let mut answers = Vec::new();
    for question in args.questions.read()? {
        let container = question.input.get("argList").map(ToString::to_string);
        answers.push(Answered {
            decision: simulator.ask(&question)?,
            point: question.point,
            container,
        });
    }
    let yes = answers.iter().all(|answer| answer.decision.allowed);
    let value = json!({"hostData": host_data, "allowed": yes, "answers": answers});
    show(
        &Lines(&answers, "nothing was asked"),
        &value,
        args.json,
        yes,
    )
}

impl Questions {
    fn read(&self) -> Result<Vec<Question>, CliError> {
        let missing = |argument| CliError::Argument {
            argument,
            reason: "is needed".to_owned(),
        };
        if let Some(path) = &self.requests {
            let text = source::read(path)?;
            return serde_json::from_str(&text).map_err(|error| CliError::file(path, error));
        }
        let group = generate::group(self.group.as_ref().ok_or_else(|| missing("--group"))?)?;
        let layers = self.layers.as_ref().ok_or_else(|| missing("--images"))?;
        requests::of_group(&group, &layers.of(&group)?)
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = if self.decision.allowed { "yes" } else { "NO " };
        write!(f, "{answer} {}", self.point)?;
        if let Some(container) = &self.container {
            write!(f, " {container}")?;
        }
        if self.decision.allowed {
            return Ok(());
        }
        for error in self
            .decision
            .errors
            .iter()
            .chain(&self.decision.policy_error)
        {
            write!(f, "\n      {error}")?;
        }
        for finding in &self.decision.findings {
            write!(f, "\n      {finding}")?;
        }
        Ok(())
    }
}
