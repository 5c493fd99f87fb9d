//! The CCF service identity and the one node under it; both keys die with the process.
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PublicKeyData as _,
};
use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::CgsError;

const NODE_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "cgs.operator.example"];
/// CCF's default validity.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Clients' clocks may be behind.
const BACKDATED: Duration = Duration::from_secs(60 * 60);

pub(super) struct Identity {
    service: CertifiedIssuer<'static, KeyPair>,
    node: CertificateDer<'static>,
    node_key: Vec<u8>,
    node_id: String,
}

impl Identity {
    pub(super) fn generate() -> Result<Self, CgsError> {
        let mut params = named("CCF Network", Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let service =
            CertifiedIssuer::self_signed(params, KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
        let mut params = named("CCF Node", NODE_NAMES.map(str::to_owned).to_vec())?;
        params.use_authority_key_identifier_extension = true;
        let node = params.signed_by(&key, &service)?.der().clone();
        let node_id = hex::encode(Sha256::digest(key.subject_public_key_info()));
        Ok(Self {
            service,
            node,
            node_key: key.serialize_der(),
            node_id,
        })
    }

    pub(super) fn service_pem(&self) -> String {
        self.service.pem()
    }

    pub(super) fn node_tls(&self) -> (Vec<CertificateDer<'static>>, Vec<u8>) {
        (
            vec![self.node.clone(), self.service.der().clone()],
            self.node_key.clone(),
        )
    }

    pub(super) fn node_id(&self) -> &str {
        &self.node_id
    }
}

fn named(common_name: &str, names: Vec<String>) -> Result<CertificateParams, CgsError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BACKDATED;
    params.not_after = now + VALIDITY;
    Ok(params)
}
