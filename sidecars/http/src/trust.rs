use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::HttpsError;

/// Installs the process-wide TLS provider (aws-lc-rs). Further calls do nothing.
pub fn install_crypto_provider() {
    // An error means that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Whom an HTTPS client believes. There is no look-up of roots or proxies in the environment.
#[derive(Clone, Debug)]
pub struct Trust {
    roots: RootCertStore,
    any_name: bool,
    resolve: Vec<(String, SocketAddr)>,
}

impl Trust {
    /// The compiled-in web roots.
    pub fn web() -> Self {
        Self::of(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
    }

    /// Only the certificates of `pem`; host names are checked.
    ///
    /// # Errors
    /// [`HttpsError::Roots`] if there is no readable certificate.
    pub fn only_pem(pem: &[u8]) -> Result<Self, HttpsError> {
        Self::of(RootCertStore::empty()).with_extra_pem(pem)
    }

    /// Only the certificates of `pem`, whatever the host name: for CCF, whose nodes are identified by the service
    /// certificate that signs them and not by a name.
    ///
    /// # Errors
    /// [`HttpsError::Roots`] if there is no readable certificate.
    pub fn only_pem_any_name(pem: &[u8]) -> Result<Self, HttpsError> {
        let mut trust = Self::only_pem(pem)?;
        trust.any_name = true;
        Ok(trust)
    }

    /// The same with the certificates of `pem` as further roots.
    ///
    /// # Errors
    /// [`HttpsError::Roots`] if there is no readable certificate.
    pub fn with_extra_pem(mut self, pem: &[u8]) -> Result<Self, HttpsError> {
        let mut added = 0_usize;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| HttpsError::Roots {
                reason: error.to_string(),
            })?;
            self.roots
                .add(certificate)
                .map_err(|error| HttpsError::Roots {
                    reason: error.to_string(),
                })?;
            added += 1;
        }
        if added == 0 {
            return Err(HttpsError::Roots {
                reason: "no certificate in the PEM text".to_owned(),
            });
        }
        Ok(self)
    }

    /// The same, with a fixed address for one host name: for services that no resolver knows.
    #[must_use]
    pub fn with_resolve(mut self, host: &str, address: SocketAddr) -> Self {
        self.resolve.push((host.to_owned(), address));
        self
    }

    /// The trust anchors, for signatures that chain to the same roots (a vault's JWS).
    pub fn anchors(&self) -> Vec<TrustAnchor<'static>> {
        self.roots.roots.clone()
    }

    const fn of(roots: RootCertStore) -> Self {
        Self {
            roots,
            any_name: false,
            resolve: Vec::new(),
        }
    }

    pub(crate) fn overrides(&self) -> &[(String, SocketAddr)] {
        &self.resolve
    }

    pub(crate) fn config(
        &self,
        identity: Option<(&[u8], &[u8])>,
    ) -> Result<ClientConfig, HttpsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Arc::new(Verifier {
            roots: self.roots.clone(),
            any_name: self.any_name,
            provider: Arc::clone(&provider),
        });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| HttpsError::Tls {
                reason: error.to_string(),
            })?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        match identity {
            None => Ok(config.with_no_client_auth()),
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_slice_iter(certificate)
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| HttpsError::Tls {
                        reason: format!("client certificate: {error}"),
                    })?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| HttpsError::Tls {
                    reason: "client key: not a PEM private key".to_owned(),
                })?;
                config
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| HttpsError::Tls {
                        reason: format!("client certificate: {error}"),
                    })
            }
        }
    }
}

/// The usual web PKI checks, with the host name left out where the pin says who the peer is.
#[derive(Debug)]
struct Verifier {
    roots: RootCertStore,
    any_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        if !self.any_name {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
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
        rustls::crypto::verify_tls13_signature(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roots_of_azures_public_services_are_compiled_in() {
        let roots = Trust::web().roots;
        for name in [
            "DigiCert Global Root G2",
            "Microsoft RSA Root Certificate Authority 2017",
        ] {
            let found = roots.roots.iter().any(|anchor| {
                let subject: &[u8] = anchor.subject.as_ref();
                subject
                    .windows(name.len())
                    .any(|part| part == name.as_bytes())
            });
            assert!(found, "{name}");
        }
    }
}
