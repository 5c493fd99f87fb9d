use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use url::Url;

use crate::protection::is_sha256;
use crate::{
    AccessPointType, Application, Identity, Problem, SandboxType, SpecError, Specification,
    TokenIssuer,
};

/// Access names become directories, socket names and blob paths.
const MAX_NAME: usize = 63;
/// Names that have a meaning of their own inside a group.
const RESERVED: [&str; 8] = [
    "skr-agent",
    "secrets",
    "identity",
    "governance",
    "otel-collector",
    "code-launcher",
    "proxy",
    "init",
];
/// Where an application may not mount data: the runtime's own places.
const FORBIDDEN_MOUNTS: [&str; 6] = ["/", "/proc", "/sys", "/dev", "/run", "/tmp"];

impl Specification {
    /// Every problem at once.
    ///
    /// # Errors
    /// [`SpecError::Invalid`] with the whole list.
    pub fn validate(&self) -> Result<(), SpecError> {
        let mut report = Report::default();
        report.names(
            "identities",
            self.identities
                .iter()
                .map(|identity| identity.name.as_str()),
        );
        report.names(
            "applications",
            self.applications
                .iter()
                .map(|application| application.name.as_str()),
        );
        report.names(
            "datasources/datasinks",
            self.access_points().map(|point| point.name.as_str()),
        );
        for identity in &self.identities {
            report.identity(self, identity);
        }
        for (list, kind, points) in [
            ("datasources", AccessPointType::ReadOnly, &self.datasources),
            ("datasinks", AccessPointType::ReadWrite, &self.datasinks),
        ] {
            for point in points {
                report.access_point(self, list, kind, point);
            }
        }
        for application in &self.applications {
            report.application(self, application);
        }
        report.telemetry(self);
        if self
            .sandbox
            .as_ref()
            .is_some_and(|sandbox| sandbox.sandbox_type == SandboxType::None)
        {
            report.add(
                "CR-SPEC-0037",
                "sandbox.sandboxType",
                "an application never runs without a sandbox",
            );
        }
        if report.problems.is_empty() {
            Ok(())
        } else {
            Err(SpecError::Invalid(report.problems))
        }
    }
}

/// The problems found so far.
#[derive(Default)]
pub(crate) struct Report {
    problems: Vec<Problem>,
}

impl Report {
    pub(crate) fn add(
        &mut self,
        code: &'static str,
        path: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.problems.push(Problem::new(code, path, message));
    }

