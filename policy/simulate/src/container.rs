//! Processes: the first of a container, further ones, and those of the utility VM itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::candidate::{Candidate, EnvMatcher};
use crate::input::{Create, External, Mount, Process};
use crate::{Capabilities, Decision, Finding, SimulateError, Simulator, environment, mounts};

type Answer = Result<Decision, SimulateError>;
type Matches = Vec<Arc<Candidate>>;

/// One condition, and why it fails for a container.
struct Condition<'c> {
    /// The platform's words when no container meets it.
    error: String,
    /// What is wrong with one container; `None` when it meets it.
    fails: Check<'c>,
}

type Check<'c> = Box<dyn Fn(&Candidate) -> Option<Finding> + 'c>;

impl Simulator {
    pub(crate) fn create_container(&mut self, input: &Create) -> Answer {
        let id = &input.process.container_id;
        let matches = self.matches(id);
        let conditions = self.create_conditions(input);
        let fit = fitting(&matches, &conditions);
        let mut errors = Vec::new();
        if self.state.started.contains_key(id) {
            errors.push("container already started".to_owned());
        }
        if input
            .devices
            .as_ref()
            .is_some_and(|devices| !devices.is_empty())
        {
            errors.push("devices not supported".to_owned());
        }
        let outcome = self.start(&fit, &input.process, input.privileged);
        match outcome {
            Some((left, mut decision)) if errors.is_empty() => {
                let stdio = left
                    .first()
                    .is_some_and(|one| one.container.allow_stdio_access);
                if left
                    .iter()
                    .any(|one| one.container.allow_stdio_access != stdio)
                {
                    return Ok(Decision::no(
                        "containers only distinguishable by allow_stdio_access",
                        Finding::new("allow_stdio_access", "the same for all", left.len()),
                    ));
                }
                decision.allow_stdio_access = Some(stdio);
                drop(conditions);
                self.state.matches.insert(id.clone(), left);
                self.state.started.insert(id.clone(), input.privileged);
                Ok(decision)
            }
            _ => {
                let findings = errors
                    .iter()
                    .map(|error| Finding::new(error, "another request", id))
                    .collect();
                let process = self.process_conditions(&input.process, input.privileged);
                let all: Vec<_> = conditions.into_iter().chain(process).collect();
                Ok(explain(
                    &matches,
                    &all,
                    errors,
                    findings,
                    &input.process.env_list,
                ))
            }
        }
    }

    pub(crate) fn exec_in_container(&mut self, input: &Process) -> Answer {
        let id = &input.container_id;
        let matches = self.matches(id);
        let started = self.state.started.get(id).copied();
        // Capabilities that a container leaves to the platform are those of its first process.
        let privileged = started.unwrap_or(false);
        let conditions = exec_conditions(input);
        let fit = fitting(&matches, &conditions);
        if let Some((left, decision)) = self
            .start(&fit, input, privileged)
            .filter(|_| started.is_some())
        {
            drop(conditions);
            self.state.matches.insert(id.clone(), left);
            return Ok(decision);
        }
        let mut errors = Vec::new();
        let mut findings = Vec::new();
        if started.is_none() {
            errors.push("container not started".to_owned());
            findings.push(Finding::new("order", "create_container first", id));
        }
        // The platform's words for a refusal of this point always hold these two.
        errors.extend(["invalid noNewPrivileges", "invalid user"].map(ToOwned::to_owned));
        let process = self.process_conditions(input, privileged);
        let all: Vec<_> = conditions.into_iter().chain(process).collect();
        Ok(explain(&matches, &all, errors, findings, &input.env_list))
    }

    pub(crate) fn exec_external(&mut self, input: &External) -> Answer {
        let dropping = self.document.flag("allow_environment_variable_dropping");
        let rules: Vec<Vec<EnvMatcher>> = self
            .external
            .iter()
            .map(|process| process.env_rules.iter().map(EnvMatcher::new).collect())
            .collect();
        let found: Vec<_> = self
            .external
            .iter()
            .zip(&rules)
            .filter(|(one, _)| {
                one.command == input.arg_list && one.working_dir == input.working_dir
            })
            .collect();
        let candidates: Vec<&[EnvMatcher]> =
            found.iter().map(|(_, rules)| rules.as_slice()).collect();
        let env = environment::environment(&candidates, &input.env_list, dropping);
        let left: Vec<_> = found
            .iter()
            .filter(|(_, rules)| {
                env.as_ref()
                    .is_some_and(|env| environment::fits(rules, env))
            })
            .collect();
        if let Some((first, _)) = left.first() {
            let stdio = first.allow_stdio_access;
            if left.iter().all(|(one, _)| one.allow_stdio_access == stdio) {
                return Ok(Decision {
                    env_list: env,
                    allow_stdio_access: Some(stdio),
                    ..Decision::yes()
                });
            }
        }
        let mut refusals = Vec::new();
        if !self
            .external
            .iter()
            .any(|one| one.command == input.arg_list)
        {
            refusals.push((
                "invalid command",
                Finding::json("external_processes", self.external.len(), &input.arg_list),
            ));
        }
        if !self
            .external
            .iter()
            .any(|one| one.working_dir == input.working_dir)
        {
            refusals.push((
                "invalid working directory",
                Finding::json(
                    "external_processes",
                    self.external.len(),
                    &input.working_dir,
                ),
            ));
        }
        let mut decision = Decision::unless(refusals);
        decision.allowed = false;
        Ok(decision)
    }

