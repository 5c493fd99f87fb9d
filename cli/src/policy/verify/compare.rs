use std::collections::BTreeSet;

use policy::emit::TemplateOptions;
use policy::{ContainerGroup, HostData};
use policy_simulate::lint::{Severity, lint};
use policy_simulate::{Document, changes};
use serde_json::{Value, json};

use super::form::{Form, Made, MakeText};
use super::proposed::{Offer, Proposed};
use super::report::Report;
use crate::CliError;

/// The most differences of one template that are listed; one is enough to refuse.
const MAX_SHOWN: usize = 20;

/// The group that the contract makes.
pub(super) struct Recomputed<'a> {
    pub(super) group: ContainerGroup,
    /// Its CCE policy.
    pub(super) text: MakeText<'a>,
    /// What its template says besides.
    pub(super) options: TemplateOptions,
    /// Flags of the policy's form that nobody has who starts a container group.
    pub(super) beyond_deploy: Vec<&'static str>,
}

impl Recomputed<'_> {
    /// Compares everything that was proposed. A policy must have the host data of every template that was.
    pub(super) fn compare(&self, proposed: &Proposed, report: &mut Report) -> Result<(), CliError> {
        let forms: BTreeSet<&'static str> = proposed
            .templates
            .iter()
            .map(|offer| Form::of(&offer.value).name())
            .collect();
        let mut form = Form::Group;
        for offer in &proposed.templates {
            form = Form::of(&offer.value);
            self.template(offer, form, report)?;
        }
        if forms.len() > 1 {
            let forms: Vec<_> = forms.into_iter().collect();
            report.fail("templates", "form", "one form", forms.join(" and "));
        }
        let made = form.made(&self.group, self.text, &self.options)?;
        let host_data = HostData::of(made.measured.as_bytes())
            .refuse_allow_all()?
            .to_string();
        report.fact("host data", &host_data);
        for offer in &proposed.claims {
            claims(offer, &host_data, report);
        }
        for offer in &proposed.besides {
            report.fail(&offer.subject, "another action", "none", &offer.value);
        }
        for (what, offers) in [
            ("template", &proposed.templates),
            ("policy", &proposed.claims),
        ] {
            if offers.is_empty() {
                report.fail(what, "is there", "an accepted or a proposed one", "none");
            }
        }
        Ok(())
    }

    fn template(&self, offer: &Offer, form: Form, report: &mut Report) -> Result<(), CliError> {
        if form == Form::Group && !self.beyond_deploy.is_empty() {
            report.fail(
                &offer.subject,
                "form of the policy",
                "no flag: `cleanroom deploy` makes it without any",
                self.beyond_deploy.join(" "),
            );
        }
        let made = form.made(&self.group, self.text, &self.options)?;
        match &made.template {
            Ok(template) => same_template(offer, template, report),
            Err(reason) => report.fail(&offer.subject, "template", reason, form.name()),
        }
        match form.measured(&offer.value, self.text) {
            Ok(measured) => same_text(&offer.subject, &made, &measured, report),
            Err(reason) => report.fail(&offer.subject, "measured bytes", "readable", reason),
        }
        // A virtual room is refused by the lint for what it is.
        if !self.group.insecure_virtual {
            look(&offer.subject, &made.measured, report)?;
        }
        Ok(())
    }
}

fn same_template(offer: &Offer, template: &Value, report: &mut Report) {
    let found = changes(template, &offer.value);
    if found.is_empty() {
        report.ok(&offer.subject, "every member is as recomputed");
        return;
    }
    let text = |value: &Option<Value>| {
        value
            .as_ref()
            .map_or_else(|| "nothing".to_owned(), Value::to_string)
    };
    for change in found.iter().take(MAX_SHOWN) {
        report.fail(
            &offer.subject,
            &change.place,
            text(&change.before),
            text(&change.after),
        );
    }
    if let Some(more) = found.len().checked_sub(MAX_SHOWN).filter(|more| *more > 0) {
        report.fail(&offer.subject, "more differences", 0, more);
    }
}

