//! Variables and capabilities: what goes beyond the rules is taken away where the policy allows that, and what remains must be
//! the same for every container that the request may still be.

use std::collections::BTreeSet;

use crate::Capabilities;
use crate::candidate::EnvMatcher;

/// The variables that some rule matches, in order.
pub(crate) fn kept<'v>(rules: &[EnvMatcher], variables: &'v [String]) -> Vec<&'v String> {
    let known = |variable: &&String| rules.iter().any(|rule| rule.matches(variable));
    variables.iter().filter(known).collect()
}

/// The rules of required variables that none of these matches.
pub(crate) fn missing<'r>(rules: &'r [EnvMatcher], variables: &[String]) -> Vec<&'r EnvMatcher> {
    let required = rules.iter().filter(|rule| rule.rule.required);
    required
        .filter(|rule| !variables.iter().any(|variable| rule.matches(variable)))
        .collect()
}

/// The environment of a process that may be any of these; `None` where dropping is ambiguous. Sorted where variables were
/// dropped, as the platform returns them.
pub(crate) fn environment(
    candidates: &[&[EnvMatcher]],
    variables: &[String],
    dropping: bool,
) -> Option<Vec<String>> {
    if !dropping {
        return Some(variables.to_vec());
    }
    let sets = candidates.iter().map(|rules| {
        let kept: BTreeSet<&String> = kept(rules, variables).into_iter().collect();
        (kept.len(), kept)
    });
    let largest = only_largest(sets)?;
    Some(largest.into_iter().cloned().collect())
}

/// Whether rules cover an environment, and it has all that they require.
pub(crate) fn fits(rules: &[EnvMatcher], variables: &[String]) -> bool {
    kept(rules, variables).len() == variables.len() && missing(rules, variables).is_empty()
}

/// The capabilities of a process that may be any of these; `None` where dropping is ambiguous.
pub(crate) fn capabilities(
    candidates: &[Capabilities],
    asked: &Capabilities,
    dropping: bool,
) -> Option<Capabilities> {
    if !dropping {
        return Some(asked.clone());
    }
    let sets = candidates.iter().map(|allowed| {
        let mut kept = asked.clone();
        for (kept, allowed) in sets_mut(&mut kept).into_iter().zip(sets(allowed)) {
            let both: BTreeSet<String> = kept
                .iter()
                .filter(|name| allowed.contains(name))
                .cloned()
                .collect();
            *kept = both.into_iter().collect();
        }
        (total(&kept), kept)
    });
    only_largest(sets)
}

/// Whether two are the same sets; asking for fewer is another request, too.
pub(crate) fn equal(one: &Capabilities, other: &Capabilities) -> bool {
    sets(one).into_iter().zip(sets(other)).all(|(one, other)| {
        one.len() == other.len()
            && one.iter().collect::<BTreeSet<_>>() == other.iter().collect::<BTreeSet<_>>()
    })
}

/// The five sets, in the order of their names.
pub(crate) const fn sets(capabilities: &Capabilities) -> [&Vec<String>; 5] {
    [
        &capabilities.ambient,
        &capabilities.bounding,
        &capabilities.effective,
        &capabilities.inheritable,
        &capabilities.permitted,
    ]
}

const fn sets_mut(capabilities: &mut Capabilities) -> [&mut Vec<String>; 5] {
    [
        &mut capabilities.ambient,
        &mut capabilities.bounding,
        &mut capabilities.effective,
        &mut capabilities.inheritable,
        &mut capabilities.permitted,
    ]
}

fn total(capabilities: &Capabilities) -> usize {
    sets(capabilities).iter().map(|set| set.len()).sum()
}

/// The largest, if all that are as large are equal to it.
fn only_largest<T: PartialEq>(sized: impl Iterator<Item = (usize, T)>) -> Option<T> {
    let mut largest: Option<(usize, T)> = None;
    let mut unique = true;
    for (size, item) in sized {
        match &largest {
            Some((most, _)) if size < *most => {}
            Some((most, best)) if size == *most => unique = unique && *best == item,
            _ => {
                largest = Some((size, item));
                unique = true;
            }
        }
    }
    largest.filter(|_| unique).map(|(_, item)| item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_largest_that_differ_are_ambiguous() {
        let only = |items: &[(usize, u8)]| only_largest(items.iter().copied());
        assert_eq!(only(&[(1, 9), (2, 7), (2, 7)]), Some(7));
        assert_eq!(only(&[(2, 7), (2, 8)]), None);
        assert_eq!(only(&[(2, 7), (2, 8), (3, 1)]), Some(1));
        assert_eq!(only(&[]), None);
    }
}