    fn matches(&self, id: &str) -> Matches {
        self.state.matches.get(id).cloned().unwrap_or_default()
    }

    /// What is left of the containers that fit so far, and what the process gets; `None` when nothing is.
    fn start(
        &self,
        fit: &[Arc<Candidate>],
        process: &Process,
        privileged: bool,
    ) -> Option<(Matches, Decision)> {
        let dropping = self.document.flag("allow_environment_variable_dropping");
        let rules: Vec<&[EnvMatcher]> = fit.iter().map(|one| one.environment.as_slice()).collect();
        let env = environment::environment(&rules, &process.env_list, dropping)?;
        let left: Matches = fit
            .iter()
            .filter(|one| environment::fits(&one.environment, &env))
            .cloned()
            .collect();
        let caps = self.capabilities(&left, process, privileged)?;
        let left: Matches = left
            .into_iter()
            .filter(|one| environment::equal(&one.capabilities(privileged), &caps))
            .collect();
        (!left.is_empty()).then(|| {
            let decision = Decision {
                env_list: Some(env),
                caps_list: Some(caps),
                ..Decision::yes()
            };
            (left, decision)
        })
    }

    fn capabilities(
        &self,
        candidates: &[Arc<Candidate>],
        process: &Process,
        privileged: bool,
    ) -> Option<Capabilities> {
        let dropping = self.drops_capabilities();
        let allowed: Vec<_> = candidates
            .iter()
            .map(|one| one.capabilities(privileged))
            .collect();
        environment::capabilities(&allowed, &process.capabilities, dropping)
    }

    fn create_conditions<'c>(&'c self, input: &'c Create) -> Vec<Condition<'c>> {
        let process = &input.process;
        let unknown: BTreeMap<String, Vec<&Mount>> = self
            .matches(&process.container_id)
            .iter()
            .map(|one| {
                (
                    one.label.clone(),
                    mounts::unknown(one, input, &self.state.plan9),
                )
            })
            .collect();
        let nowhere: Vec<&str> = input
            .mounts
            .iter()
            .map(|mount| mount.destination.as_str())
            .filter(|destination| {
                let mut of_all = unknown.values();
                of_all.all(|mounts| mounts.iter().any(|mount| mount.destination == *destination))
            })
            .collect();
        let mut conditions = vec![
            no_new_privileges(process),
            user(process),
            condition("privileged escalation not allowed", move |one| {
                (input.privileged && !one.container.allow_elevated)
                    .then(|| Finding::new(format!("{} .allow_elevated", one.label), false, true))
            }),
            working_dir(process),
            condition("invalid command", move |one| {
                let command = one.container.command.as_ref();
                (command != Some(&process.arg_list)).then(|| {
                    Finding::json(
                        format!("{} .command", one.label),
                        command,
                        &process.arg_list,
                    )
                })
            }),
            condition("invalid seccomp", move |one| {
                (one.seccomp != input.seccomp).then(|| {
                    let rule = format!("{} .seccomp_profile_sha256", one.label);
                    Finding::json(rule, &one.seccomp, &input.seccomp)
                })
            }),
        ];
        let error = format!("invalid mount list: {}", nowhere.join(","));
        conditions.push(condition(&error, move |one| {
            let unknown = unknown
                .get(&one.label)
                .filter(|unknown| !unknown.is_empty())?;
            let known: Vec<_> = one
                .container
                .mounts
                .iter()
                .map(ToString::to_string)
                .collect();
            let asked: Vec<_> = unknown.iter().map(ToString::to_string).collect();
            Some(Finding::json(
                format!("{} .mounts", one.label),
                known,
                asked,
            ))
        }));
        conditions
    }

    /// Conditions of every process, for the words of a refusal.
    fn process_conditions<'c>(
        &'c self,
        process: &'c Process,
        privileged: bool,
    ) -> Vec<Condition<'c>> {
        let dropping = self.document.flag("allow_environment_variable_dropping");
        vec![
            condition("", move |one| {
                let kept = environment::kept(&one.environment, &process.env_list);
                let mut beyond = process
                    .env_list
                    .iter()
                    .filter(|variable| !kept.contains(variable));
                let beyond = beyond.find(|_| !dropping);
                beyond.map(|variable| {
                    Finding::new(
                        format!("{} .env_rules", one.label),
                        "a rule for it",
                        name(variable),
                    )
                })
            }),
            condition("missing required environment variable", move |one| {
                let missing = environment::missing(&one.environment, &process.env_list);
                missing.first().map(|rule| {
                    let rule = format!("{} .env_rules {:?}", one.label, rule.rule.pattern);
                    Finding::new(rule, "a value that matches", "none")
                })
            }),
            condition("capabilities don't match", move |one| {
                let allowed = one.capabilities(privileged);
                let caps_dropping = self.drops_capabilities();
                let kept = environment::capabilities(
                    std::slice::from_ref(&allowed),
                    &process.capabilities,
                    caps_dropping,
                );
                let equal = kept.is_some_and(|kept| environment::equal(&kept, &allowed));
                (!equal).then(|| {
                    Finding::json(
                        format!("{} .capabilities", one.label),
                        &allowed,
                        &process.capabilities,
                    )
                })
            }),
        ]
    }
}

