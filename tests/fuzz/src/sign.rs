//! Who signs for the fuzzer: it cannot forge, and what stands behind a signature must be reached too.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cleanroom_crypto::rsa::PrivateKey;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, TrustAnchor};
use serde_json::{Value, json};
use sidecar_http::Trust;

use crate::vector_text;

/// The RSA key of tokens and vaults.
pub static RSA: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::from_pem(RSA_PEM).unwrap());

const RSA_PEM: &str = vector_text!("attestation-mock/maa-signing.key.pem");

static VCEK: LazyLock<EcdsaKeyPair> = LazyLock::new(|| {
    let pem = vector_text!("attestation-mock/vcek.key.pem");
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let der = der.secret_der();
    EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_FIXED_SIGNING, der).unwrap()
});

/// Signs bytes 0 to 0x29f of a report as the mock leaf's chip: r and s in little-endian order.
pub fn report(report: &mut [u8; 1184]) {
    let (signed, rest) = report.split_at_mut(0x2a0);
    let signature = VCEK.sign(&SystemRandom::new(), signed).unwrap();
    let numbers = signature.as_ref().chunks(48);
    for (field, number) in rest.chunks_mut(72).zip(numbers) {
        field.fill(0);
        field
            .iter_mut()
            .zip(number.iter().rev())
            .for_each(|(to, from)| *to = *from);
    }
}

/// A compact JWS of `payload` under [`RSA`].
pub fn jws(header: &Value, payload: &[u8]) -> String {
    let header = URL_SAFE_NO_PAD.encode(header.to_string());
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let signature = RSA.sign_pkcs1_sha256(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A vault that signs with [`RSA`].
pub struct Vault {
    /// Protected header of its answers.
    pub header: Value,
    /// Its root, and the one of the recorded answers.
    pub anchors: Vec<TrustAnchor<'static>>,
}

impl Vault {
    /// The vault of this host, under a root made for this process.
    pub fn new(host: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = Issuer::new(params.clone(), KeyPair::generate().unwrap());
        let root_pem = params.self_signed(root.key()).unwrap().pem();
        let mut leaf = CertificateParams::new(vec![host.to_owned()]).unwrap();
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = leaf
            .signed_by(&KeyPair::from_pem(RSA_PEM).unwrap(), &root)
            .unwrap();
        let anchors = Trust::only_pem(vector_text!("keyvault/akv-root.pem").as_bytes())
            .and_then(|trust| trust.with_extra_pem(root_pem.as_bytes()))
            .unwrap()
            .anchors();
        Self {
            header: json!({"alg": "RS256", "kid": "fuzz", "x5c": [STANDARD.encode(leaf.der())]}),
            anchors,
        }
    }
}
