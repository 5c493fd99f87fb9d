//! pjdfstest: what system calls must do, one call at a time. `pjdfstest.txt` has the verdict of each test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::room::APPLICATION;
use crate::tools::Bench;

const LIST: &str = include_str!("pjdfstest.txt");

/// Verdicts by test, of one user.
type Verdicts = BTreeMap<&'static str, &'static str>;

fn listed(section: &str) -> Verdicts {
    let (_, rest) = LIST.split_once(&format!("\n[{section}]\n")).unwrap();
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    let pairs = lines.filter_map(|line| line.split_once(' '));
    let verdicts: Verdicts = pairs.collect();
    assert!(verdicts.len() > 5);
    verdicts
}

/// Whether a verdict is a sentence of `docs/mount-semantics.md`, which the test contradicts.
fn is_sentence(verdict: &str) -> bool {
    verdict.contains('-')
}

#[test]
fn pjdfstest_fails_only_what_a_sentence_explains() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mount-semantics.md");
    let page = fs::read_to_string(page).unwrap();
    let bench = Bench::new(&[]);
    for (section, uid) in [("application", APPLICATION), ("root", 0)] {
        let mut list = listed(section);
        let sentences: BTreeSet<_> = list
            .values()
            .filter(|verdict| is_sentence(verdict))
            .collect();
        for sentence in sentences {
            assert!(page.contains(&format!("- **{sentence}** ")), "{sentence}");
        }
        let whole = std::env::var_os("MOUNT_JUDGES_LONG").is_some() && uid == APPLICATION;
        if whole {
            list.values_mut()
                .filter(|verdict| **verdict == "long")
                .for_each(|verdict| *verdict = "ok");
        } else {
            list.retain(|_, verdict| *verdict != "long");
        }
        let found = run(&bench, uid, &list, whole);
        let found: Vec<_> = found
            .iter()
            .map(|(name, verdict)| (name.as_str(), verdict.as_str()))
            .collect();
        let differs = |pair: &&(&str, &str)| list.get(pair.0) != Some(&pair.1);
        let differences: Vec<_> = found.iter().filter(differs).collect();
        assert!(
            differences.is_empty(),
            "as {section}, other than listed: {differences:#?}"
        );
        assert_eq!(found.len(), list.len(), "tests that did not run");
    }
}

/// Runs the listed tests, or all there are.
fn run(bench: &Bench, uid: u32, list: &Verdicts, whole: bool) -> Vec<(String, String)> {
    let failing: Vec<_> = list
        .iter()
        .filter(|(_, verdict)| is_sentence(verdict))
        .map(|(name, _)| name)
        .collect();
    let config = bench.scratch.path().join("pjdfstest.toml");
    let text = format!(
        "[features]\nposix_fallocate = {{}}\nutime_now = {{}}\nutimensat = {{}}\n\
         [settings]\nnaptime = 0.01\nexpected_failures = {failing:?}\n\
         [dummy_auth]\nentries = [[\"nobody\", \"nogroup\"], [\"daemon\", \"daemon\"]]\n"
    );
    fs::write(&config, text).unwrap();
    let names: Vec<_> = list
        .keys()
        .map(|name| format!("pjdfstest::tests::{name}"))
        .collect();
    let paths = [&config, &bench.mount].map(|path| path.to_str().unwrap());
    let other = bench.scratch.path().to_str().unwrap();
    let mut args = vec!["--exact", "-c", paths[0], "-p", paths[1], "-s", other];
    if whole {
        args.remove(0);
    } else {
        args.extend(names.iter().map(String::as_str));
    }
    let output = bench.run(uid, &bench.tool("pjdfstest"), &args, 300);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let verdicts = lines
        .iter()
        .zip(lines.iter().skip(1))
        .filter_map(|(line, next)| {
            let (name, verdict) = line.split_once(char::is_whitespace)?;
            let verdict = match verdict.trim() {
                "ok" => "ok",
                "failed as expected" => list.get(name)?,
                "skipped" => match next.trim() {
                    reason if reason.contains("root privileges") || reason.contains("CAP_") => {
                        "root"
                    }
                    reason if reason.contains("LINK_MAX") => "limit",
                    reason => reason.strip_prefix("requires features: ").unwrap_or(reason),
                },
                "FAILED" => next.trim(),
                "PASSED UNEXPECTEDLY" => "passed",
                _ => return None,
            };
            Some((name.to_owned(), verdict.to_owned()))
        });
    let verdicts: Vec<_> = verdicts.collect();
    assert!(
        !verdicts.is_empty(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    verdicts
}
