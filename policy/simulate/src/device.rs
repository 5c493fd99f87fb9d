//! Layers, overlays, scratch and shared folders.

use crate::input::{MountDevice, Overlay, Plan9, RwMountDevice, Scratch, Unmount};
use crate::simulator::refused;
use crate::{Decision, Finding, SimulateError, Simulator, pattern};

type Answer = Result<Decision, SimulateError>;

const FILE_SYSTEMS: [&str; 2] = ["ext4", "xfs"];

impl Simulator {
    pub(crate) fn mount_device(&mut self, input: &MountDevice) -> Answer {
        let mut refusals = self.place(&input.target, &input.mount_path_regex);
        // A layer of the policy counts whatever version of the framework it claims.
        let of_fragments = self.candidates.iter().map(|one| &one.container);
        let mut containers = self.document.containers.iter().chain(of_fragments);
        if !containers.any(|one| one.layers.contains(&input.device_hash)) {
            refusals.push((
                "deviceHash not found",
                Finding::new(
                    "containers[*].layers",
                    "a root hash of the policy",
                    &input.device_hash,
                ),
            ));
        }
        let decision = Decision::unless(refusals);
        if decision.allowed {
            let device = (input.target.clone(), input.device_hash.clone());
            self.state.devices.extend([device]);
        }
        Ok(decision)
    }

    pub(crate) fn rw_mount_device(&mut self, input: &RwMountDevice) -> Answer {
        let mut refusals = self.place(&input.target, &input.mount_path_regex);
        if !input.encrypted && !self.document.flag("allow_unencrypted_scratch") {
            refusals.push((
                "unencrypted scratch not allowed, non-readonly mount request for SCSI disk must request encryption",
                Finding::new("allow_unencrypted_scratch", "an encrypted device", "a plain one"),
            ));
        }
        if !input.ensure_filesystem {
            refusals.push((
                "ensureFilesystem must be set on rw device mounts",
                Finding::new("ensureFilesystem", true, false),
            ));
        }
        if !FILE_SYSTEMS.contains(&input.filesystem.as_str()) {
            refusals.push((
                "rw device mounts uses a filesystem that is not allowed",
                Finding::new("filesystem", FILE_SYSTEMS.join(" or "), &input.filesystem),
            ));
        }
        let decision = Decision::unless(refusals);
        if decision.allowed {
            self.state.rw_devices.insert(input.target.clone());
        }
        Ok(decision)
    }

    /// A place that is free and where the platform mounts devices.
    fn place(&self, target: &str, places: &str) -> Vec<(&'static str, Finding)> {
        let mut refusals = Vec::new();
        if self.state.devices.contains_key(target) || self.state.rw_devices.contains(target) {
            refusals.push((
                "device already mounted at path",
                Finding::new("target", "a free place", target),
            ));
        }
        if !pattern::matches(places, target) {
            refusals.push(("mountpoint invalid", Finding::new("target", places, target)));
        }
        refusals
    }

    pub(crate) fn unmount_device(&mut self, input: &Unmount) -> Answer {
        let gone = self.state.devices.remove(&input.unmount_target).is_some();
        Ok(unmounted(gone, "no device at path to unmount", input))
    }

    pub(crate) fn rw_unmount_device(&mut self, input: &Unmount) -> Answer {
        let gone = self.state.rw_devices.remove(&input.unmount_target);
        Ok(unmounted(gone, "no device at path to unmount", input))
    }

    pub(crate) fn mount_overlay(&mut self, input: &Overlay) -> Answer {
        if self.state.matches.contains_key(&input.container_id)
            || self.state.overlays.contains(&input.target)
        {
            return Ok(Decision::no(
                "overlay has already been mounted",
                Finding::new("containerID", "one without an overlay", &input.container_id),
            ));
        }
        let mounted: Option<Vec<&String>> = input
            .layer_paths
            .iter()
            .rev()
            .map(|path| self.state.devices.get(path))
            .collect();
        let found = self.candidates.iter().filter(|one| {
            let layers = &one.container.layers;
            mounted
                .as_ref()
                .is_some_and(|m| layers.iter().eq(m.iter().copied()))
        });
        let found: Vec<_> = found.cloned().collect();
        if found.is_empty() {
            let hashes = input.layer_paths.iter().rev().map(|path| {
                self.state
                    .devices
                    .get(path)
                    .map_or("nothing mounted", String::as_str)
            });
            let hashes: Vec<&str> = hashes.collect();
            return Ok(Decision::no(
                "no matching containers for overlay",
                Finding::json(
                    "containers[*].layers",
                    "all layers of one image in order",
                    hashes,
                ),
            ));
        }
        self.state.overlays.insert(input.target.clone());
        self.state.matches.insert(input.container_id.clone(), found);
        Ok(Decision::yes())
    }

    pub(crate) fn unmount_overlay(&mut self, input: &Unmount) -> Answer {
        let gone = self.state.overlays.remove(&input.unmount_target);
        Ok(unmounted(gone, "no overlay at path to unmount", input))
    }

    pub(crate) fn scratch_mount(&mut self, input: &Scratch) -> Answer {
        let mut refusals = Vec::new();
        if !input.encrypted && !self.document.flag("allow_unencrypted_scratch") {
            refusals.push((
                "unencrypted scratch not allowed",
                Finding::new(
                    "allow_unencrypted_scratch",
                    "encrypted scratch",
                    "plain scratch",
                ),
            ));
        }
        if self.state.scratch.contains(&input.target) {
            refusals.push((
                "scratch already mounted at path",
                Finding::new("target", "a free place", &input.target),
            ));
        }
        let decision = Decision::unless(refusals);
        if decision.allowed {
            self.state.scratch.insert(input.target.clone());
        }
        Ok(decision)
    }

    pub(crate) fn scratch_unmount(&mut self, input: &Unmount) -> Answer {
        let gone = self.state.scratch.remove(&input.unmount_target);
        Ok(unmounted(gone, "no scratch at path to unmount", input))
    }

    pub(crate) fn plan9_mount(&mut self, input: &Plan9) -> Answer {
        if self.state.plan9.contains_key(&input.target) {
            return Ok(Decision::no(
                "device already mounted at path",
                Finding::new("target", "a free place", &input.target),
            ));
        }
        let places = |id: &&String| {
            let place = format!("{}/{id}{}", input.root_prefix, input.mount_path_prefix);
            pattern::matches(&place, &input.target)
        };
        let Some(id) = self.state.matches.keys().find(places).cloned() else {
            return Ok(refused(Finding::new(
                "target",
                "a folder of a container that has its overlay",
                &input.target,
            )));
        };
        self.state.plan9.insert(input.target.clone(), id);
        Ok(Decision::yes())
    }

    pub(crate) fn plan9_unmount(&mut self, input: &Unmount) -> Answer {
        let gone = self.state.plan9.remove(&input.unmount_target).is_some();
        Ok(unmounted(gone, "no device at path to unmount", input))
    }
}

fn unmounted(gone: bool, error: &str, input: &Unmount) -> Decision {
    if gone {
        return Decision::yes();
    }
    Decision::no(
        error,
        Finding::new("unmountTarget", "a place in use", &input.unmount_target),
    )
}
