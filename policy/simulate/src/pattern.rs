use std::cell::RefCell;
use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

/// The most memory that one pattern may compile to, bytes.
const MAX_COMPILED: usize = 1 << 20;
/// The most memory that matching with it may take beside that, bytes.
const MAX_CACHED: usize = 256 << 10;
/// Patterns that are kept compiled: containers have most of theirs in common. Nothing else keeps one, so that a policy of a
/// hundred thousand patterns takes no more memory.
const MAX_KEPT: usize = 256;

thread_local! {
    static KEPT: RefCell<HashMap<String, Option<Regex>>> = RefCell::default();
}

/// A pattern as the framework reads it: the anchors are added where they are missing, as text. So `a|b` becomes `^a|b$`, which
/// matches more than either word. `None` for a pattern that cannot be compiled: it matches nothing.
pub(crate) fn anchored(pattern: &str) -> Option<Regex> {
    with(pattern, |regex| regex.cloned())
}

fn with<T>(pattern: &str, use_it: impl FnOnce(Option<&Regex>) -> T) -> T {
    KEPT.with_borrow_mut(|kept| {
        if let Some(known) = kept.get(pattern) {
            return use_it(known.as_ref());
        }
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        let regex = kept
            .entry(pattern.to_owned())
            .or_insert_with(|| compile(pattern));
        use_it(regex.as_ref())
    })
}

fn compile(pattern: &str) -> Option<Regex> {
    let start = if pattern.starts_with('^') { "" } else { "^" };
    let end = if pattern.ends_with('$') { "" } else { "$" };
    RegexBuilder::new(&format!("{start}{pattern}{end}"))
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_CACHED)
        .build()
        .ok()
}

/// Whether a pattern matches a whole text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    with(pattern, |regex| {
        regex.is_some_and(|regex| regex.is_match(text))
    })
}

/// Whether a pattern has a choice outside every bracket, which the added anchors do not reach into.
pub(crate) fn open_choice(pattern: &str) -> bool {
    let (mut depth, mut class, mut escaped) = (0_usize, false, false);
    for c in pattern.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ']' => class = false,
            _ if class => {}
            '[' => class = true,
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

/// Whether a pattern's last `$` is an escaped one: as text it passes for an anchor.
pub(crate) fn open_end(pattern: &str) -> bool {
    let before = pattern.strip_suffix('$').unwrap_or_default();
    let unescaped = before.trim_end_matches('\\');
    before.len().saturating_sub(unescaped.len()) % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_added_as_text() {
        assert!(matches("A=.+", "A=1") && !matches("A=.+", "BA=1"));
        assert!(matches("A=1|B=2", "A=1234"));
        assert!(open_choice("A=1|B=2") && !open_choice("A=(1|2)[|]\\|"));
        assert!(matches("A=1\\$", "A=1$234") && open_end("A=1\\$"));
        assert!(!open_end("A=1\\\\$") && !open_end("A=1$") && !open_end("A=1"));
        assert!(!matches("(", "("));
        assert!(!matches("a{1000}{1000}{1000}", "a"));
    }

    #[test]
    fn few_patterns_are_kept_and_forgotten_ones_match_again() {
        for number in 0..3 * MAX_KEPT {
            assert!(matches(&format!("A{number}=.+"), &format!("A{number}=1")));
            assert!(KEPT.with_borrow(HashMap::len) <= MAX_KEPT);
        }
        assert!(matches("A0=.+", "A0=1") && !matches("A0=.+", "A1=1"));
    }
}
