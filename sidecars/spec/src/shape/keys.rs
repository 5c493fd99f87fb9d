//! The keys of the 4.0.0 shape. A test holds this table and the types together.

use super::Keys;
use super::Shape::{Any, List, Object, Optional, Services, Text};

pub(super) fn specification() -> Keys {
    &[
        ("sandbox", Object(sandbox)),
        ("identities", List(identity)),
        ("datasources", List(access_point)),
        ("datasinks", List(access_point)),
        ("applications", List(application)),
        ("network", Object(network)),
        ("governance", Object(governance)),
    ]
}
pub(super) fn sandbox() -> Keys {
    &[
        ("sandboxType", Any),
        ("privacyPolicy", Object(policy)),
        ("configuration", Text),
    ]
}
pub(super) fn identity() -> Keys {
    &[
        ("name", Any),
        ("clientId", Any),
        ("tenantId", Any),
        ("tokenIssuer", Object(token_issuer)),
    ]
}
pub(super) fn token_issuer() -> Keys {
    &[
        ("issuerType", Any),
        ("issuer", Object(endpoint)),
        ("secret", Object(secret)),
        ("secretAccessIdentity", Object(identity)),
        ("federatedIdentity", Object(identity)),
    ]
}
pub(super) fn endpoint() -> Keys {
    &[("protocol", Any), ("url", Any), ("configuration", Text)]
}
pub(super) fn resource() -> Keys {
    &[
        ("name", Any),
        ("type", Any),
        ("id", Any),
        ("provider", Object(endpoint)),
    ]
}
pub(super) fn secret() -> Keys {
    &[("secretType", Any), ("backingResource", Object(resource))]
}
pub(super) fn access_point() -> Keys {
    &[
        ("name", Any),
        ("type", Any),
        ("path", Any),
        ("store", Object(resource)),
        ("identity", Object(identity)),
        ("protection", Object(protection)),
    ]
}
pub(super) fn protection() -> Keys {
    &[
        ("proxyType", Any),
        ("proxyMode", Any),
        ("privacyPolicy", Object(policy)),
        ("configuration", Text),
        ("encryptionSecrets", Object(encryption_secrets)),
        ("encryptionSecretAccessIdentity", Object(identity)),
    ]
}
pub(super) fn encryption_secrets() -> Keys {
    &[
        ("dek", Object(encryption_secret)),
        ("kek", Object(encryption_secret)),
    ]
}
pub(super) fn encryption_secret() -> Keys {
    &[("name", Any), ("secret", Object(secret))]
}
pub(super) fn policy() -> Keys {
    &[("policy", Object(policy_source))]
}
pub(super) fn policy_source() -> Keys {
    &[
        ("policyDocument", Any),
        ("documentType", Any),
        ("authenticityReceipt", Any),
        ("identity", Object(identity)),
        ("backingResource", Object(resource)),
    ]
}
pub(super) fn document() -> Keys {
    &[
        ("documentType", Any),
        ("authenticityReceipt", Any),
        ("identity", Object(identity)),
        ("backingResource", Object(resource)),
    ]
}
pub(super) fn application() -> Keys {
    &[
        ("name", Any),
        ("image", Object(image)),
        ("startType", Any),
        ("command", Any),
        ("environmentVariables", Any),
        ("datasources", Optional),
        ("datasinks", Optional),
        ("runtimeSettings", Object(runtime)),
    ]
}
pub(super) fn image() -> Keys {
    &[
        ("executable", Object(document)),
        ("protection", Object(protection)),
        ("enforcementPolicy", Object(policy)),
    ]
}
pub(super) fn runtime() -> Keys {
    &[("ports", Any), ("resource", Object(resources))]
}
pub(super) fn resources() -> Keys {
    &[("requests", Object(requests))]
}
pub(super) fn requests() -> Keys {
    &[("cpu", Any), ("memoryInGB", Any)]
}
pub(super) fn network() -> Keys {
    &[
        ("http", Object(http)),
        ("tcp", Object(tcp)),
        ("dns", Object(dns)),
    ]
}
pub(super) fn http() -> Keys {
    &[
        ("inbound", Object(direction)),
        ("outbound", Object(direction)),
    ]
}
pub(super) fn direction() -> Keys {
    &[("enabled", Any), ("policy", Object(protection))]
}
pub(super) fn tcp() -> Keys {
    &[("outbound", Object(tcp_outbound))]
}
pub(super) fn tcp_outbound() -> Keys {
    &[("enabled", Any), ("allowedIPs", List(address))]
}
pub(super) fn address() -> Keys {
    &[("address", Any), ("port", Any)]
}
pub(super) fn dns() -> Keys {
    &[("enabled", Any), ("port", Any)]
}
pub(super) fn governance() -> Keys {
    &[
        ("consent", Services(service)),
        ("audit", Services(service)),
        ("telemetry", Object(telemetry)),
    ]
}
pub(super) fn service() -> Keys {
    &[
        ("url", Any),
        ("method", Any),
        ("validResponses", Any),
        ("identity", Object(identity)),
    ]
}
pub(super) fn telemetry() -> Keys {
    &[
        ("infrastructure", Object(infrastructure)),
        ("application", Object(application_telemetry)),
    ]
}
pub(super) fn infrastructure() -> Keys {
    &[
        ("consent", Services(service)),
        ("metrics", Object(access_point)),
        ("traces", Object(access_point)),
        ("logs", Object(access_point)),
    ]
}
pub(super) fn application_telemetry() -> Keys {
    &[
        ("consent", Services(service)),
        ("logs", Object(access_point)),
    ]
}
