use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use crate::IdentityError;

const MAX_IDENTITIES: usize = 64;

/// How one client proves itself: whom CGS speaks of, and to whom.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Federation {
    /// `sub`: the contract's id.
    pub subject: String,
    /// `aud`: what Entra ID expects, usually `api://AzureADTokenExchange`.
    pub audience: String,
}

/// The identities of the policy, by client id.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Identities(BTreeMap<String, Federation>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct File {
    identities: Lists,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Lists {
    managed_identities: Vec<serde_json::Value>,
    application_identities: Vec<Application>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Application {
    client_id: String,
    credential: Credential,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credential {
    credential_type: String,
    federation_configuration: Option<FederationConfiguration>,
}

/// `IdTokenEndpoint` is not read: ID tokens come from the governance sidecar's socket and from nowhere else.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FederationConfiguration {
    subject: String,
    audience: String,
}

impl Identities {
    /// Reads base64 of the JSON that upstream's sidecar takes. Only federated credentials exist here.
    ///
    /// # Errors
    /// [`IdentityError::Configuration`] naming what is wrong.
    pub fn from_base64(text: &str) -> Result<Self, IdentityError> {
        let refuse = |reason: String| IdentityError::Configuration { reason };
        let json = BASE64_STANDARD
            .decode(text.trim())
            .map_err(|error| refuse(format!("not base64: {error}")))?;
        let file: File = serde_json::from_slice(&json)
            .map_err(|error| refuse(format!("not the expected JSON: {error}")))?;
        if !file.identities.managed_identities.is_empty() {
            return Err(refuse("managed identities are not supported".to_owned()));
        }
        let applications = file.identities.application_identities;
        if applications.len() > MAX_IDENTITIES {
            return Err(refuse(format!("more than {MAX_IDENTITIES} identities")));
        }
        let mut known = BTreeMap::new();
        for application in applications {
            // Client ids are GUIDs, which have no case.
            let client = application.client_id.to_ascii_lowercase();
            if client.is_empty() {
                return Err(refuse("a client id is empty".to_owned()));
            }
            let kind = application.credential.credential_type;
            if kind != "FederatedCredential" {
                let text = format!("{client}: credential type {kind:?} is not supported");
                return Err(refuse(text));
            }
            let Some(federation) = application.credential.federation_configuration else {
                return Err(refuse(format!("{client}: no FederationConfiguration")));
            };
            let (subject, audience) = (federation.subject, federation.audience);
            if subject.is_empty() || audience.is_empty() {
                return Err(refuse(format!("{client}: subject or audience is empty")));
            }
            let federation = Federation { subject, audience };
            // The same client twice is fine only if it is the same in every respect.
            match known.insert(client.clone(), federation.clone()) {
                Some(other) if other != federation => {
                    return Err(refuse(format!("{client} is configured twice")));
                }
                _ => {}
            }
        }
        Ok(Self(known))
    }

    /// How `client_id` proves itself.
    ///
    /// # Errors
    /// [`IdentityError::UnknownClient`].
    pub fn find(&self, client_id: &str) -> Result<&Federation, IdentityError> {
        let found = self.0.get(&client_id.to_ascii_lowercase());
        found.ok_or_else(|| IdentityError::UnknownClient {
            client_id: client_id.chars().take(64).collect(),
        })
    }
}
