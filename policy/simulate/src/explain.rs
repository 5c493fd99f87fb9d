//! A policy in plain words.

use std::fmt;

use crate::environment::sets;
use crate::{Answer, Container, Document, EnvRule, Identity, Plain};

/// Shows a policy line by line.
#[derive(Clone, Copy, Debug)]
pub struct Explained<'d>(pub &'d Document);

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let document = self.0;
        writeln!(f, "host data {}", document.sha256)?;
        for comment in &document.comments {
            writeln!(f, "comment   {}", Plain(comment))?;
        }
        let version = |version: Option<crate::Version>| {
            version.map_or_else(|| "none".to_owned(), |version| version.to_string())
        };
        writeln!(
            f,
            "versions  API {}, framework {}",
            version(document.api_version),
            version(document.framework_version)
        )?;
        for (index, container) in document.containers.iter().enumerate() {
            write!(f, "\ncontainer {index}: ")?;
            show(container, f)?;
        }
        for import in &document.fragments {
            writeln!(
                f,
                "\nfragment  {} from version {}: adds {}\n  signed by {}",
                Plain(&import.feed),
                Plain(&import.minimum_svn),
                Plain(import.includes.join(", ")),
                Plain(&import.issuer)
            )?;
        }
        for process in &document.external_processes {
            writeln!(
                f,
                "\nprocess of the utility VM itself, outside every container"
            )?;
            writeln!(f, "  runs     {}", Plain(quoted(&process.command)))?;
            writeln!(f, "  in       {}", Plain(&process.working_dir))?;
            if process.allow_stdio_access {
                writeln!(f, "  may      be read by the host")?;
            }
            variables(&process.env_rules, f)?;
        }
        writeln!(f)?;
        for (flag, allowed) in &document.flags {
            writeln!(f, "{flag} {allowed}")?;
        }
        for (point, answer) in &document.points {
            if let Answer::Constant(value) = answer {
                writeln!(f, "{point} always {}", Plain(value))?;
            }
        }
        for point in document.always_allowed() {
            writeln!(f, "{point} always allowed: newer than the policy's API")?;
        }
        Ok(())
    }
}

fn show(container: &Container, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = container.name.as_deref().unwrap_or("unnamed");
    writeln!(f, "{}", Plain(name))?;
    if let Some(id) = &container.id {
        writeln!(f, "  image    {}", Plain(id))?;
    }
    for (index, layer) in container.layers.iter().enumerate() {
        let what = if index == 0 { "layers" } else { "" };
        writeln!(f, "  {what:<8} {}", Plain(layer))?;
    }
    match &container.command {
        Some(command) => writeln!(f, "  runs     {}", Plain(quoted(command)))?,
        None => writeln!(f, "  runs     nothing")?,
    }
    writeln!(f, "  in       {}", Plain(&container.working_dir))?;
    match &container.user {
        Some(user) => {
            let groups: Vec<_> = user.group_idnames.iter().map(who).collect();
            writeln!(
                f,
                "  as       user {}, group {}, umask {}",
                Plain(who(&user.user_idname)),
                Plain(groups.join(" or ")),
                Plain(&user.umask)
            )?;
        }
        None => writeln!(f, "  as       anybody")?,
    }
    let mut may: Vec<&str> = Vec::new();
    if container.allow_elevated {
        may.push("be privileged");
    }
    if container.allow_stdio_access {
        may.push("be read by the host");
    }
    if container.no_new_privileges != Some(true) {
        may.push("gain privileges");
    }
    if !may.is_empty() {
        writeln!(f, "  may      {}", may.join(", "))?;
    }
    if let Some(capabilities) = &container.capabilities {
        let names = [
            "ambient",
            "bounding",
            "effective",
            "inheritable",
            "permitted",
        ];
        for (name, set) in names.into_iter().zip(sets(capabilities)) {
            if !set.is_empty() {
                writeln!(f, "  {name:<11} {}", Plain(set.join(" ")))?;
            }
        }
    }
    variables(&container.env_rules, f)?;
    for mount in &container.mounts {
        writeln!(
            f,
            "  mount    {} from {} [{}]",
            Plain(&mount.destination),
            Plain(&mount.source),
            Plain(mount.options.join(","))
        )?;
    }
    for exec in &container.exec_processes {
        writeln!(f, "  exec     {}", Plain(quoted(&exec.command)))?;
    }
    Ok(())
}

fn variables(rules: &[EnvRule], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for rule in rules {
        let how = match (rule.strategy.as_str(), rule.required) {
            ("string", true) => "exactly",
            ("string", false) => "exactly, or not at all",
            (_, true) => "matching",
            (_, false) => "matching, or not at all",
        };
        writeln!(f, "  variable {} ({how})", Plain(&rule.pattern))?;
    }
    Ok(())
}

fn who(identity: &Identity) -> String {
    let pattern = word(&identity.pattern);
    match identity.strategy.as_str() {
        "any" => "any".to_owned(),
        "id" => pattern,
        "name" => format!("named {pattern}"),
        "re2" => format!("with a name that matches {pattern}"),
        other => format!("{} {pattern}, which nobody is", word(other)),
    }
}

fn quoted(command: &[String]) -> String {
    let words: Vec<String> = command.iter().map(|text| word(text)).collect();
    words.join(" ")
}

/// A word as a shell would need it, so that none can pass for two, and none can write over the screen.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    if !text.chars().any(char::is_control) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let letter = |c: char| match c {
        '\'' | '\\' => format!("\\{c}"),
        '\n' => r"\n".to_owned(),
        '\t' => r"\t".to_owned(),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("$'{}'", text.chars().map(letter).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_as_a_shell_takes_them() {
        for (text, shown) in [
            ("/bin/app", "/bin/app"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's \"é\"", r#"'it'\''s "é"'"#),
            ("a\nb'\u{1b}", r"$'a\nb\'\u001b'"),
        ] {
            assert_eq!(word(text), shown);
        }
    }

    #[test]
    fn a_user_is_told_in_words() {
        let identity = |strategy: &str, pattern: &str| {
            let identity = Identity {
                pattern: pattern.to_owned(),
                strategy: strategy.to_owned(),
            };
            who(&identity)
        };
        assert_eq!(identity("any", ""), "any");
        assert_eq!(identity("id", "10029"), "10029");
        assert_eq!(identity("name", "root"), "named root");
        assert_eq!(identity("re2", "^a+$"), "with a name that matches '^a+$'");
        assert_eq!(identity("other", "x"), "other x, which nobody is");
    }
}