fn exec_conditions(process: &Process) -> Vec<Condition<'_>> {
    vec![
        no_new_privileges(process),
        user(process),
        working_dir(process),
        condition("invalid command", move |one| {
            let mut known = one.container.exec_processes.iter();
            (!known.any(|known| known.command == process.arg_list)).then(|| {
                let known = one
                    .container
                    .exec_processes
                    .iter()
                    .map(|known| &known.command);
                let known: Vec<_> = known.collect();
                Finding::json(
                    format!("{} .exec_processes", one.label),
                    known,
                    &process.arg_list,
                )
            })
        }),
    ]
}

fn no_new_privileges(process: &Process) -> Condition<'_> {
    condition("invalid noNewPrivileges", move |one| {
        (one.no_new_privileges && !process.no_new_privileges)
            .then(|| Finding::new(format!("{} .no_new_privileges", one.label), true, false))
    })
}

fn user(process: &Process) -> Condition<'_> {
    condition("invalid user", move |one| {
        let person = &process.person;
        (!one.admits(person)).then(|| {
            let expected = format!(
                "user {} {:?} groups {} umask {}",
                one.user.user_idname.strategy,
                one.user.user_idname.pattern,
                one.user
                    .group_idnames
                    .iter()
                    .map(|group| format!("{} {:?}", group.strategy, group.pattern))
                    .collect::<Vec<_>>()
                    .join(" or "),
                one.user.umask
            );
            let groups: Vec<_> = person
                .groups
                .iter()
                .map(|group| group.id.as_str())
                .collect();
            let actual = format!(
                "user {} {:?} groups {} umask {}",
                person.user.id,
                person.user.name,
                groups.join(","),
                person.umask
            );
            Finding::new(format!("{} .user", one.label), expected, actual)
        })
    })
}

fn working_dir(process: &Process) -> Condition<'_> {
    condition("invalid working directory", move |one| {
        (one.container.working_dir != process.working_dir).then(|| {
            Finding::json(
                format!("{} .working_dir", one.label),
                &one.container.working_dir,
                &process.working_dir,
            )
        })
    })
}

fn condition<'c>(error: &str, fails: impl Fn(&Candidate) -> Option<Finding> + 'c) -> Condition<'c> {
    Condition {
        error: error.to_owned(),
        fails: Box::new(fails),
    }
}

fn fitting(matches: &Matches, conditions: &[Condition<'_>]) -> Matches {
    let fits = |one: &&Arc<Candidate>| conditions.iter().all(|c| (c.fails)(one).is_none());
    matches.iter().filter(fits).cloned().collect()
}

/// A refusal: the platform's words for every condition that no container meets, and what is wrong with the container that
/// meets most of them.
fn explain(
    matches: &Matches,
    conditions: &[Condition<'_>],
    mut errors: Vec<String>,
    mut findings: Vec<Finding>,
    variables: &[String],
) -> Decision {
    for condition in conditions
        .iter()
        .filter(|condition| !condition.error.is_empty())
    {
        if matches.iter().all(|one| (condition.fails)(one).is_some())
            && !errors.contains(&condition.error)
        {
            errors.push(condition.error.clone());
        }
    }
    let known = |variable: &&String| {
        let mut rules = matches.iter().flat_map(|one| &one.environment);
        rules.any(|rule| rule.matches(variable))
    };
    let unknown: Vec<&str> = variables
        .iter()
        .filter(|v| !known(v))
        .map(|v| name(v))
        .collect();
    if !unknown.is_empty() {
        errors.push("invalid env list".to_owned());
        errors.push(format!("invalid env list: {}", unknown.join(",")));
    }
    let closest = matches
        .iter()
        .map(|one| conditions.iter().filter_map(|c| (c.fails)(one)).collect())
        .min_by_key(|findings: &Vec<Finding>| findings.len());
    match closest {
        Some(closest) => findings.extend(closest),
        None => findings.push(Finding::new(
            "order",
            "mount_overlay of the container's layers first",
            "no overlay",
        )),
    }
    Decision {
        errors,
        findings,
        ..Decision::default()
    }
}

/// The name of a variable; its value may be a secret.
fn name(variable: &str) -> &str {
    variable.split('=').next().unwrap_or_default()
}
