use std::time::Duration;

use cleanroom_crypto::digest::sha256;
use cleanroom_crypto::rsa::PublicKey;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert,
};
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::ExtendedKeyUsage;

use super::{UvmEndorsement, UvmRoots};
use crate::certificate::Certificate;
use crate::error::shown;

const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");

/// The key usage that did:x509 asks for is the leaf's alone, and is looked up there.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

impl UvmEndorsement {
    /// Resolves the issuer: the certificates lead from the leaf to the authority that it names, and the leaf has its usage.
    pub(crate) fn resolve(&self, roots: &UvmRoots) -> Result<String, String> {
        let (leaf_der, authorities) = self
            .chain
            .split_first()
            .ok_or_else(|| "no certificate".to_owned())?;
        let above = authorities
            .iter()
            .position(|der| sha256(der) == *roots.authority())
            .ok_or_else(|| {
                "no certificate above the leaf has the issuer's fingerprint".to_owned()
            })?;
        let leaf = Certificate::parse(leaf_der).map_err(|reason| format!("leaf: {reason}"))?;
        if !usages(&leaf)?.contains(&roots.usage()) {
            return Err(format!(
                "a leaf without extended key usage {}",
                roots.usage()
            ));
        }
        let time = self
            .signing_time()
            .unwrap_or_else(|| leaf.validity().not_after.to_unix_duration());
        let mut links = authorities.iter().take(above.saturating_add(1));
        for link in links.clone() {
            may_issue(link)?;
        }
        let authority = links
            .next_back()
            .map(|der| CertificateDer::from(der.as_slice()))
            .ok_or_else(|| "no authority".to_owned())?;
        let intermediates: Vec<CertificateDer<'_>> = links
            .map(|der| CertificateDer::from(der.as_slice()))
            .collect();
        path(leaf_der, &intermediates, &authority, time)
            .map_err(|error| format!("no path to the authority: {error:?}"))?;
        Ok(format!(
            "{:?} under the issuer's authority",
            leaf.common_name()
        ))
    }

    /// Whether the leaf's key signed.
    pub(crate) fn is_signed(&self) -> bool {
        let key = self
            .chain
            .first()
            .and_then(|der| Certificate::parse(der).ok())
            .and_then(|leaf| leaf.key_info())
            .and_then(|key| PublicKey::from_spki_der(&key).ok());
        key.is_some_and(|key| {
            self.sign1
                .verify_signature(b"", |signature, signed| {
                    key.verify_pss_sha384(signed, signature)
                })
                .is_ok()
        })
    }
}

/// The path's validation below looks at basic constraints, not at key usage (RFC 5280 section 6.1.4 (n)).
fn may_issue(der: &[u8]) -> Result<(), String> {
    let authority = Certificate::parse(der).and_then(|certificate| {
        let name = shown(&certificate.common_name());
        Ok((name, certificate.authority()?))
    });
    match authority {
        Ok((_, authority)) if authority.ca && authority.cert_sign => Ok(()),
        Ok((name, _)) => Err(format!("{name:?} may not issue certificates")),
        Err(reason) => Err(format!("an authority: {reason}")),
    }
}

fn usages(leaf: &Certificate) -> Result<Vec<ObjectIdentifier>, String> {
    match leaf.extension(EXTENDED_KEY_USAGE) {
        Some(extension) => ExtendedKeyUsage::from_der(extension.extn_value.as_bytes())
            .map(|usages| usages.0)
            .map_err(|error| format!("extended key usage: {error}")),
        None => Ok(Vec::new()),
    }
}

fn path(
    leaf: &[u8],
    intermediates: &[CertificateDer<'_>],
    authority: &CertificateDer<'_>,
    time: Duration,
) -> Result<(), webpki::Error> {
    let leaf = CertificateDer::from(leaf);
    let anchor = anchor_from_trusted_cert(authority)?;
    EndEntityCert::try_from(&leaf)?.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &[anchor],
        intermediates,
        UnixTime::since_unix_epoch(time),
        AnyUsage,
        None,
        None,
    )?;
    Ok(())
}