/// The bytes that are measured, named by the first line that differs and by what it means.
fn same_text(subject: &str, made: &Made, measured: &str, report: &mut Report) {
    let host_data = |text: &str| HostData::of(text.as_bytes()).to_string();
    let (expected, actual) = (host_data(&made.measured), host_data(measured));
    report.equal(subject, "host data of the template", &expected, &actual);
    if made.measured == measured {
        return;
    }
    let (column, line, ours, theirs) = first_difference(&made.measured, measured);
    report.fail(
        subject,
        format!("line {line}, column {column} of the policy"),
        ours,
        theirs,
    );
    let documents = (Document::policy(&made.measured), Document::policy(measured));
    if let (Ok(ours), Ok(theirs)) = documents {
        for change in ours.changes(&theirs).iter().take(MAX_SHOWN) {
            let (before, after) = (json!(change.before), json!(change.after));
            report.fail(subject, format!("policy {}", change.place), before, after);
        }
    }
}

/// Column and line from 1, and the texts from there to the end of the line, cut.
fn first_difference(ours: &str, theirs: &str) -> (usize, usize, String, String) {
    let same = ours.bytes().zip(theirs.bytes()).take_while(|(a, b)| a == b);
    let at = same.count();
    let before = ours.as_bytes().get(..at).unwrap_or_default();
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |index| index.saturating_add(1));
    let lines = before.iter().filter(|byte| **byte == b'\n').count();
    let rest = |text: &str| {
        let rest = text.as_bytes().get(at..).unwrap_or_default();
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len())
            .min(60);
        match rest.get(..end) {
            Some([]) | None => "the end".to_owned(),
            Some(rest) => String::from_utf8_lossy(rest).into_owned(),
        }
    };
    let column = at.saturating_sub(line_start).saturating_add(1);
    (column, lines.saturating_add(1), rest(ours), rest(theirs))
}

/// A policy that a voter would refuse for what it says, even though the contract makes it.
fn look(subject: &str, text: &str, report: &mut Report) -> Result<(), CliError> {
    let found = lint(&Document::policy(text)?);
    let errors: Vec<_> = found
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .collect();
    for one in &errors {
        report.fail(subject, &one.place, "nothing to refuse", &one.message);
    }
    for one in found.iter().filter(|one| one.severity == Severity::Warning) {
        report.fact("look at", one);
    }
    if errors.is_empty() {
        report.ok(subject, "the policy has nothing that a lint refuses");
    }
    Ok(())
}

/// The claims: this host data and no other, never debuggable, nothing else.
fn claims(offer: &Offer, host_data: &str, report: &mut Report) {
    let subject = &offer.subject;
    let expected = json!({
        "x-ms-sevsnpvm-hostdata": [host_data],
        "x-ms-sevsnpvm-is-debuggable": ["false"],
    });
    // CGS lists the values of a claim as texts; a proposal may have a single one.
    let words = |value: &Value| match value {
        Value::String(text) => json!(text),
        Value::Array(_) | Value::Object(_) => value.clone(),
        other => json!(other.to_string()),
    };
    let listed = offer.value.as_object().map(|members| {
        let listed = members.iter().map(|(name, value)| {
            let values = match value {
                Value::Array(values) => values.iter().map(words).collect(),
                one => vec![words(one)],
            };
            (name.clone(), Value::from(values))
        });
        Value::Object(listed.collect())
    });
    let found = changes(&expected, &listed.unwrap_or_default());
    for change in &found {
        let text = |value: &Option<Value>| {
            value
                .as_ref()
                .map_or_else(|| "nothing".to_owned(), Value::to_string)
        };
        report.fail(
            subject,
            format!("claim {}", change.place),
            text(&change.before),
            text(&change.after),
        );
    }
    if found.is_empty() {
        report.ok(
            subject,
            "its claims are the recomputed host data, never debuggable",
        );
    }
}
