//! The daemon's view of a group.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use e2e::Stage;
use serde_json::Value;

pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker")
        .args(arguments)
        .output()
        .expect("docker");
    assert!(
        output.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Between two questions to the daemon, each bounded by the caller's deadline.
#[expect(
    clippy::disallowed_methods,
    reason = "the deployment's document and another party's log have no notification"
)]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(100));
}

/// The Docker project of a group, from the document that the deployment wrote.
pub(crate) fn project(stage: &Stage, group: &str) -> Option<String> {
    let context = stage.work().join("operator").join(group);
    let text = std::fs::read_to_string(context.join("docker-compose.yml")).ok()?;
    let document: Value = serde_json::from_str(&text).ok()?;
    let target = document["services"]["governance"]["environment"]["UVM_SECURITY_CONTEXT_DIR"]
        .as_str()?
        .to_owned();
    Some(format!("cleanroom-{}", target.rsplit('-').next()?))
}

/// Every container of a project, or those of one service.
pub(crate) fn containers(project: &str, service: Option<&str>) -> Vec<String> {
    let project = format!("label=com.docker.compose.project={project}");
    let mut arguments = vec!["ps", "--all", "--quiet", "--filter", &project];
    let service = service.map(|name| format!("label=com.docker.compose.service={name}"));
    if let Some(service) = &service {
        arguments.extend(["--filter", service]);
    }
    docker(&arguments).lines().map(str::to_owned).collect()
}

/// The running containers of a project by service.
pub(crate) fn running(project: &str) -> BTreeMap<String, String> {
    let project = format!("label=com.docker.compose.project={project}");
    let format = "{{.Label \"com.docker.compose.service\"}} {{.ID}}";
    let listed = docker(&["ps", "--filter", &project, "--format", format]);
    let lines = listed.lines().filter_map(|line| line.split_once(' '));
    lines
        .map(|(name, id)| (name.to_owned(), id.to_owned()))
        .collect()
}

/// Nothing of a group is left on this machine: no container, no mount.
pub(crate) fn nothing_left(stage: &Stage, group: &str) {
    let name = project(stage, group).unwrap();
    assert_eq!(containers(&name, None), Vec::<String>::new());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let volumes = stage.work().join("operator").join(group).join("volumes");
    let volumes = volumes.display().to_string();
    assert!(!mounts.contains(&volumes), "{mounts}");
}
