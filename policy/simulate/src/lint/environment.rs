use super::Found;
use crate::EnvRule;
use crate::pattern::{anchored, open_choice, open_end};

/// Variables that the platform sets to a value of its own choice, and why it cannot be known before.
const PLATFORM: [(&str, &str); 9] = [
    (
        "(?i)(FABRIC)_.+",
        "addresses and names of the cluster's node",
    ),
    ("HOSTNAME", "the platform names the group's machine"),
    ("T(E)?MP", "the node's folder for temporary files"),
    ("FabricPackageFileName", "a file on the cluster's node"),
    ("HostedServiceName", "the service that the node belongs to"),
    (
        "IDENTITY_API_VERSION",
        "version of the node's token service",
    ),
    (
        "IDENTITY_HEADER",
        "a secret of the node's token service, new at each start",
    ),
    (
        "IDENTITY_SERVER_THUMBPRINT",
        "certificate of the node's token service",
    ),
    (
        "azurecontainerinstance_restarted_by",
        "who asked for a restart",
    ),
];

pub(super) fn environment(place: &str, rules: &[EnvRule], found: &mut Found) {
    for rule in rules {
        let place = format!("{place} .env_rules {:?}", rule.pattern);
        if rule.strategy == "string" && !has_plain_name(&rule.pattern) {
            found.warning(
                "odd-name",
                &place,
                "the name of a variable is letters, digits and '_'; programs and shells read others each in their own way",
            );
        }
        match rule.strategy.as_str() {
            "string" if !rule.required => found.note(
                "optional-variable",
                place,
                "the host may leave it out, and set it to no other value",
            ),
            "string" => {}
            "re2" => pattern(&place, rule, found),
            other => found.error("strategy", place, format!("{other:?} matches nothing")),
        }
    }
}

/// Whether it is `NAME=` and a value, with a name that nobody reads in two ways.
fn has_plain_name(text: &str) -> bool {
    let name = text.split_once('=').map(|(name, _)| name);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.is_some_and(|name| !name.is_empty() && name.chars().all(plain))
}

fn pattern(place: &str, rule: &EnvRule, found: &mut Found) {
    let Some(regex) = anchored(&rule.pattern) else {
        found.error("bad-pattern", place, "no pattern: it matches nothing");
        return;
    };
    if open_choice(&rule.pattern) {
        found.error(
            "open-choice",
            place,
            "a choice outside every bracket matches more than either side: write (a|b)",
        );
    }
    if open_end(&rule.pattern) {
        found.error(
            "open-end",
            place,
            "its last \\$ is a sign of the value, and no anchor is added: anything may follow",
        );
    }
    let text = rule.pattern.strip_prefix('^').unwrap_or(&rule.pattern);
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if let Some((_, reason)) = PLATFORM.iter().find(|(known, _)| *known == name) {
        found.warning(
            "platform-variable",
            place,
            format!("open, since the platform sets it: {reason}"),
        );
        return;
    }
    // A sign of repetition makes the `=` itself optional: `LD_PRE=?.*` takes LD_PRELOAD.
    if !has_plain_name(text) || value.starts_with(['?', '*', '{']) {
        found.error(
            "open-name",
            place,
            "the host may choose which variable it sets, such as one that loads code",
        );
        return;
    }
    // Whoever takes any of these takes about anything.
    let probes = ["a", "/../x", "http://host.example:1/?a=b", " \"';$(x)"];
    let takes = probes.map(|probe| regex.is_match(&format!("{name}={probe}")));
    if takes == [true; 4] {
        found.error("open-variable", place, "the host may set it to anything");
    } else {
        found.note("pattern", place, "the host chooses a value that matches");
    }
}
