//! No container starts that the policy of the deployment would not create: what Docker has made is asked, not what the
//! group says.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use e2e::{Deployed, Stage};
use serde_json::Value;

use crate::containers::nothing_left;
use crate::room::Room;

/// Containers of a room, init included.
const ROOM: usize = 11;

/// A `docker-compose` that changes the deployment's document before it reads it for the first time.
fn meddling(stage: &Stage, name: &str, change: &str) -> PathBuf {
    let tools = stage.work().join(name);
    std::fs::create_dir(&tools).unwrap();
    std::fs::write(tools.join("change.jq"), change).unwrap();
    let compose = tools.join("docker-compose");
    // The document comes after the project's name.
    let text = "#!/usr/bin/env bash\nset -euo pipefail\nhere=$(dirname \"$0\")\nexport PATH=${PATH//$here:/}\n\
        if [[ ! -e $4.old ]]; then cp \"$4\" \"$4.old\"; jq --from-file \"$here/change.jq\" \"$4.old\" >\"$4\"; fi\n\
        exec docker-compose \"$@\"\n";
    std::fs::write(&compose, text).unwrap();
    std::fs::set_permissions(&compose, std::fs::Permissions::from_mode(0o755)).unwrap();
    tools
}

/// Deploys with that change.
fn changed(stage: &Stage, name: &str, change: &str) -> Deployed {
    let tools = meddling(stage, &format!("tools-{name}"), change);
    // Whichever way the directory is named.
    let named = format!("../operator/{name}");
    let deployed = stage.finish(name, stage.start_with_tools(&named, &tools));
    nothing_left(stage, name);
    deployed
}

/// The directories that init makes first thing.
fn made_by_init(deployed: &Deployed) -> usize {
    let sockets = std::fs::read_dir(deployed.group.join("volumes/sockets"));
    sockets.unwrap().count()
}

/// A changed document is refused for what Docker made of it, and not one container of the room runs, init least of all.
pub(crate) fn changes_are_refused(stage: &Stage) {
    let changes = [
        (
            "command",
            r#".services.governance.command += ["--tcp", "127.0.0.1:8300"]"#,
            "governance",
            "invalid command",
        ),
        (
            "variable",
            r#".services["fabrikam-input-blobfuse"].environment.AZURE_STORAGE_BLOB_ENDPOINT = "https://elsewhere.example/""#,
            "fabrikam-input-blobfuse",
            "missing required environment variable",
        ),
    ];
    for (name, change, container, reason) in changes {
        let refused = changed(stage, name, change);
        assert_eq!(refused.code, Some(1), "{name}: {}", refused.stderr);
        let said = format!("container {container} is not started");
        for expected in ["CR-CLI-0112", &said, reason] {
            assert!(
                refused.stderr.contains(expected),
                "{name}: {}",
                refused.stderr
            );
        }
        assert!(refused.group.join("policy-requests.json").exists());
        assert_eq!(made_by_init(&refused), 0, "{name}");
    }
    // The tool that changes nothing: what was refused was the change.
    let twin = changed(stage, "unchanged", ".");
    assert_eq!(twin.code, Some(0), "{}{}", twin.stderr, twin.logs());
    assert!(made_by_init(&twin) > 0);
}

/// Asked to stop while containers are made and asked about, a room ends in order and leaves nothing.
pub(crate) fn a_stop_in_the_middle_leaves_nothing(stage: &Stage) {
    let room = Room::start(stage, "stopped");
    room.terminate();
    let deployed = room.end();
    assert!(
        deployed.code.is_some_and(|code| code != 0),
        "{:?} {}",
        deployed.code,
        deployed.stderr
    );
}

/// The record is what `policy simulate` reads, beside the very policy that was measured.
pub(crate) fn what_was_asked_can_be_asked_again(stage: &Stage, deployed: &Deployed) {
    // With the one that holds the network.
    assert_eq!(deployed.outcome["creates_allowed"], ROOM + 1);
    let group = &deployed.group;
    let requests = group.join("policy-requests.json");
    let policy = group.join("context/security-policy-base64");
    let (requests, policy) = (requests.display().to_string(), policy.display().to_string());
    let told = stage.run(
        "contosso",
        &[
            "cleanroom",
            "policy",
            "simulate",
            &policy,
            "--requests",
            &requests,
            "--json",
        ],
    );
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["allowed"], true);
    let answers = told["answers"].as_array().unwrap();
    let creates = answers
        .iter()
        .filter(|one| one["point"] == "create_container");
    assert_eq!(creates.count(), ROOM + 1);
}
