//! From the contract to the group.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cleanroom_spec::{AccessPointType, Application, Specification};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sidecar_http::services::{self, Service};

use crate::dataset::{Dataset, KeyAccess};
use crate::{
    Container, ContainerGroup, ExecProbe, ImageManifest, ImageReference, Mount, PolicyError,
    Volume, canonical_json, supported,
};

/// What a deployment adds to the contract.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The contract.
    pub contract_id: String,
    /// Base URL of CGS.
    pub ccf_endpoint: String,
    /// The CCF service certificate, PEM.
    pub service_cert_pem: String,
    /// Further trusted roots, PEM; only with `insecure_virtual`.
    pub extra_roots_pem: Option<String>,
    /// Virtual attester, no confidentiality.
    pub insecure_virtual: bool,
}

const VOLUMES: [(&str, &str, bool); 6] = [
    ("sockets", services::SOCKET_DIR, false),
    ("boot", services::BOOT_DIR, false),
    ("remotemounts", "/mnt/remote", true),
    ("telemetrymounts", "/mnt/telemetry", false),
    ("volumestatusmounts", "/mnt/volumestatus", false),
    ("launcher", "/run/cleanroom/launcher", false),
];
/// What the 4.0.0 tools write where the public authority is meant.
const PUBLIC_AUTHORITY: &str = "https://AzureAD";

/// What the end of the application means, and when the room is ready. An argument of the launcher, so it is measured.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Lifecycle {
    /// The application has a task and ends when it is done.
    #[default]
    Job,
    /// The application runs until somebody asks the room to stop.
    Service,
}

impl Lifecycle {
    /// The value of the launcher's `--profile`.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Service => "service",
        }
    }
}

/// The group of a contract, for a job.
///
/// # Errors
/// As [`build_for`].
pub fn build(
    spec: &Specification,
    deployment: &Deployment,
    images: &ImageManifest,
) -> Result<ContainerGroup, PolicyError> {
    build_for(Lifecycle::Job, spec, deployment, images)
}

/// The group of a contract.
///
/// # Errors
/// The specification is not valid, asks for something unsupported, an image is missing, or extra trust is asked for outside
/// a virtual environment.
pub fn build_for(
    lifecycle: Lifecycle,
    spec: &Specification,
    deployment: &Deployment,
    images: &ImageManifest,
) -> Result<ContainerGroup, PolicyError> {
    spec.validate()?;
    if deployment.extra_roots_pem.is_some() && !deployment.insecure_virtual {
        return Err(PolicyError::ExtraRoots);
    }
    let application = supported::application(spec, lifecycle)?;
    let datasets = spec
        .access_points()
        .enumerate()
        .map(|(index, point)| Dataset::of(index, point))
        .collect::<Result<Vec<_>, _>>()?;
    let group = Builder {
        lifecycle,
        spec,
        deployment,
        images,
        datasets: &datasets,
    };
    let mut containers = vec![group.launcher(application)?, group.identity()?];
    for dataset in &datasets {
        containers.push(group.shim(dataset)?);
    }
    containers.push(group.sidecar(
        &services::OTEL_COLLECTOR,
        "otel-collector",
        &["--telemetry-path", "/mnt/telemetry/infrastructure"],
        &["telemetrymounts"],
    )?);
    containers.push(group.governance()?);
    containers.push(group.skr_agent()?);
    containers.push(group.secrets()?);
    Ok(ContainerGroup {
        contract_id: deployment.contract_id.clone(),
        specification_sha256: specification_sha256(spec)?,
        init_containers: vec![group.init()?],
        containers,
        volumes: VOLUMES
            .iter()
            .map(|(name, _, shared)| Volume {
                name: (*name).to_owned(),
                shared: *shared,
            })
            .collect(),
        insecure_virtual: deployment.insecure_virtual,
    })
}

struct Builder<'a> {
    lifecycle: Lifecycle,
    spec: &'a Specification,
    deployment: &'a Deployment,
    images: &'a ImageManifest,
    datasets: &'a [Dataset<'a>],
}

