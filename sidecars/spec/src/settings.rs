use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AccessPoint, Identity, PrivacyProxySettings, Resource};

/// A document at a provider.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document {
    /// Kind of document.
    pub document_type: DocumentType,
    /// Unused in this version.
    #[serde(default)]
    pub authenticity_receipt: String,
    /// Who may fetch it; nobody in particular when absent.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// Where it is.
    pub backing_resource: Resource,
}

/// Kinds of documents.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum DocumentType {
    /// An OCI artifact.
    #[serde(rename = "OCI")]
    Oci,
}

/// A policy: text, or a document.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its source.
    #[serde(default)]
    pub policy: Option<PolicySource>,
}

/// Where a policy's text is.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PolicySource {
    /// In a document.
    External(Box<Document>),
    /// Here.
    Inline(InlinePolicy),
}

/// A policy's text.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InlinePolicy {
    /// The text.
    #[serde(default)]
    pub policy_document: Option<String>,
}

/// Sandbox of the application.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SandboxSettings {
    /// Kind of sandbox.
    pub sandbox_type: SandboxType,
    /// What it allows.
    #[serde(default)]
    pub privacy_policy: Option<Policy>,
    /// Unused in this version.
    #[serde(default)]
    pub configuration: String,
}

/// Kinds of sandboxes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum SandboxType {
    /// The only one there is.
    #[serde(rename = "Type_0")]
    Type0,
    /// None; refused by the generator.
    None,
}

/// What network the application gets. Nothing by default.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSettings {
    /// HTTP.
    #[serde(default)]
    pub http: Option<HttpSettings>,
    /// TCP.
    #[serde(default)]
    pub tcp: Option<TcpSettings>,
    /// Names.
    #[serde(default)]
    pub dns: Option<DnsSettings>,
}

/// HTTP in both directions.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// Requests to the application.
    #[serde(default)]
    pub inbound: Option<DirectionSettings>,
    /// Requests of the application.
    #[serde(default)]
    pub outbound: Option<DirectionSettings>,
}

/// HTTP in one direction.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DirectionSettings {
    /// Whether anything passes.
    pub enabled: bool,
    /// What passes.
    pub policy: PrivacyProxySettings,
}

/// TCP.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TcpSettings {
    /// Connections of the application.
    #[serde(default)]
    pub outbound: Option<TcpOutbound>,
}

/// Connections of the application.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TcpOutbound {
    /// Whether anything passes.
    pub enabled: bool,
    /// Where to.
    #[serde(rename = "allowedIPs", default)]
    pub allowed_ips: Vec<AllowedAddress>,
}

/// An address the application may reach.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedAddress {
    /// IP address or host name.
    pub address: String,
    /// Port.
    pub port: u16,
}

/// Name resolution.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DnsSettings {
    /// Whether names resolve.
    pub enabled: bool,
    /// Port.
    pub port: u16,
}

/// Who is asked and who is told.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GovernanceSettings {
    /// Services whose consent is needed.
    #[serde(default)]
    pub consent: Option<Vec<GovernanceService>>,
    /// Services that get audit events.
    #[serde(default)]
    pub audit: Option<Vec<GovernanceService>>,
    /// Where telemetry goes.
    #[serde(default)]
    pub telemetry: Option<Telemetry>,
}

/// A service to ask or tell.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GovernanceService {
    /// Address.
    pub url: String,
    /// HTTP method.
    pub method: String,
    /// Statuses that mean yes.
    pub valid_responses: Vec<u16>,
    /// Who asks.
    pub identity: Identity,
}

/// Where telemetry goes.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Of the sidecars.
    #[serde(default)]
    pub infrastructure: Option<InfrastructureTelemetry>,
    /// Of the application.
    #[serde(default)]
    pub application: Option<ApplicationTelemetry>,
}

/// Telemetry of the sidecars.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct InfrastructureTelemetry {
    /// Services whose consent is needed.
    #[serde(default)]
    pub consent: Option<Vec<GovernanceService>>,
    /// Sink of the metrics.
    pub metrics: AccessPoint,
    /// Sink of the traces.
    pub traces: AccessPoint,
    /// Sink of the logs.
    pub logs: AccessPoint,
}

/// Output of the application.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicationTelemetry {
    /// Services whose consent is needed.
    #[serde(default)]
    pub consent: Option<Vec<GovernanceService>>,
    /// Sink of standard output and error.
    pub logs: AccessPoint,
}
