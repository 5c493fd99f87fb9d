//! Members: a certificate, a status and what governance says of them.
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// Whether a member has acknowledged the service's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Added; its vote does not count and it proposes nothing.
    Accepted,
    /// Takes part.
    Active,
}

/// A member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) status: Status,
    pub(super) data: Value,
    pub(super) certificate: String,
    pub(super) encryption_key: Option<String>,
    pub(super) recovery_role: String,
    /// Uncompressed point of its signing key: 65, 97 or 133 bytes by curve.
    pub(super) key: Vec<u8>,
}

impl Member {
    /// Reads a certificate; gives the member's id, hex SHA-256 of the DER, with a member in status Accepted.
    pub(super) fn read(pem: &str, data: Value) -> Result<(String, Self), String> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|e| format!("not a PEM certificate: {e}"))?;
        let certificate = Certificate::from_der(&der).map_err(|e| format!("not X.509: {e}"))?;
        let spki = certificate.tbs_certificate().subject_public_key_info();
        let key = spki.subject_public_key.raw_bytes().to_vec();
        let curve = matches!(key.len(), 65 | 97 | 133) && key.first() == Some(&4);
        if !curve || spki.algorithm.oid.to_string() != "1.2.840.10045.2.1" {
            return Err("the key is not on P-256, P-384 or P-521".to_owned());
        }
        let member = Self {
            status: Status::Accepted,
            data,
            certificate: pem.to_owned(),
            encryption_key: None,
            recovery_role: "NonParticipant".to_owned(),
            key,
        };
        Ok((member_id(&der), member))
    }

    /// Runs the service; may pass the operator's actions alone.
    pub(super) fn is_operator(&self) -> bool {
        flag(&self.data, "isOperator")
    }

    /// Whether contracts need its vote: collaborators, not those who run the service.
    pub(super) fn is_collaborator(&self) -> bool {
        let runs = self.is_operator() || flag(&self.data, "isRecoveryOperator");
        !(runs || self.role("cgsOperator") || self.role("contractOperator"))
    }

    /// Whether `member_data.cgsRoles` gives it this role.
    pub(super) fn role(&self, name: &str) -> bool {
        self.data
            .pointer("/cgsRoles")
            .and_then(|roles| roles.get(name))
            .is_some_and(|role| *role == "true")
    }

    pub(super) fn tenant(&self) -> Option<&str> {
        self.data
            .get("tenantId")
            .and_then(Value::as_str)
            .filter(|tenant| !tenant.is_empty())
    }

    pub(super) fn shown(&self, id: &str) -> Value {
        let status = match self.status {
            Status::Accepted => "Accepted",
            Status::Active => "Active",
        };
        let mut shown = json!({
            "memberId": id, "status": status, "memberData": self.data,
            "certificate": self.certificate, "recoveryRole": self.recovery_role,
        });
        if let (Some(key), Some(shown)) = (&self.encryption_key, shown.as_object_mut()) {
            shown.insert("publicEncryptionKey".to_owned(), json!(key));
        }
        shown
    }
}

/// `member_data.<name>` is true.
pub(super) fn flag(data: &Value, name: &str) -> bool {
    data.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// Hex SHA-256 of a certificate's DER.
pub(super) fn member_id(der: &[u8]) -> String {
    hex::encode(Sha256::digest(der))
}
