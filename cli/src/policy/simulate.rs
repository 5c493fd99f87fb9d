use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use policy::ContainerGroup;
use policy_simulate::{Decision, Plain, Question};
use serde::Serialize;
use serde_json::json;

use super::judge::Judge;
use super::layers::{Known, LayerArgs};
use super::{Lines, generate, isolated, requests, show, source};
use crate::CliError;

/// Questions to a policy.
#[derive(clap::Args, Debug)]
pub struct SimulateArgs {
    /// The policy: its text, its base64, or a template that carries it.
    policy: PathBuf,
    #[command(flatten)]
    questions: Questions,
    /// The platform's own framework, framework.rego: it answers, under a general evaluator, instead of this program. The only
    /// way to ask a policy that computes something.
    #[arg(long, value_name = "FILE")]
    framework: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// This process is the one that evaluates.
    #[arg(long, env = isolated::VARIABLE, hide = true)]
    isolated: bool,
}

#[derive(clap::Args, Debug)]
struct Questions {
    /// JSON list of `{"point","input"}`, asked one after the other; a fragment's text is in `fragment`.
    #[arg(long, conflicts_with = "group", required_unless_present = "group")]
    requests: Option<PathBuf>,
    /// A container group: asks what the platform asks when it starts it.
    #[arg(long, requires = "images")]
    group: Option<PathBuf>,
    /// Manifest of the group's images: `images.json`, or with --images-key the publisher's signed one.
    #[arg(long, requires = "group")]
    images: Option<PathBuf>,
    /// The publisher's public key on P-384, PEM: the manifest must be signed with it.
    #[arg(long, value_name = "PEM", requires = "group")]
    images_key: Option<PathBuf>,
    /// Folder with the images as an OCI layout: their root hashes are computed, whatever the manifest lists.
    #[arg(long, requires = "group")]
    layout: Option<PathBuf>,
}

/// What is asked.
#[derive(Default)]
struct Asked {
    questions: Vec<Question>,
    /// Whose start it is.
    group: Option<ContainerGroup>,
    /// How its images are known.
    images: Vec<Known>,
}

/// A question with its answer.
#[derive(Serialize)]
struct Answered {
    point: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
    #[serde(flatten)]
    decision: Decision,
    /// What the group names and would not get.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<String>,
}

/// All answers, and who gave them.
struct Answers<'a> {
    judge: &'a Judge,
    /// Those of the group.
    images: &'a [Known],
    answers: &'a [Answered],
}

pub(super) fn run(args: &SimulateArgs) -> Result<ExitCode, CliError> {
    if args.framework.is_some() && !args.isolated {
        return isolated::again();
    }
    let text = source::text(&args.policy)?;
    let mut judge = Judge::new(&text, args.framework.as_deref())?;
    let Asked {
        group,
        images,
        questions,
    } = args.questions.read()?;
    let mut answers = Vec::new();
    for question in questions {
        let decision = judge.ask(&question)?;
        let dropped = match &group {
            Some(group) if decision.allowed => requests::dropped(group, &question, &decision),
            _ => Vec::new(),
        };
        answers.push(Answered {
            container: question.input.get("argList").map(ToString::to_string),
            point: question.point,
            decision,
            dropped,
        });
    }
    // Who asked nothing has heard no yes.
    let yes = !answers.is_empty() && answers.iter().all(Answered::yes);
    let value = json!({
        "hostData": judge.host_data,
        "answeredBy": judge.name(),
        "allowed": yes,
        "images": images,
        "answers": answers,
    });
    let shown = Answers {
        judge: &judge,
        images: &images,
        answers: &answers,
    };
    show(&shown, &value, args.json, yes)
}

impl Questions {
    fn read(&self) -> Result<Asked, CliError> {
        let missing = |argument| CliError::Argument {
            argument,
            reason: "is needed".to_owned(),
        };
        if let Some(path) = &self.requests {
            let questions = serde_json::from_str(&source::read(path)?);
            let questions = questions.map_err(|error| CliError::file(path, error))?;
            return Ok(Asked {
                questions,
                ..Asked::default()
            });
        }
        let group = self.group.as_ref().ok_or_else(|| missing("--group"))?;
        let layers = LayerArgs::new(
            self.images.clone().ok_or_else(|| missing("--images"))?,
            self.images_key.clone(),
            self.layout.clone(),
        );
        let group = generate::group(group)?;
        let questions = requests::of_group(&group, &layers.of(&group)?)?;
        Ok(Asked {
            images: layers.known(&group)?,
            group: Some(group),
            questions,
        })
    }
}

impl Answered {
    const fn yes(&self) -> bool {
        self.decision.allowed && self.dropped.is_empty()
    }
}

impl fmt::Display for Answers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "answered by {}", Plain(self.judge.name()))?;
        for known in self.images {
            writeln!(f, "{known}")?;
        }
        Lines(self.answers, "nothing was asked").fmt(f)
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = if self.yes() { "yes" } else { "NO " };
        write!(f, "{answer} {}", Plain(&self.point))?;
        if let Some(container) = &self.container {
            write!(f, " {}", Plain(container))?;
        }
        if !self.dropped.is_empty() {
            write!(
                f,
                "\n      starts without {}",
                Plain(self.dropped.join(", "))
            )?;
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
            write!(f, "\n      {}", Plain(error))?;
        }
        for finding in &self.decision.findings {
            write!(f, "\n      {finding}")?;
        }
        Ok(())
    }
}
