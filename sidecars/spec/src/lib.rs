//! The clean room specification: what the parties agree on.
//!
//! A YAML document in the 4.0.0 shape (`docs/specification.schema.json`). It is a contract between parties who do not trust each
//! other, so nothing in it is ignored: unknown keys are refused with a suggestion ([`Specification::from_yaml`]), fragments
//! merge by name and report every conflict ([`merge`]), and one [`Specification::validate`] reports every problem at once.
//!
//! The 2.0.0 and HEAD shapes and the older encodings of a `configuration` are read into the same types; what is written is
//! 4.0.0 with JSON. [`schema`] is that shape as a JSON Schema.

mod application;
mod configuration;
mod data;
mod dataset;
mod error;
mod identity;
mod merge;
mod protection;
mod python;
mod s3;
mod schema;
mod settings;
mod shape;
mod specification;
mod validate;

pub use application::{
    Application, EnforcementPolicy, Image, Requests, ResourceSettings, RuntimeSettings, StartType,
};
pub use data::{
    AccessPoint, AccessPointType, ProtocolType, Resource, ResourceType, ServiceEndpoint,
};
pub use error::{Problem, SpecError};
pub use identity::{Identity, TokenIssuer};
pub use merge::merge;
pub use protection::{
    CleanroomSecret, EncryptionMode, EncryptionSecret, EncryptionSecrets, Format, KeyRelease,
    PrivacyProxySettings, ProtectionConfiguration, ProxyMode, ProxyType, SecretType, VaultKind,
};
pub use s3::{S3Access, is_bucket, is_prefix, is_region};
pub use schema::schema;
pub use settings::{
    AllowedAddress, ApplicationTelemetry, DirectionSettings, DnsSettings, Document, DocumentType,
    GovernanceService, GovernanceSettings, HttpSettings, InfrastructureTelemetry, InlinePolicy,
    NetworkSettings, Policy, PolicySource, SandboxSettings, SandboxType, TcpOutbound, TcpSettings,
    Telemetry,
};
pub use specification::Specification;