impl Builder<'_> {
    /// The rule for a sidecar: its own user, no capability, its socket volume, the boot trace, a probe.
    fn sidecar(
        &self,
        service: &Service,
        image: &str,
        args: &[&str],
        volumes: &[&str],
    ) -> Result<Container, PolicyError> {
        let entry = self.images.image(image)?;
        if entry.name.ends_with("-virtual") && !self.deployment.insecure_virtual {
            return Err(PolicyError::Virtual {
                name: entry.name.clone(),
            });
        }
        let mut command = vec![format!("/{}", entry.name)];
        command.extend(args.iter().map(|arg| (*arg).to_owned()));
        if self.deployment.insecure_virtual {
            if let Some(roots) = &self.deployment.extra_roots_pem {
                command.push("--extra-roots".to_owned());
                command.push(BASE64_STANDARD.encode(roots));
            }
            command.push("--insecure-virtual".to_owned());
        }
        let mut probe = command.clone();
        probe.push("--probe".to_owned());
        let names = ["sockets", "boot"].iter().chain(volumes);
        Ok(Container {
            name: service.name.clone().into_owned(),
            image: ImageReference {
                name: entry.name.clone(),
                digest: entry.digest.clone(),
            },
            command,
            env: BTreeMap::new(),
            mounts: names.map(|name| mount(name, *name == "boot")).collect(),
            user: service.uid,
            group: service.uid,
            capabilities: BTreeSet::new(),
            devices: BTreeSet::new(),
            probe: Some(ExecProbe {
                command: probe,
                period_seconds: 5,
                failure_threshold: 60,
            }),
            working_dir: "/".to_owned(),
        })
    }

    fn init(&self) -> Result<Container, PolicyError> {
        let owned = |path: String, uid: u32, mode: u32| json!({"path": path, "uid": uid, "gid": uid, "mode": mode});
        let mut directories = vec![];
        let fixed = [
            services::SKR_AGENT,
            services::SECRETS,
            services::IDENTITY,
            services::GOVERNANCE,
            services::OTEL_COLLECTOR,
            services::CODE_LAUNCHER,
        ];
        for service in fixed
            .iter()
            .chain(self.datasets.iter().map(|dataset| &dataset.service))
        {
            directories.push(owned(
                format!("{}/{}", services::SOCKET_DIR, service.name),
                service.uid,
                0o755,
            ));
        }
        let launcher = services::CODE_LAUNCHER.uid;
        directories.push(owned(
            "/mnt/telemetry/infrastructure".to_owned(),
            services::OTEL_COLLECTOR.uid,
            0o755,
        ));
        directories.push(owned(
            "/mnt/telemetry/application".to_owned(),
            launcher,
            0o755,
        ));
        directories.push(owned("/run/cleanroom/launcher".to_owned(), launcher, 0o755));
        for dataset in self.datasets {
            // The mount point belongs to root, who mounts; the marker's directory takes markers of every shim.
            directories.push(owned(
                format!("/mnt/remote/{}", dataset.point.name),
                0,
                0o755,
            ));
        }
        directories.push(owned("/mnt/volumestatus".to_owned(), 0, 0o1777));
        let encoded = BASE64_STANDARD.encode(canonical_json(&Value::from(directories)));
        let mut container = self.sidecar(
            &Service {
                name: "init".into(),
                uid: 0,
            },
            "init",
            &["--directories", &encoded, "--boot-dir", services::BOOT_DIR],
            &[
                "remotemounts",
                "telemetrymounts",
                "volumestatusmounts",
                "launcher",
            ],
        )?;
        for mount in &mut container.mounts {
            mount.read_only = false;
        }
        container.capabilities = capabilities(&["CHOWN", "DAC_OVERRIDE", "FOWNER"]);
        container.probe = None;
        Ok(container)
    }

    fn skr_agent(&self) -> Result<Container, PolicyError> {
        let image = if self.deployment.insecure_virtual {
            "skr-agent-virtual"
        } else {
            "skr-agent"
        };
        // Evidence and access tokens go where the contract has keys released, and nowhere else.
        let (mut vaults, mut authorities) = (BTreeSet::new(), BTreeSet::new());
        for (dataset, key) in self.keyed() {
            let vault = dataset.origin(key, "/kek/akvEndpoint")?;
            vaults.insert(format!("{}={vault}", key.vault_kind.as_str()));
            authorities.insert(dataset.origin(key, "/kek/maaEndpoint")?);
        }
        let vaults = vaults.iter().flat_map(|vault| ["--allow-vault", vault]);
        let authorities = authorities.iter().flat_map(|maa| ["--allow-maa", maa]);
        let mut args: Vec<&str> = vaults.chain(authorities).collect();
        if args.is_empty() {
            args.push("--allow-none");
        }
        let mut container = self.sidecar(&services::SKR_AGENT, image, &args, &[])?;
        // The device node is root's in a utility VM: root opens it, and the process becomes its own user before it reads
        // anything.
        container.user = 0;
        container.group = 0;
        container.capabilities = capabilities(&["SETGID", "SETPCAP", "SETUID"]);
        Ok(container)
    }

    /// The datasets that have a key of their owner.
    fn keyed(&self) -> impl Iterator<Item = (&Dataset<'_>, &KeyAccess)> {
        let datasets = self.datasets.iter();
        datasets.filter_map(|dataset| Some((dataset, dataset.key.as_ref()?)))
    }

    fn secrets(&self) -> Result<Container, PolicyError> {
        let grants: Vec<Value> = self
            .keyed()
            .map(|(dataset, key)| {
                json!({
                    "access": dataset.point.name,
                    "uid": dataset.service.uid,
                    "request": key.unwrap,
                    "kekVaultKind": key.vault_kind.as_str(),
                })
            })
            .collect();
        let encoded = BASE64_STANDARD.encode(canonical_json(&Value::from(grants)));
        self.sidecar(&services::SECRETS, "secrets", &["--grants", &encoded], &[])
    }

    fn identity(&self) -> Result<Container, PolicyError> {
        let mut authority: Option<&str> = None;
        let mut identities = Vec::new();
        for identity in &self.spec.identities {
            let Some(issuer) = supported::federated_issuer(identity)? else {
                continue;
            };
            if authority.is_some_and(|other| other != issuer) {
                return Err(PolicyError::Unsupported {
                    what: "identities of two authorities".to_owned(),
                });
            }
            authority = Some(issuer);
            identities.push(json!({
                "ClientId": identity.client_id,
                "Credential": {
                    "CredentialType": "FederatedCredential",
                    "FederationConfiguration": {
                        "IdTokenEndpoint": "http://localhost:8300",
                        "Subject": self.deployment.contract_id,
                        "Audience": "api://AzureADTokenExchange",
                    },
                },
            }));
        }
        let args =
            json!({"Identities": {"ManagedIdentities": [], "ApplicationIdentities": identities}});
        let encoded = BASE64_STANDARD.encode(canonical_json(&args));
        let mut args = vec!["--identities", encoded.as_str()];
        if let Some(authority) = authority.filter(|authority| *authority != PUBLIC_AUTHORITY) {
            args.extend(["--authority", authority]);
        }
        self.sidecar(&services::IDENTITY, "identity", &args, &[])
    }

    fn governance(&self) -> Result<Container, PolicyError> {
        let prefix = format!("app/contracts/{}", self.deployment.contract_id);
        let certificate = BASE64_STANDARD.encode(&self.deployment.service_cert_pem);
        let args = [
            "--cgs-endpoint",
            &self.deployment.ccf_endpoint,
            "--cgs-path-prefix",
            &prefix,
            "--service-cert",
            &certificate,
        ];
        self.sidecar(&services::GOVERNANCE, "governance", &args, &[])
    }

    fn shim(&self, dataset: &Dataset<'_>) -> Result<Container, PolicyError> {
        let point = dataset.point;
        let uid = dataset.service.uid.to_string();
        let path = format!("/mnt/remote/{}", point.name);
        let access = match point.kind {
            AccessPointType::ReadOnly => "--read-only",
            AccessPointType::ReadWrite => "--no-read-only",
        };
        let mut args = vec![
            "--mount-path",
            &path,
            access,
            "--encryption-mode",
            dataset.mode.as_str(),
            "--access-name",
            &point.name,
            "--uid",
            &uid,
        ];
        if let Some(format) = dataset.format {
            args.extend(["--format", format.as_str()]);
        }
        if let Some(hmac) = &dataset.manifest_hmac {
            args.extend(["--manifest-hmac", hmac]);
        }
        args.extend(dataset.s3_arguments());
        let mut container = self.sidecar(
            &dataset.service,
            "blobfuse-shim",
            &args,
            &["remotemounts", "volumestatusmounts"],
        )?;
        container.name = format!("{}-blobfuse", point.name);
        // Root opens the device and mounts; the process becomes its own user before it reads an outside byte.
        container.user = 0;
        container.group = 0;
        container.capabilities = capabilities(&["SETGID", "SETPCAP", "SETUID", "SYS_ADMIN"]);
        container.devices = BTreeSet::from(["/dev/fuse".to_owned()]);
        let variables = [
            ("ACCESS_NAME", point.name.clone()),
            ("CLIENT_ID", point.identity.client_id.clone()),
            ("TENANT_ID", point.identity.tenant_id.clone()),
            ("VOLUMESTATUS_MOUNT_PATH", "/mnt/volumestatus".to_owned()),
        ];
        let key = dataset.key.iter().flat_map(|key| {
            [
                ("MAA_ENDPOINT", "/kek/maaEndpoint"),
                ("AKV_ENDPOINT", "/kek/akvEndpoint"),
                ("KID", "/kek/kid"),
                ("WRAPPED_DEK_SECRET", "/kid"),
                ("WRAPPED_DEK_AKV_ENDPOINT", "/akvEndpoint"),
            ]
            .map(|(name, pointer)| (name, key.text(pointer)))
        });
        container.env = variables
            .into_iter()
            .chain(dataset.account())
            .chain(key)
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        Ok(container)
    }

    fn launcher(&self, application: &Application) -> Result<Container, PolicyError> {
        let mut pinned = application.clone();
        let reference = &mut pinned.image.executable.backing_resource.id;
        *reference = without_tag(reference);
        let settings = serde_json::to_value(&pinned).map_err(|error| PolicyError::Group {
            reason: error.to_string(),
        })?;
        let encoded = BASE64_STANDARD.encode(canonical_json(&settings));
        let profile = self.lifecycle.as_str();
        let mut args: Vec<String> = [
            "--profile",
            profile,
            "--application-name",
            &application.name,
        ]
        .iter()
        .map(|arg| (*arg).to_owned())
        .collect();
        args.extend(["--application-base-64".to_owned(), encoded]);
        args.extend([
            "--contract-id".to_owned(),
            self.deployment.contract_id.clone(),
        ]);
        for dataset in self.datasets {
            args.extend([
                "--shim".to_owned(),
                format!("{}={}", dataset.point.name, dataset.service.uid),
            ]);
        }
        let sinks = supported::telemetry(self.spec)?;
        if let Some(sink) = sinks.logs {
            args.extend(["--logs-sink".to_owned(), sink.to_owned()]);
        }
        if let Some(sink) = sinks.telemetry {
            args.extend(["--telemetry-sink".to_owned(), sink.to_owned()]);
        }
        if supported::limits_best_effort(self.spec)? {
            args.extend(["--limits".to_owned(), "best-effort".to_owned()]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut container = self.sidecar(
            &services::CODE_LAUNCHER,
            "code-launcher",
            &args,
            &["remotemounts", "telemetrymounts", "launcher"],
        )?;
        // The root runner makes namespaces; the launcher proper becomes its own user first thing.
        container.user = 0;
        container.group = 0;
        container.capabilities = capabilities(&[
            "CHOWN",
            "DAC_OVERRIDE",
            "FOWNER",
            "KILL",
            "MKNOD",
            "NET_ADMIN",
            "SETGID",
            "SETPCAP",
            "SETUID",
            "SYS_ADMIN",
            "SYS_CHROOT",
        ]);
        Ok(container)
    }
}

/// A reference by digest without the tag that it was resolved from: what is pulled is decided by the digest alone.
fn without_tag(reference: &str) -> String {
    let Some((name, digest)) = reference.split_once('@') else {
        return reference.to_owned();
    };
    // A colon before the last slash is that of a port.
    let repository = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    };
    format!("{repository}@{digest}")
}

fn specification_sha256(spec: &Specification) -> Result<String, PolicyError> {
    let value = serde_json::to_value(spec).map_err(|error| PolicyError::Group {
        reason: error.to_string(),
    })?;
    Ok(hex::encode(Sha256::digest(canonical_json(&value))))
}

fn mount(volume: &str, read_only: bool) -> Mount {
    let path = VOLUMES
        .iter()
        .find(|(name, _, _)| *name == volume)
        .map_or("", |(_, path, _)| path);
    Mount {
        volume: volume.to_owned(),
        path: path.to_owned(),
        read_only,
    }
}

fn capabilities(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_beside_a_digest_is_left_out_and_a_port_is_not() {
        for (given, kept) in [
            (
                "registry.example/app:v1@sha256:ab",
                "registry.example/app@sha256:ab",
            ),
            (
                "registry.example:5000/team/app:v1@sha256:ab",
                "registry.example:5000/team/app@sha256:ab",
            ),
            (
                "registry.example:5000/app@sha256:ab",
                "registry.example:5000/app@sha256:ab",
            ),
        ] {
            assert_eq!(without_tag(given), kept);
        }
    }
}