    fn names<'a>(&mut self, list: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeSet::new();
        for name in names {
            if !seen.insert(name) {
                self.add(
                    "CR-SPEC-0020",
                    format!("{list}[{name}]"),
                    "the name is used twice",
                );
            }
        }
    }

    pub(crate) fn name(&mut self, path: &str, name: &str) {
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !plain || name.is_empty() || name.len() > MAX_NAME || name.starts_with('-') {
            self.add(
                "CR-SPEC-0021",
                path,
                format!(
                    "{name:?} is no name: lower case letters, digits and '-', at most {MAX_NAME}"
                ),
            );
        } else if RESERVED.contains(&name) {
            self.add(
                "CR-SPEC-0021",
                path,
                format!("{name:?} is the name of a sidecar"),
            );
        }
    }

    pub(crate) fn url(&mut self, path: String, url: &str) {
        let usable = Url::parse(url).is_ok_and(|url| {
            url.scheme() == "https"
                && url.host_str().is_some()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        if !usable {
            self.add("CR-SPEC-0022", path, format!("{url:?} is no https URL"));
        }
    }

    fn identity(&mut self, spec: &Specification, identity: &Identity) {
        let path = format!("identities[{}]", identity.name);
        let (member, behind) = match &identity.token_issuer {
            TokenIssuer::AttestationBasedTokenIssuer { .. } => return,
            TokenIssuer::SecretBasedTokenIssuer {
                secret_access_identity,
                ..
            } => ("secretAccessIdentity", secret_access_identity),
            TokenIssuer::FederatedIdentityBasedTokenIssuer {
                federated_identity, ..
            } => ("federatedIdentity", federated_identity),
        };
        self.known_identity(spec, format!("{path}.tokenIssuer.{member}"), behind);
        for (member, id) in [
            ("clientId", &identity.client_id),
            ("tenantId", &identity.tenant_id),
        ] {
            if !is_uuid(id) {
                self.add(
                    "CR-SPEC-0023",
                    format!("{path}.{member}"),
                    format!("{id:?} is no UUID"),
                );
            }
        }
    }

    pub(crate) fn known_identity(
        &mut self,
        spec: &Specification,
        path: String,
        identity: &Identity,
    ) {
        match spec
            .identities
            .iter()
            .find(|known| known.name == identity.name)
        {
            None => self.add(
                "CR-SPEC-0024",
                path,
                format!("identity {:?} is not among the identities", identity.name),
            ),
            Some(known) if known != identity => self.add(
                "CR-SPEC-0025",
                path,
                format!(
                    "a stale copy of identity {:?}: add again what uses it",
                    identity.name
                ),
            ),
            Some(_) => {}
        }
    }

    fn application(&mut self, spec: &Specification, application: &Application) {
        let path = format!("applications[{}]", application.name);
        self.name(&format!("{path}.name"), &application.name);
        if !by_digest(application.image_reference()) {
            self.add(
                "CR-SPEC-0028",
                format!("{path}.image"),
                format!(
                    "{:?} is not pinned by digest: use <registry>/<repository>@sha256:<64 hex>",
                    application.image_reference()
                ),
            );
        }
        let mut targets = BTreeMap::new();
        for (member, wanted, known) in [
            ("datasources", &application.datasources, &spec.datasources),
            ("datasinks", &application.datasinks, &spec.datasinks),
        ] {
            for (name, target) in wanted {
                let place = format!("{path}.{member}[{name}]");
                if !known.iter().any(|point| point.name == *name) {
                    let code = if member == "datasources" {
                        "CR-SPEC-0029"
                    } else {
                        "CR-SPEC-0030"
                    };
                    self.add(
                        code,
                        place.clone(),
                        format!("there is no {member} entry {name:?}"),
                    );
                }
                self.mount(place, target, &mut targets);
            }
        }
        for (index, variable) in application.environment_variables.keys().enumerate() {
            if variable.is_empty() || variable.contains(['=', '\0']) {
                self.add(
                    "CR-SPEC-0031",
                    format!("{path}.environmentVariables[{index}]"),
                    "no name of an environment variable",
                );
            }
        }
        let texts = application.command.iter();
        if texts
            .chain(application.environment_variables.values())
            .any(|text| text.contains('\0'))
        {
            self.add(
                "CR-SPEC-0038",
                format!("{path}.command"),
                "a NUL character in the command or in a variable's value",
            );
        }
        let requests = application.runtime_settings.resource.requests;
        for (member, value, most) in [
            ("cpu", requests.cpu, 64.0),
            ("memoryInGB", requests.memory_in_gb, 512.0),
        ] {
            if !(value > 0.0 && value <= most) {
                self.add(
                    "CR-SPEC-0032",
                    format!("{path}.runtimeSettings.resource.requests.{member}"),
                    format!("{value} is not above 0 and at most {most}"),
                );
            }
        }
        let mut ports = BTreeSet::new();
        for port in &application.runtime_settings.ports {
            if *port == 0 || !ports.insert(port) {
                self.add(
                    "CR-SPEC-0033",
                    format!("{path}.runtimeSettings.ports"),
                    format!("port {port} is zero or given twice"),
                );
            }
        }
    }

    fn mount<'a>(
        &mut self,
        place: String,
        target: &'a str,
        targets: &mut BTreeMap<&'a str, String>,
    ) {
        let path = Path::new(target);
        let plain = path.is_absolute()
            && path
                .components()
                .skip(1)
                .all(|part| matches!(part, Component::Normal(_)))
            && !target.ends_with('/');
        let forbidden = FORBIDDEN_MOUNTS
            .iter()
            .any(|own| *own == target || (*own != "/" && path.starts_with(own)));
        if !plain || forbidden {
            self.add(
                "CR-SPEC-0034",
                place,
                format!("{target:?} is no place for data"),
            );
            return;
        }
        for (other, owner) in targets.iter() {
            if path.starts_with(other) || Path::new(other).starts_with(path) {
                self.add(
                    "CR-SPEC-0035",
                    place.clone(),
                    format!("{target:?} overlaps {other:?} of {owner}"),
                );
            }
        }
        targets.insert(target, place);
    }

    fn telemetry(&mut self, spec: &Specification) {
        let Some(telemetry) = spec
            .governance
            .as_ref()
            .and_then(|governance| governance.telemetry.as_ref())
        else {
            return;
        };
        let mut sinks = Vec::new();
        if let Some(application) = &telemetry.application {
            sinks.push(("application.logs", &application.logs));
        }
        if let Some(infrastructure) = &telemetry.infrastructure {
            sinks.push(("infrastructure.metrics", &infrastructure.metrics));
            sinks.push(("infrastructure.traces", &infrastructure.traces));
            sinks.push(("infrastructure.logs", &infrastructure.logs));
        }
        for (member, sink) in sinks {
            if !spec.datasinks.contains(sink) {
                self.add(
                    "CR-SPEC-0036",
                    format!("governance.telemetry.{member}"),
                    format!(
                        "{:?} is not among the datasinks, or differs there",
                        sink.name
                    ),
                );
            }
        }
    }
}

fn by_digest(reference: &str) -> bool {
    reference
        .rsplit_once("@sha256:")
        .is_some_and(|(repository, digest)| {
            repository.contains('/')
                && is_sha256(digest)
                && repository.bytes().all(|b| b.is_ascii_graphic())
        })
}

/// 8-4-4-4-12 hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let mut groups = text.split('-');
    [8, 4, 4, 4, 12].iter().all(|length| {
        groups.next().is_some_and(|group| {
            group.len() == *length && group.bytes().all(|b| b.is_ascii_hexdigit())
        })
    }) && groups.next().is_none()
}
