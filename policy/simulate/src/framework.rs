//! The same questions to a framework that the caller brings: the platform's own rules, evaluated as they are.
//!
//! A second opinion on [`crate::Simulator`], and the only one for policies that compute something.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use regorus::{Engine, PolicyLengthConfig, utils::limits::ExecutionTimerConfig};
use serde_json::{Map, Value, json};

use crate::api::{self, Missing};
use crate::candidate::{PRIVILEGED, UNPRIVILEGED};
use crate::decision::{Decision, Finding};
use crate::input::Question;
use crate::syntax::MAX_TEXT;
use crate::{SimulateError, Version, mounts};

/// The longest evaluation of one question.
const MAX_TIME: Duration = Duration::from_secs(10);
/// The deepest brackets that are read.
const MAX_DEPTH: usize = 64;
/// Versions for the places of a framework file where its build puts them.
const VERSIONS: [(&str, &str); 2] = [
    ("@@FRAMEWORK_VERSION@@", "0.5.0"),
    ("@@API_VERSION@@", "0.12.0"),
];

/// A utility VM with a policy and a framework.
#[derive(Clone)]
pub struct Framework {
    engine: Engine,
    data: Map<String, Value>,
    fragments: usize,
}

impl std::fmt::Debug for Framework {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Framework").finish_non_exhaustive()
    }
}

