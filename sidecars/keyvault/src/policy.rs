mod evaluate;
mod explanation;
mod grammar;

pub use evaluate::evaluate;
pub use explanation::{Clause, Explanation, Group};
pub use grammar::PolicyFlaw;

use attestation::is_allow_all;
use base64::Engine as _;
use serde_json::{Value, json};
use url::{Position, Url};

use self::grammar::{Condition, Group as Conditions, Operator, Policy};
use crate::KeyVaultError;
use crate::wire::B64URL;

const HOST_DATA: &str = "x-ms-sevsnpvm-hostdata";
/// The same in the token of a confidential VM.
const CVM_HOST_DATA: &str = "x-ms-isolation-tee.x-ms-sevsnpvm-hostdata";

/// To whom a key is released.
#[derive(Clone, Debug)]
pub struct ReleaseTerms {
    /// The MAA instances whose word counts.
    pub authorities: Vec<Url>,
    /// The container groups, by the SHA-256 of their policies.
    pub host_data: Vec<[u8; 32]>,
    /// The oldest utility VM, by the security version of its endorsement. `None` for a vault whose version of the grammar
    /// has no `greaterOrEquals`: it refuses an import with this clause, and never ignores it.
    pub minimum_svn: Option<u32>,
}

impl ReleaseTerms {
    /// The oldest utility VM that Microsoft still runs (as of 2026-08-04), so that the clause shuts out rollbacks and no
    /// host of the fleet.
    pub const MINIMUM_SVN: u32 = 104;

    /// One container group attested by one MAA instance, with the default minimum.
    pub fn new(authority: &Url, host_data: [u8; 32]) -> Self {
        Self {
            authorities: vec![authority.clone()],
            host_data: vec![host_data],
            minimum_svn: Some(Self::MINIMUM_SVN),
        }
    }
}

/// Under which evidence a vault lets a key go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReleasePolicy(Value);

impl ReleasePolicy {
    /// The strictest policy under these terms: an SNP guest under a compliant Microsoft utility VM of at least the minimum
    /// version, not debuggable, at VMPL 0, with one of the host data. Values have the JSON types of the token's claims.
    ///
    /// Groups are written out, one element for each authority and host data, so that vaults that do not nest groups take
    /// the policy.
    ///
    /// # Errors
    /// [`KeyVaultError::Terms`] without authority or host data; [`KeyVaultError::AllowAll`] for the host data of a
    /// published policy that allows everything; [`KeyVaultError::Policy`] if the policy grows too large.
    pub fn strict(terms: &ReleaseTerms) -> Result<Self, KeyVaultError> {
        for (what, none) in [
            ("authority", terms.authorities.is_empty()),
            ("host data", terms.host_data.is_empty()),
        ] {
            if none {
                return Err(KeyVaultError::Terms { what });
            }
        }
        let mut elements = Vec::new();
        for authority in &terms.authorities {
            for host_data in &terms.host_data {
                let authority = &authority[..Position::BeforePath];
                elements.push(element(authority, host_data, terms.minimum_svn));
            }
        }
        Self::from_json(json!({"version": "1.0.0", "anyOf": elements}))
    }

    /// [`ReleasePolicy::strict`] for one container group under the default terms.
    ///
    /// # Errors
    /// As [`ReleasePolicy::strict`].
    pub fn for_host_data(authority: &Url, host_data: &[u8; 32]) -> Result<Self, KeyVaultError> {
        Self::strict(&ReleaseTerms::new(authority, *host_data))
    }

    /// Takes a policy of the caller's own making.
    ///
    /// # Errors
    /// [`KeyVaultError::Policy`] if it is not one of the grammar or larger than 32 KiB; [`KeyVaultError::AllowAll`] if it
    /// would release to a published policy that allows everything.
    pub fn from_json(policy: Value) -> Result<Self, KeyVaultError> {
        for element in &Policy::read(&policy)?.elements {
            refuse_allow_all(&element.group)?;
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

    /// A policy as a vault shows it, which is what it is: [`evaluate`] judges it.
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

fn element(authority: &str, host_data: &[u8; 32], minimum_svn: Option<u32>) -> Value {
    let mut all = vec![
        json!({"claim": HOST_DATA, "equals": hex::encode(host_data)}),
        json!({"claim": "x-ms-compliance-status", "equals": "azure-compliant-uvm"}),
        json!({"claim": "x-ms-attestation-type", "equals": "sevsnpvm"}),
        json!({"claim": "x-ms-sevsnpvm-is-debuggable", "equals": false}),
        json!({"claim": "x-ms-sevsnpvm-vmpl", "equals": 0}),
    ];
    if let Some(svn) = minimum_svn {
        all.push(json!({"claim": "x-ms-sevsnpvm-guestsvn-int", "greaterOrEquals": svn}));
    }
    json!({"authority": authority, "allOf": all})
}

fn refuse_allow_all(group: &Conditions) -> Result<(), KeyVaultError> {
    for part in &group.parts {
        match part {
            Condition::Group(inner) => refuse_allow_all(inner)?,
            Condition::Claim(claim)
                if claim.operator == Operator::Equals
                    && names_host_data(&claim.name)
                    && allow_all(&claim.expected) =>
            {
                return Err(KeyVaultError::AllowAll {
                    host_data: claim.expected.as_str().unwrap_or_default().to_owned(),
                });
            }
            Condition::Claim(_) => {}
        }
    }
    Ok(())
}

/// Whether a claim is a host data, wherever in the token it stands.
fn names_host_data(claim: &str) -> bool {
    claim.rsplit('.').next() == Some(HOST_DATA)
}

/// Whether a value is the host data of a published policy that allows everything, in either case of its digits.
fn allow_all(value: &Value) -> bool {
    let mut host_data = [0; 32];
    value
        .as_str()
        .is_some_and(|text| hex::decode_to_slice(text, &mut host_data).is_ok())
        && is_allow_all(&host_data)
}

#[cfg(test)]
mod tests;
