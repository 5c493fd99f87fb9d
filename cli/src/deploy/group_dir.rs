//! The directory of a local group: volumes, logs, and the security context that the platform would write.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cleanroom_crypto::random;
use policy::emit::cce::PolicyText;
use policy::emit::{ComposeHost, LocalPlan, LocalProcess};
use policy::{ContainerGroup, ImageManifest};
use serde_json::Value;

use super::DeployError;
use super::mounts::Mount;
use super::supervisor::{Plan, Process};

/// Files that the host's platform puts beside the policy.
const PLATFORM_FILES: [&str; 2] = ["host-amd-cert-base64", "reference-info-base64"];
/// Where the programs are inside the group.
const PROGRAMS: &str = "/run/cleanroom-images";
/// The container whose end is the group's end.
pub(super) const MAIN: &str = "code-launcher";

/// The directory of one group.
#[derive(Debug)]
pub(super) struct GroupDir {
    root: PathBuf,
    context: String,
}

impl GroupDir {
    /// Makes the directory and the security context: `security-policy-base64` is what the attester hashes.
    pub(super) fn create(
        root: &Path,
        policy: &PolicyText,
        platform: Option<&Path>,
    ) -> Result<Self, DeployError> {
        if root.exists() {
            return Err(DeployError::GroupDirExists {
                path: root.display().to_string(),
            });
        }
        let root = std::path::absolute(root)?;
        let random = hex::encode(
            random::bytes::<8>().map_err(|_| std::io::Error::other("no random bytes"))?,
        );
        let mut directory = Self {
            context: format!("/run/security-context-{random}"),
            root,
        };
        for folder in ["", "volumes", "logs", "context"] {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(directory.root.join(folder))?;
        }
        // As Docker writes it: what is mounted is compared with it.
        directory.root = directory.root.canonicalize()?;
        directory.context_file("security-policy-base64", &policy.base64())?;
        for name in PLATFORM_FILES {
            if let Some(platform) = platform {
                directory.context_file(name, &std::fs::read_to_string(platform.join(name))?)?;
            }
        }
        Ok(directory)
    }

    fn context_file(&self, name: &str, content: &str) -> Result<(), DeployError> {
        let path = self.root.join("context").join(name);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(path)?;
        file.write_all(content.as_bytes())?;
        Ok(())
    }

    /// Writes what the supervisor runs, and returns the file.
    pub(super) fn write_plan(&self, plan: &LocalPlan) -> Result<PathBuf, DeployError> {
        let mut mounts = vec![Mount {
            source: self.root.join("context"),
            target: PathBuf::from(&self.context),
            read_only: true,
            shared: false,
        }];
        for volume in &plan.volumes {
            mounts.push(Mount {
                source: self.make_volume(&volume.name)?,
                target: PathBuf::from(&volume.path),
                read_only: false,
                shared: volume.shared,
            });
        }
        for process in plan.init.iter().chain(&plan.containers) {
            let target = program(process);
            if !mounts.iter().any(|mount| mount.target == target) {
                mounts.push(Mount {
                    source: process.executable.clone(),
                    target,
                    read_only: true,
                    shared: false,
                });
            }
        }
        let process = |process: &LocalProcess| self.process(process);
        let plan = Plan {
            init: plan.init.iter().map(process).collect(),
            containers: plan.containers.iter().map(process).collect(),
            main: MAIN.to_owned(),
            mounts,
            log_dir: self.logs(),
        };
        let file = self.root.join("plan.json");
        std::fs::write(&file, serde_json::to_vec_pretty(&plan)?)?;
        Ok(file)
    }

    /// Makes the folder of a volume. Owners inside are made by init; the volume itself can be entered by every user of the
    /// group.
    fn make_volume(&self, name: &str) -> Result<PathBuf, DeployError> {
        let folder = self.root.join("volumes").join(name);
        std::fs::create_dir(&folder)?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
        Ok(folder)
    }

    /// Writes the group as a Compose document, and returns the file.
    pub(super) fn write_compose(
        &self,
        group: &ContainerGroup,
        images: &ImageManifest,
        network: Option<String>,
    ) -> Result<PathBuf, DeployError> {
        for volume in &group.volumes {
            self.make_volume(&volume.name)?;
        }
        let host = ComposeHost {
            volumes: self.volumes(),
            security_context: self.root.join("context"),
            security_context_target: self.context.clone(),
            network,
        };
        let document = policy::emit::compose(group, images, &host)?;
        let file = self.root.join("docker-compose.yml");
        // JSON is YAML, and leaves nothing to quoting rules.
        std::fs::write(&file, serde_json::to_vec_pretty(&document)?)?;
        Ok(file)
    }

    /// A name for Docker that no other group has.
    pub(super) fn project(&self) -> String {
        let random = self.context.rsplit('-').next().unwrap_or_default();
        format!("cleanroom-{random}")
    }

    /// Volumes on this machine.
    pub(super) fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// The security context: on this machine, and inside every container.
    pub(super) fn context(&self) -> (PathBuf, &str) {
        (self.root.join("context"), &self.context)
    }

    /// What was asked of the policy before the start.
    pub(super) fn requests(&self) -> PathBuf {
        self.root.join("policy-requests.json")
    }

    /// The directory itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    fn process(&self, process: &LocalProcess) -> Process {
        let mut env = process.env.clone();
        // Chosen by the platform and therefore not measured, as in ACI.
        env.insert("UVM_SECURITY_CONTEXT_DIR".to_owned(), self.context.clone());
        Process {
            name: process.name.clone(),
            executable: program(process),
            args: process.args.clone(),
            env,
            uid: process.uid,
            gid: process.gid,
            capabilities: process.capabilities.clone(),
        }
    }

    /// Logs of the containers.
    pub(super) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Phases of the launcher's start with their times in Unix milliseconds.
    pub(super) fn launcher_timeline(&self) -> Option<Vec<(String, u64)>> {
        let path = self.root.join("volumes/launcher/timeline.json");
        let value: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        let phases = value.as_object()?.iter();
        Some(
            phases
                .filter_map(|(name, at)| Some((name.clone(), at.as_u64()?)))
                .collect(),
        )
    }
}

/// Where a program is inside the group: by its file name, since the same program is the same image.
fn program(process: &LocalProcess) -> PathBuf {
    let name = process.executable.file_name().unwrap_or_default();
    Path::new(PROGRAMS).join(name)
}
