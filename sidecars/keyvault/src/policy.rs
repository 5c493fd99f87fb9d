use base64::Engine as _;
use serde_json::{Value, json};
use url::{Position, Url};

use crate::KeyVaultError;
use crate::wire::B64URL;

const HOST_DATA: &str = "x-ms-sevsnpvm-hostdata";
const MAX_BYTES: usize = 32 << 10;

/// Under which evidence a vault lets a key go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReleasePolicy(Value);

impl ReleasePolicy {
    /// Releases to the container group whose policy hash is `host_data`, as `authority` (an MAA instance) attests it:
    /// an SNP guest under a Microsoft utility VM, not debuggable, at VMPL 0. Values have the JSON types of the token's
    /// claims.
    pub fn for_host_data(authority: &Url, host_data: &[u8; 32]) -> Self {
        let authority = &authority[..Position::BeforePath];
        Self(json!({
            "version": "1.0.0",
            "anyOf": [{
                "authority": authority,
                "allOf": [
                    {"claim": HOST_DATA, "equals": hex::encode(host_data)},
                    {"claim": "x-ms-compliance-status", "equals": "azure-compliant-uvm"},
                    {"claim": "x-ms-attestation-type", "equals": "sevsnpvm"},
                    {"claim": "x-ms-sevsnpvm-is-debuggable", "equals": false},
                    {"claim": "x-ms-sevsnpvm-vmpl", "equals": 0},
                ],
            }],
        }))
    }

    /// Takes a policy of the caller's own making; the vault judges its conditions.
    ///
    /// # Errors
    /// [`KeyVaultError::Policy`] if it has no `anyOf` of authorities or is larger than 32 KiB.
    pub fn from_json(policy: Value) -> Result<Self, KeyVaultError> {
        let refuse = |reason| Err(KeyVaultError::Policy { reason });
        let Some(any) = policy.get("anyOf").and_then(Value::as_array) else {
            return refuse("no anyOf");
        };
        let authority = |part: &Value| part.get("authority").is_some_and(Value::is_string);
        if any.is_empty() || !any.iter().all(authority) {
            return refuse("an element of anyOf names no authority");
        }
        if policy.to_string().len() > MAX_BYTES {
            return refuse("larger than 32 KiB");
        }
        Ok(Self(policy))
    }

    /// The policy's JSON.
    pub const fn as_json(&self) -> &Value {
        &self.0
    }

    /// The policy as an import carries it: `{"contentType","data","immutable":false}`.
    pub(crate) fn to_wire(&self) -> Value {
        json!({
            "contentType": "application/json; charset=utf-8",
            "data": B64URL.encode(self.0.to_string()),
            "immutable": false,
        })
    }

    pub(crate) fn from_wire(data: &str) -> Result<Self, KeyVaultError> {
        let bad = KeyVaultError::Answer {
            what: "a release policy that is not base64url of JSON",
        };
        match B64URL
            .decode(data)
            .map(|json| serde_json::from_slice(&json))
        {
            Ok(Ok(policy)) => Ok(Self(policy)),
            _ => Err(bad),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_is_typed_like_the_tokens_claims_and_survives_the_wire() {
        let authority = Url::parse("https://sharedneu.neu.attest.azure.net:8443/").unwrap();
        let policy = ReleasePolicy::for_host_data(&authority, &[0xAB; 32]);
        let element = &policy.as_json()["anyOf"][0];
        assert_eq!(
            element["authority"],
            "https://sharedneu.neu.attest.azure.net:8443"
        );
        assert_eq!(element["allOf"][0]["equals"], "ab".repeat(32));
        assert_eq!(element["allOf"][3]["equals"], false);
        assert_eq!(element["allOf"][4]["equals"], 0);
        let wire = policy.to_wire();
        let data = wire["data"].as_str().unwrap();
        assert_eq!(ReleasePolicy::from_wire(data).unwrap(), policy);
    }

    #[test]
    fn a_policy_without_an_authority_is_refused() {
        assert!(
            ReleasePolicy::from_json(json!({"anyOf": [{"authority": "https://maa.example"}]}))
                .is_ok()
        );
        for policy in [
            json!({}),
            json!({"anyOf": []}),
            json!({"anyOf": [{"allOf": []}]}),
            json!(7),
        ] {
            assert!(ReleasePolicy::from_json(policy).is_err());
        }
    }
}
