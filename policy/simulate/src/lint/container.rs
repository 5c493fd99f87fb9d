use std::collections::BTreeMap;

use super::{Found, environment};
use crate::environment::sets;
use crate::{Container, Document, platform};

const SHELLS: [&str; 7] = ["sh", "bash", "ash", "dash", "zsh", "busybox", "python3"];
/// Arguments of our own programs that give trust away.
const RISKY_ARGUMENTS: [(&str, &str); 3] = [
    ("--insecure-virtual", "keeps nothing confidential"),
    (
        "--extra-roots",
        "trusts certificates that are not the web's",
    ),
    (
        "--tcp",
        "serves any process of the group, the application too",
    ),
];

pub(super) fn containers(document: &Document, found: &mut Found) {
    let mut seen: BTreeMap<(&[String], Option<&Vec<String>>), usize> = BTreeMap::new();
    for (index, container) in document.containers.iter().enumerate() {
        let name = container.name.as_deref().or(container.id.as_deref());
        let place = format!("containers[{index}] {:?}", name.unwrap_or_default());
        let same = (container.layers.as_slice(), container.command.as_ref());
        if let Some(other) = seen.insert(same, index) {
            found.note(
                "same-command",
                &place,
                format!(
                    "same layers and command as containers[{other}]: either may run as the other"
                ),
            );
        }
        layers(&place, container, found);
        image(&place, container, found);
        command(&place, container, found);
        environment::environment(&place, &container.env_rules, found);
        mounts(&place, container, found);
        if !platform::is_pause(container) {
            process(&place, container, found);
        }
    }
}

fn layers(place: &str, container: &Container, found: &mut Found) {
    let hash = |layer: &String| {
        layer.len() == 64
            && layer
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    if container.layers.is_empty() || !container.layers.iter().all(hash) {
        found.error(
            "layers",
            format!("{place} .layers"),
            "not a root hash for each layer: no image has it",
        );
    }
}

fn image(place: &str, container: &Container, found: &mut Found) {
    let Some(id) = &container.id else { return };
    let place = format!("{place} .id");
    if !id.contains("@sha256:") {
        found.warning(
            "tag",
            &place,
            format!("{id:?} is no digest: what is deployed may be another image, which then does not start"),
        );
    }
    if id
        .split(['@', ':'])
        .next()
        .is_some_and(|name| name.ends_with("-virtual"))
    {
        found.error("virtual", place, format!("{id:?} makes up its evidence"));
    }
}

fn command(place: &str, container: &Container, found: &mut Found) {
    let Some(command) = &container.command else {
        found.error(
            "no-command",
            format!("{place} .command"),
            "null: it never starts",
        );
        return;
    };
    for (argument, meaning) in RISKY_ARGUMENTS {
        let with_value = format!("{argument}=");
        if command
            .iter()
            .any(|one| one == argument || one.starts_with(&with_value))
        {
            found.error(
                "risky-argument",
                format!("{place} .command"),
                format!("{argument} {meaning}"),
            );
        }
    }
}

fn mounts(place: &str, container: &Container, found: &mut Found) {
    for mount in &container.mounts {
        let place = format!("{place} .mounts {:?}", mount.destination);
        if mount.source.starts_with("plan9://") {
            found.error(
                "host-folder",
                place,
                "a folder of the host, which it can read and change",
            );
        } else if mount.source.contains("/azureFileVolume/") {
            found.warning(
                "file-share",
                place,
                "a share that the platform mounts, in clear",
            );
        } else if !mount.source.starts_with("sandbox:///tmp/atlas/") {
            found.warning("mount", place, format!("from {:?}", mount.source));
        }
    }
}

fn process(place: &str, container: &Container, found: &mut Found) {
    if container.allow_elevated {
        found.warning(
            "elevated",
            format!("{place} .allow_elevated"),
            "may have every device of the utility VM",
        );
    }
    if container.allow_stdio_access {
        found.warning(
            "stdio",
            format!("{place} .allow_stdio_access"),
            "the host reads what it prints",
        );
    }
    // An elevated one has all of them already.
    if container.no_new_privileges != Some(true) && !container.allow_elevated {
        found.warning(
            "new-privileges",
            format!("{place} .no_new_privileges"),
            "programs of other users may give it their rights",
        );
    }
    for exec in &container.exec_processes {
        let program = exec.command.first().map_or("", String::as_str);
        if SHELLS.contains(&program.rsplit('/').next().unwrap_or_default()) {
            found.error(
                "shell",
                format!("{place} .exec_processes"),
                format!("the host may run {program}: a debug policy"),
            );
        }
    }
    capabilities(place, container, found);
    identity(place, container, found);
    let strings = container.signals.iter().filter(|signal| !signal.is_i64());
    for signal in strings {
        found.warning(
            "signal",
            format!("{place} .signals"),
            format!("{signal} is no number: it matches nothing"),
        );
    }
}

fn capabilities(place: &str, container: &Container, found: &mut Found) {
    let place = format!("{place} .capabilities");
    let Some(capabilities) = &container.capabilities else {
        found.error(
            "capabilities",
            place,
            "missing: it has the platform's own set",
        );
        return;
    };
    for name in sets(capabilities).into_iter().flatten() {
        if !name.starts_with("CAP_") || name == "CAP_ALL" {
            found.error("capabilities", &place, format!("{name:?} is no capability"));
        }
    }
    if !capabilities.ambient.is_empty() || !capabilities.inheritable.is_empty() {
        found.warning(
            "inherited-capabilities",
            place,
            "programs that it starts keep capabilities",
        );
    }
}

fn identity(place: &str, container: &Container, found: &mut Found) {
    let place = format!("{place} .user");
    let Some(user) = &container.user else {
        found.warning("user", place, "missing: it may run as anybody");
        return;
    };
    if user.user_idname.strategy == "any" {
        found.warning("user", &place, "it may run as anybody");
    }
    if user
        .group_idnames
        .iter()
        .any(|group| group.strategy == "any")
    {
        found.warning("group", &place, "it may be in any group");
    }
    let by_name = user.group_idnames.iter().chain([&user.user_idname]);
    if by_name
        .filter(|one| matches!(one.strategy.as_str(), "name" | "re2"))
        .count()
        > 0
    {
        found.note(
            "user-by-name",
            place,
            "the image says which number the name has",
        );
    }
}
