//! What a contract may say that this version cannot do. Nothing of a contract is ignored: it is done, or refused here.

use cleanroom_spec::{
    Application, GovernanceService, Identity, PolicySource, Specification, TokenIssuer,
};
use serde::Deserialize;

use crate::{Lifecycle, PolicyError};

/// What the tools of 4.0.0 write as every image's enforcement policy; it asks for nothing.
const TRUST_TYPE: &str = "{'trustType': 'https'}";

fn unsupported(what: impl Into<String>) -> PolicyError {
    PolicyError::Unsupported { what: what.into() }
}

/// The application, if this version can run all that the contract asks for.
pub(crate) fn application(
    spec: &Specification,
    lifecycle: Lifecycle,
) -> Result<&Application, PolicyError> {
    let [application] = spec.applications.as_slice() else {
        return Err(PolicyError::Applications {
            count: spec.applications.len(),
        });
    };
    if spec.network.is_some() {
        return Err(unsupported("network access of the application"));
    }
    if spec
        .sandbox
        .as_ref()
        .is_some_and(|sandbox| sandbox.privacy_policy.is_some())
    {
        return Err(unsupported("a privacy policy of the sandbox"));
    }
    // A job may list what it listens to inside; a service lists it for its callers, and no way leads to it.
    if lifecycle == Lifecycle::Service && !application.runtime_settings.ports.is_empty() {
        return Err(unsupported("ports that callers of a service reach"));
    }
    let image = &application.image;
    if image.protection.is_some() {
        return Err(unsupported("an encrypted image"));
    }
    if image.executable.identity.is_some() {
        return Err(unsupported("an image that only an identity may pull"));
    }
    match &image.enforcement_policy.policy {
        None => {}
        Some(PolicySource::Inline(inline))
            if inline
                .policy_document
                .as_deref()
                .is_none_or(|text| text == TRUST_TYPE) => {}
        Some(_) => return Err(unsupported("an enforcement policy of the image")),
    }
    Ok(application)
}

/// Where output goes: sinks of the application's logs and of the sidecars' telemetry.
pub(crate) struct Telemetry<'a> {
    pub(crate) logs: Option<&'a str>,
    pub(crate) telemetry: Option<&'a str>,
}

pub(crate) fn telemetry(spec: &Specification) -> Result<Telemetry<'_>, PolicyError> {
    let mut sinks = Telemetry {
        logs: None,
        telemetry: None,
    };
    let Some(governance) = &spec.governance else {
        return Ok(sinks);
    };
    let asked = |services: &Option<Vec<GovernanceService>>| {
        services
            .as_ref()
            .is_some_and(|services| !services.is_empty())
    };
    if asked(&governance.consent) || asked(&governance.audit) {
        return Err(unsupported("consent or audit services beside CGS"));
    }
    if let Some(telemetry) = &governance.telemetry {
        if let Some(application) = &telemetry.application {
            if asked(&application.consent) {
                return Err(unsupported("consent services beside CGS"));
            }
            sinks.logs = Some(&application.logs.name);
        }
        if let Some(infrastructure) = &telemetry.infrastructure {
            if asked(&infrastructure.consent) {
                return Err(unsupported("consent services beside CGS"));
            }
            let sink = &infrastructure.logs.name;
            if infrastructure.metrics.name != *sink || infrastructure.traces.name != *sink {
                return Err(unsupported("telemetry in more than one sink"));
            }
            sinks.telemetry = Some(sink);
        }
    }
    Ok(sinks)
}

/// The authority of a federated identity; `None` for the room's own.
pub(crate) fn federated_issuer(identity: &Identity) -> Result<Option<&str>, PolicyError> {
    match &identity.token_issuer {
        TokenIssuer::AttestationBasedTokenIssuer { .. } => Ok(None),
        TokenIssuer::FederatedIdentityBasedTokenIssuer { issuer, .. } => Ok(Some(&issuer.url)),
        TokenIssuer::SecretBasedTokenIssuer { .. } => Err(unsupported(format!(
            "identity {:?} by a secret",
            identity.name
        ))),
    }
}

/// Whether the parties accept that limits are not enforced where no cgroup is writable.
pub(crate) fn limits_best_effort(spec: &Specification) -> Result<bool, PolicyError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sandbox {
        limits: String,
    }
    let Some(sandbox) = spec
        .sandbox
        .as_ref()
        .filter(|sandbox| !sandbox.configuration.is_empty())
    else {
        return Ok(false);
    };
    match serde_json::from_str::<Sandbox>(&sandbox.configuration) {
        Ok(Sandbox { limits }) if limits == "best-effort" => Ok(true),
        Ok(Sandbox { limits }) if limits == "enforced" => Ok(false),
        _ => Err(unsupported(format!(
            "sandbox configuration {:?}",
            sandbox.configuration
        ))),
    }
}
