//! A deployment that is still running.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use e2e::{Deployed, Stage};
use nix::sys::signal::{Signal, kill};

use crate::containers::{containers, docker, nothing_left, pause, project, running};

/// Of one run, whatever was killed: the launcher's own deadline for a start is 120 s.
const DEFINED_END: Duration = Duration::from_secs(160);

pub(crate) struct Room<'a> {
    stage: &'a Stage,
    group: String,
    /// Until its end was waited for.
    child: Option<Child>,
    project: String,
    began: Instant,
}

impl<'a> Room<'a> {
    /// Begins a deployment; back when its document is written.
    pub(crate) fn start(stage: &'a Stage, group: &str) -> Self {
        Self::of(stage, group, stage.start(group, &[]))
    }

    /// The same with a `docker-compose` of the test's own in `tools`.
    pub(crate) fn start_with_tools(stage: &'a Stage, group: &str, tools: &Path) -> Self {
        Self::of(stage, group, stage.start_with_tools(group, tools))
    }

    fn of(stage: &'a Stage, group: &str, child: Child) -> Self {
        let began = Instant::now();
        let group = group.to_owned();
        let project = loop {
            if let Some(project) = project(stage, &group) {
                break project;
            }
            assert!(began.elapsed() < DEFINED_END, "no document");
            pause();
        };
        Self {
            stage,
            group,
            child: Some(child),
            project,
            began,
        }
    }

    fn until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(self.began.elapsed() < DEFINED_END, "{}: {what}", self.group);
            pause();
        }
    }

    /// Until all of these run at once.
    pub(crate) fn until_running(&self, services: &[&str]) {
        self.until("not everybody runs", || {
            let running = running(&self.project);
            services
                .iter()
                .all(|name| running.contains_key(*name))
                .then_some(())
        });
    }

    /// Until the launcher has said something.
    pub(crate) fn until_said(&self, words: &str) {
        self.until_running(&["code-launcher"]);
        let launcher = self.id("code-launcher");
        self.until(&format!("nobody says {words}"), || {
            let output = Command::new("docker").args(["logs", &launcher]).output();
            let output = output.expect("docker");
            let said = [output.stdout, output.stderr].concat();
            String::from_utf8_lossy(&said).contains(words).then_some(())
        });
    }

    /// Until the application runs.
    pub(crate) fn until_started(&self) {
        self.until_said("application_started");
    }

    pub(crate) fn kill(&self, service: &str) {
        docker(&["kill", "--signal", "KILL", &self.id(service)]);
    }

    /// Whether a container has done its work and ended, so that there is nothing to kill.
    pub(crate) fn is_done(&self, service: &str) -> bool {
        let ids = containers(&self.project, Some(service));
        let format = "{{.State.Status}} {{.State.ExitCode}}";
        ids.len() == 1 && docker(&["inspect", "--format", format, &ids[0]]) == "exited 0"
    }

    pub(crate) fn terminate(&self) {
        let wrapper = self.child.as_ref().unwrap().id();
        kill(e2e::deploy_process(wrapper), Signal::SIGTERM).unwrap();
    }

    /// How the room ended; nothing of it is left.
    #[expect(clippy::print_stdout, reason = "what a test took, for --nocapture")]
    pub(crate) fn end(mut self) -> Deployed {
        let child = self.child.take().unwrap();
        let deployed = self.stage.finish(&self.group, child);
        let took = self.began.elapsed();
        println!("{}: {:?} after {took:?}", self.group, deployed.code);
        assert!(took < DEFINED_END, "{}: {took:?}", self.group);
        nothing_left(self.stage, &self.group);
        deployed
    }

    fn id(&self, service: &str) -> String {
        let running = running(&self.project);
        let id = running.get(service);
        id.unwrap_or_else(|| panic!("{}: {service} does not run", self.group))
            .clone()
    }
}

impl Drop for Room<'_> {
    /// After a failed assertion the room still runs; without its launcher it ends, and its deployment cleans up.
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let launcher = running(&self.project).remove("code-launcher");
        let _ = Command::new("docker").arg("kill").args(launcher).output();
        let _ = child.wait();
    }
}
