use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CleanroomSecret, ServiceEndpoint};

/// Someone the room may act as towards a token issuer.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// Unique name.
    pub name: String,
    /// Application or managed identity (UUID); empty for the room's own attested identity.
    pub client_id: String,
    /// Tenant (UUID); empty for the room's own attested identity.
    pub tenant_id: String,
    /// Who issues its tokens, and on what grounds.
    pub token_issuer: TokenIssuer,
}

/// Where an identity's tokens come from.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(
    tag = "issuerType",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum TokenIssuer {
    /// Attestation evidence buys an ID token (CGS).
    AttestationBasedTokenIssuer {
        /// The issuer.
        issuer: ServiceEndpoint,
    },
    /// A secret buys the token.
    SecretBasedTokenIssuer {
        /// The issuer.
        issuer: ServiceEndpoint,
        /// The secret.
        secret: Box<CleanroomSecret>,
        /// Who may read the secret.
        secret_access_identity: Box<Identity>,
    },
    /// Another identity's token buys the token (workload identity federation).
    FederatedIdentityBasedTokenIssuer {
        /// The issuer.
        issuer: ServiceEndpoint,
        /// The identity behind it.
        federated_identity: Box<Identity>,
    },
}

impl Identity {
    /// The identity that CGS vouches for, as `config init` writes it.
    pub fn attested(name: &str, url: &str) -> Self {
        Self {
            name: name.to_owned(),
            client_id: String::new(),
            tenant_id: String::new(),
            token_issuer: TokenIssuer::AttestationBasedTokenIssuer {
                issuer: ServiceEndpoint {
                    protocol: crate::ProtocolType::AttestedOidc,
                    url: url.to_owned(),
                    configuration: String::new(),
                },
            },
        }
    }
}
