//! Further rules, signed by somebody whom the policy names. Who signed them is the caller's to verify; here the issuer is given.

use crate::document::Import;
use crate::input::LoadFragment;
use crate::simulator::{NEWEST_FRAMEWORK, candidates, known_framework, refused};
use crate::{Decision, Document, Finding, SimulateError, Simulator, Version};

/// Packages that are the platform's own.
const RESERVED: [&str; 4] = ["framework", "api", "policy", "metadata"];

impl Simulator {
    pub(crate) fn load_fragment(
        &mut self,
        input: &LoadFragment,
        text: Option<&str>,
    ) -> Result<Decision, SimulateError> {
        let issuers = self.imports.iter();
        let of_issuer: Vec<_> = issuers.filter(|one| one.issuer == input.issuer).collect();
        if of_issuer.is_empty() {
            let known: Vec<_> = self.imports.iter().map(|one| &one.issuer).collect();
            return Ok(Decision::no(
                "invalid fragment issuer",
                Finding::json("fragments[*].issuer", known, &input.issuer),
            ));
        }
        let rules: Vec<Import> = of_issuer
            .iter()
            .filter(|one| one.feed == input.feed)
            .map(|one| (*one).clone())
            .collect();
        if rules.is_empty() {
            let known: Vec<_> = of_issuer.iter().map(|one| &one.feed).collect();
            return Ok(Decision::no(
                "invalid fragment feed",
                Finding::json("fragments[*].feed", known, &input.feed),
            ));
        }
        let text = text.ok_or_else(|| SimulateError::Input {
            point: "load_fragment".to_owned(),
            reason: "missing field `fragment`: the text to load".to_owned(),
        })?;
        let fragment = Document::parse(text)?;
        if RESERVED.contains(&fragment.package.as_str()) {
            return Ok(Decision {
                policy_error: Some(format!(
                    "unable to load fragment: namespace {:?} is reserved and cannot be used for fragments",
                    fragment.package
                )),
                findings: vec![Finding::new(
                    "package",
                    "a name of its own",
                    &fragment.package,
                )],
                ..Decision::default()
            });
        }
        let svn = fragment.svn.as_deref().unwrap_or_default();
        let enough: Vec<Import> = rules
            .iter()
            .filter(|rule| at_least(svn, &rule.minimum_svn))
            .cloned()
            .collect();
        if enough.is_empty() {
            let minima: Vec<_> = rules.iter().map(|rule| &rule.minimum_svn).collect();
            return Ok(Decision::no(
                "fragment svn is below the specified minimum",
                Finding::json("fragments[*].minimum_svn", minima, svn),
            ));
        }
        if known_framework(&fragment).is_none() {
            let version = fragment.framework_version;
            return Ok(refused(Finding::new(
                "framework_version",
                format!("one up to {NEWEST_FRAMEWORK} in the fragment"),
                version.map_or_else(|| "none".to_owned(), |version| version.to_string()),
            )));
        }
        self.include(&fragment, &enough);
        Ok(Decision::yes())
    }

    fn include(&mut self, fragment: &Document, rules: &[Import]) {
        let includes = |what: &str| {
            let mut included = rules.iter().flat_map(|rule| &rule.includes);
            included.any(|one| one == what)
        };
        if includes("containers") {
            self.candidates
                .extend(candidates(fragment, &fragment.package));
        }
        if includes("fragments") {
            self.imports.extend(fragment.fragments.clone());
        }
        if includes("external_processes") && known_framework(&self.document).is_some() {
            self.external.extend(fragment.external_processes.clone());
        }
    }
}

/// Both digits, or both versions of three parts: one kind is not comparable with the other.
fn at_least(svn: &str, minimum: &str) -> bool {
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    match (number(svn), number(minimum)) {
        (Some(svn), Some(minimum)) => svn >= minimum,
        (None, None) => match (Version::parse(svn), Version::parse(minimum)) {
            (Some(svn), Some(minimum)) => svn >= minimum,
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_one_kind_compare_and_of_two_kinds_never() {
        assert!(at_least("10", "9") && at_least("4", "4") && at_least("1.2.0", "1.1.9"));
        for (svn, minimum) in [
            ("1", "2"),
            ("1.2.0", "1"),
            ("", "0"),
            ("+1", "0"),
            ("1.0.0", "1.0.1"),
        ] {
            assert!(!at_least(svn, minimum), "{svn} {minimum}");
        }
    }
}
