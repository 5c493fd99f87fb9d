use keyvault::VaultKind;
use serde::{Deserialize, Deserializer};
use sidecar_http::UnixClient;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use crate::SkrError;

/// As whom the agent asks the identity sidecar for access tokens when its caller brings none.
#[derive(Clone, Debug)]
pub struct Identity {
    client: UnixClient,
    client_id: String,
    tenant_id: String,
}

#[derive(Deserialize)]
struct Token {
    #[serde(deserialize_with = "secret")]
    token: Zeroizing<String>,
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(from).map(Zeroizing::new)
}

impl Identity {
    /// The identity `client_id` of `tenant_id`, by the sidecar behind `client`.
    pub const fn new(client: UnixClient, client_id: String, tenant_id: String) -> Self {
        Self {
            client,
            client_id,
            tenant_id,
        }
    }

    /// A token for a vault of this kind. The sidecar keeps tokens, so none is kept here.
    pub(crate) async fn token(
        &self,
        vault: &Url,
        kind: VaultKind,
    ) -> Result<Zeroizing<String>, SkrError> {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("scope", kind.scope())
            .append_pair("tenantId", &self.tenant_id)
            .append_pair("clientId", &self.client_id)
            .append_pair("apiVersion", "2018-02-01")
            .finish();
        let path = format!("/metadata/identity/oauth2/token?{query}");
        let answer: Result<Token, _> = self.client.get_json(&path).await;
        match answer {
            Ok(answer) => Ok(answer.token),
            Err(source) => Err(SkrError::Identity {
                vault: vault.to_string(),
                source,
            }),
        }
    }
}