impl Framework {
    /// Loads a policy and the framework that it names.
    ///
    /// # Errors
    /// [`SimulateError::Framework`]: one of the two is no Rego that can be evaluated.
    pub fn new(policy: &str, framework: &str) -> Result<Self, SimulateError> {
        let mut engine = Engine::new();
        engine.set_policy_length_config(PolicyLengthConfig {
            max_col: NonZeroU32::MAX,
            max_file_bytes: NonZeroUsize::new(MAX_TEXT).unwrap_or(NonZeroUsize::MAX),
            max_lines: NonZeroUsize::MAX,
        });
        let mut framework = with_bodies(framework);
        for (place, version) in VERSIONS {
            framework = framework.replace(place, version);
        }
        add(&mut engine, "framework.rego", framework)?;
        add(&mut engine, "policy.rego", policy.to_owned())?;
        let named = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| format!("CAP_{name}")).collect()
        };
        let data = json!({
            "defaultMounts": mounts::defaults(),
            "privilegedMounts": mounts::privileged(),
            "sandboxPrefix": "sandbox://",
            "hugePagesPrefix": "hugepages://",
            "plan9Prefix": "plan9://",
            "defaultUnprivilegedCapabilities": named(&UNPRIVILEGED),
            "defaultPrivilegedCapabilities": named(&PRIVILEGED),
            "metadata": {"operatingsystem": {"ostype": "linux"}},
        });
        let data = match data {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        let loaded = Self {
            engine,
            data,
            fragments: 0,
        };
        // The platform asks nothing of a policy without one.
        if loaded.api_version()?.is_none() {
            return Err(failed("package policy has no api_version"));
        }
        if loaded
            .query("data.framework.version", &Value::Null)?
            .is_null()
        {
            return Err(failed("the file has no package framework with a version"));
        }
        Ok(loaded)
    }

    fn api_version(&self) -> Result<Option<Version>, SimulateError> {
        for name in ["api_version", "api_svn"] {
            let value = self.query(&format!("data.policy.{name}"), &Value::Null)?;
            if let Some(version) = value.as_str().and_then(Version::parse) {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    /// What policy and framework answer.
    ///
    /// # Errors
    /// The point is unknown, or the evaluation fails.
    pub fn ask(&mut self, question: &Question) -> Result<Decision, SimulateError> {
        let point = api::find(&question.point).ok_or_else(|| SimulateError::Point {
            point: question.point.clone(),
        })?;
        if let (Some(text), "load_fragment") = (&question.fragment, point.name) {
            return self.load(question, text);
        }
        let result = self.answer(point, &question.input)?;
        self.decide(point.name, &question.input, result)
    }

    /// Asked twice: may it be loaded, and is what was loaded new enough.
    fn load(&mut self, question: &Question, text: &str) -> Result<Decision, SimulateError> {
        let package = text
            .strip_prefix("package ")
            .and_then(|rest| rest.lines().next());
        let namespace = package.unwrap_or_default().trim();
        // One plain name: anything after it could make it a package of the platform's.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let reserved = ["framework", "api", "policy", "metadata", ""].contains(&namespace);
        if reserved || !namespace.chars().all(plain) {
            return Ok(Decision {
                policy_error: Some(format!(
                    "unable to load fragment: namespace {namespace:?} is reserved and cannot be used for fragments"
                )),
                ..Decision::default()
            });
        }
        let mut input = question.input.clone();
        let mut set = |loaded: bool| {
            if let Some(members) = input.as_object_mut() {
                members.insert("namespace".to_owned(), json!(namespace));
                members.insert("fragment_loaded".to_owned(), json!(loaded));
                members.insert("has_header_svn".to_owned(), json!(false));
            }
            input.clone()
        };
        let point = api::find("load_fragment").ok_or_else(|| SimulateError::Point {
            point: question.point.clone(),
        })?;
        let before = set(false);
        let result = self.answer(point, &before)?;
        if !allowed(&result) {
            return self.decide(point.name, &before, result);
        }
        let without = self.clone();
        self.fragments = self.fragments.saturating_add(1);
        add(
            &mut self.engine,
            &format!("fragment{}.rego", self.fragments),
            text.to_owned(),
        )?;
        let after = set(true);
        let result = self.answer(point, &after)?;
        let decision = self.decide(point.name, &after, result)?;
        if !decision.allowed {
            *self = without;
        }
        Ok(decision)
    }

    /// The policy's rule, or what the platform takes its absence to mean.
    fn answer(&self, point: &api::Point, input: &Value) -> Result<Value, SimulateError> {
        let own = self.query(&format!("data.policy.{}", point.name), input)?;
        if own.as_object().is_some_and(|members| !members.is_empty()) {
            return Ok(own);
        }
        match (self.api_version()?, point.missing) {
            (Some(version), _) if version >= point.since => Ok(json!({"missing": point.name})),
            (_, Missing::Framework) => self.query(&format!("data.framework.{}", point.name), input),
            (_, missing) => Ok(json!({"allowed": missing == Missing::Allow})),
        }
    }

    fn decide(
        &mut self,
        point: &str,
        input: &Value,
        result: Value,
    ) -> Result<Decision, SimulateError> {
        if result.get("missing").is_some() {
            return Ok(Decision {
                policy_error: Some(format!("rule for {point} is missing from policy")),
                ..Decision::default()
            });
        }
        if allowed(&result) {
            self.change(result.get("metadata"));
            let member = |name: &str| result.get(name).filter(|value| !value.is_null()).cloned();
            return Ok(Decision {
                env_list: member("env_list").and_then(|list| serde_json::from_value(list).ok()),
                caps_list: member("caps_list").and_then(|list| serde_json::from_value(list).ok()),
                allow_stdio_access: member("allow_stdio_access").and_then(|flag| flag.as_bool()),
                ..Decision::yes()
            });
        }
        let mut asked = input.clone();
        if let Some(members) = asked.as_object_mut() {
            members.insert("rule".to_owned(), json!(point));
        }
        let reason = self.query("data.policy.reason", &asked)?;
        let errors = reason.get("errors").and_then(Value::as_array);
        let texts = errors.into_iter().flatten().filter_map(Value::as_str);
        let errors: Vec<String> = texts.map(ToOwned::to_owned).collect();
        let findings = errors
            .iter()
            .map(|error| Finding::new(point, error, "refused"));
        Ok(Decision {
            findings: findings.collect(),
            no_reason: reason.is_null(),
            errors,
            ..Decision::default()
        })
    }

    fn query(&self, path: &str, input: &Value) -> Result<Value, SimulateError> {
        let mut engine = self.engine.clone();
        engine.set_execution_timer_config(ExecutionTimerConfig {
            limit: MAX_TIME,
            check_interval: NonZeroU32::new(1024).unwrap_or(NonZeroU32::MIN),
        });
        let data = Value::Object(self.data.clone()).to_string();
        engine.add_data_json(&data).map_err(failed)?;
        engine.set_input_json(&input.to_string()).map_err(failed)?;
        let results = engine.eval_query(path.to_owned(), false).map_err(failed)?;
        let first = results
            .result
            .first()
            .and_then(|one| one.expressions.first());
        let Some(value) = first.map(|expression| &expression.value) else {
            return Ok(Value::Null);
        };
        if *value == regorus::Value::Undefined {
            return Ok(Value::Null);
        }
        serde_json::to_value(value).map_err(failed)
    }

    /// What a yes changes.
    fn change(&mut self, operations: Option<&Value>) {
        let operations = operations.and_then(Value::as_array);
        for operation in operations.into_iter().flatten() {
            let text = |name: &str| {
                operation
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let metadata = self.data.entry("metadata").or_insert_with(|| json!({}));
            let Some(tables) = metadata.as_object_mut() else {
                return;
            };
            let value = operation.get("value").cloned().unwrap_or_default();
            if text("type") == "set" {
                let table = tables.entry(text("name")).or_insert_with(|| json!([]));
                if let Some(items) = table.as_array_mut() {
                    items.retain(|item| *item != value);
                    if text("action") != "remove" {
                        items.push(value);
                    }
                }
                continue;
            }
            let table = tables.entry(text("name")).or_insert_with(|| json!({}));
            if let Some(members) = table.as_object_mut() {
                match text("action") {
                    "remove" => members.remove(text("key")),
                    _ => members.insert(text("key").to_owned(), value),
                };
            }
        }
    }
}

fn allowed(result: &Value) -> bool {
    result.get("allowed") == Some(&Value::Bool(true))
}

/// Frameworks are written in Rego v1 today and were in v0 before; policies and fragments may be in either.
fn add(engine: &mut Engine, name: &str, text: String) -> Result<(), SimulateError> {
    if depth(&text) > MAX_DEPTH {
        return Err(failed(format!("{name}: deeper than {MAX_DEPTH} brackets")));
    }
    let mut read = |v0: bool| {
        engine.set_rego_v0(v0);
        engine.add_policy(name.to_owned(), text.clone())
    };
    match read(false) {
        Ok(_) => Ok(()),
        Err(error) => read(true).map(drop).map_err(|_| failed(error)),
    }
}

/// How deep the brackets of a text are: the evaluator reads each level on its stack.
fn depth(text: &str) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    let mut inside = None;
    let mut escaped = false;
    for c in text.chars() {
        match (inside, c) {
            (Some('"'), _) if escaped => escaped = false,
            (Some('"'), '\\') => escaped = true,
            (Some(end), c) if end == c => inside = None,
            // A string ends with its line at the latest; so nothing after it is left out.
            (Some('"'), '\n') => inside = None,
            (Some(_), _) => {}
            (None, '"' | '`') => inside = Some(c),
            (None, '#') => inside = Some('\n'),
            (None, '[' | '{' | '(') => depth = depth.saturating_add(1),
            (None, ']' | '}' | ')') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
        most = most.max(depth);
    }
    most
}

/// The evaluator wants a value where a rule is only a head with constant arguments.
fn with_bodies(text: &str) -> String {
    let line = |line: &str| {
        let head = line.trim_end();
        let rule = head.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
        if rule && head.ends_with("\")") && !head.contains(' ') {
            format!("{head} := true\n")
        } else {
            format!("{line}\n")
        }
    };
    text.lines().map(line).collect()
}

fn failed(error: impl std::fmt::Display) -> SimulateError {
    SimulateError::Framework {
        reason: format!("{error:#}"),
    }
}
