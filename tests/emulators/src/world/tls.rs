//! TLS of the two listeners: a leaf per host name, and client certificates that prove a key without a chain.
use std::collections::HashMap;
use std::sync::Arc;

use rcgen::KeyPair;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use super::{Authority, WorldError};

const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The shared Azure port: each host name gets its own leaf. A client that names no host (an IP literal) gets the
/// loopback leaf; an unknown name gets none, so that the handshake fails as at a real front end.
pub(super) fn azure(
    authority: &Authority,
    hosts: &[String],
) -> Result<Arc<ServerConfig>, WorldError> {
    let key = KeyPair::generate()?;
    let signer = provider()
        .key_provider
        .load_private_key(private_key(key.serialize_der())?)?;
    let certified = |names: &[&str]| -> Result<Arc<CertifiedKey>, WorldError> {
        let chain = vec![authority.leaf(names, &key)?, authority.der()];
        Ok(Arc::new(CertifiedKey::new(chain, Arc::clone(&signer))))
    };
    let loopback = certified(&["localhost", "127.0.0.1"])?;
    let mut leaves = HashMap::from([("localhost".to_owned(), Arc::clone(&loopback))]);
    for host in hosts {
        leaves.insert(host.clone(), certified(&[host])?);
    }
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(BySni { leaves, loopback }));
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

/// The CGS port: the node certificate, and any client certificate whose key signed the handshake.
pub(super) fn cgs(
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
) -> Result<Arc<ServerConfig>, WorldError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(AnyClient {
            provider: provider(),
        }))
        .with_single_cert(chain, private_key(key)?)?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

fn private_key(der: Vec<u8>) -> Result<PrivateKeyDer<'static>, WorldError> {
    PrivateKeyDer::try_from(der).map_err(|text| WorldError::Key(text.to_owned()))
}

#[derive(Debug)]
struct BySni {
    leaves: HashMap<String, Arc<CertifiedKey>>,
    loopback: Arc<CertifiedKey>,
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match hello.server_name() {
            Some(name) => self.leaves.get(&name.to_ascii_lowercase()).cloned(),
            None => Some(Arc::clone(&self.loopback)),
        }
    }
}

/// CCF knows its members by certificate, not by issuer: whoever holds the key may connect, CGS decides who that is.
#[derive(Debug)]
struct AnyClient {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
