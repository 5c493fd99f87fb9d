use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA384, UnparsedPublicKey};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Header, Reader, SliceReader};

use super::{AmdError, vector};

const ARK: &[u8] = vector!("ark-milan.pem");
const ASK: &[u8] = vector!("ask-milan.pem");
const VCEK: &[u8] = vector!("vcek-milan.pem");

/// PEM of the test root.
pub fn ark_pem() -> String {
    String::from_utf8_lossy(ARK).into_owned()
}

/// PEM of the issued reports' chain: VCEK, ASK, ARK.
pub fn chain_pem() -> String {
    format!("{}{}", vcek_pem(), authorities_pem())
}

pub(super) fn vcek_pem() -> String {
    String::from_utf8_lossy(VCEK).into_owned()
}

pub(super) fn authorities_pem() -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(ASK),
        String::from_utf8_lossy(ARK)
    )
}

/// What a chain under the test root vouches for.
pub(super) struct Chain {
    /// Uncompressed P-384 point of the leaf.
    pub(super) key: Vec<u8>,
    pub(super) tcb: [u8; 8],
    pub(super) hardware_id: [u8; 64],
}

impl Chain {
    pub(super) fn verify(pem: &str) -> Result<Self, AmdError> {
        let ders = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| bad(format!("not PEM: {error}")))?;
        let [leaf_der, ask_der, ark_der] = ders.as_slice() else {
            return Err(bad(format!(
                "{} certificates, expected VCEK, ASK, ARK",
                ders.len()
            )));
        };
        let root = CertificateDer::from_pem_slice(ARK).map_err(|_| AmdError::Root("ARK"))?;
        if *ark_der != root {
            return Err(bad("its root is not the test root".to_owned()));
        }
        let (leaf, ask, ark) = (read(leaf_der)?, read(ask_der)?, read(ark_der)?);
        for (name, certificate) in [("VCEK", &leaf), ("ASK", &ask), ("ARK", &ark)] {
            in_force(name, certificate)?;
        }
        signed_by("ASK", ask_der, &ask, &ark)?;
        signed_by("VCEK", leaf_der, &leaf, &ask)?;
        let subject = leaf.tbs_certificate().subject().to_string();
        if !subject.contains("CN=SEV-VCEK") {
            return Err(bad(format!("the leaf is {subject}, expected CN=SEV-VCEK")));
        }
        let hardware_id = extension(&leaf, "1.3.6.1.4.1.3704.1.4")?;
        Ok(Self {
            key: key(&leaf).to_vec(),
            tcb: [
                number(&leaf, "1.3.6.1.4.1.3704.1.3.1")?,
                number(&leaf, "1.3.6.1.4.1.3704.1.3.2")?,
                0,
                0,
                0,
                0,
                number(&leaf, "1.3.6.1.4.1.3704.1.3.3")?,
                number(&leaf, "1.3.6.1.4.1.3704.1.3.8")?,
            ],
            hardware_id: hardware_id
                .try_into()
                .map_err(|_| bad("the hardware id is not 64 bytes".to_owned()))?,
        })
    }
}

fn bad(reason: String) -> AmdError {
    AmdError::Chain(reason)
}

fn read(der: &CertificateDer<'_>) -> Result<Certificate, AmdError> {
    Certificate::from_der(der).map_err(|error| bad(format!("not X.509: {error}")))
}

fn key(certificate: &Certificate) -> &[u8] {
    let spki = certificate.tbs_certificate().subject_public_key_info();
    spki.subject_public_key.raw_bytes()
}

fn in_force(name: &str, certificate: &Certificate) -> Result<(), AmdError> {
    let validity = certificate.tbs_certificate().validity();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    if now < validity.not_before.to_unix_duration() || now > validity.not_after.to_unix_duration() {
        return Err(bad(format!(
            "{name} is in force from {} to {} only",
            validity.not_before, validity.not_after
        )));
    }
    Ok(())
}

/// The signed part as it was transmitted: AMD's own certificates do not survive decoding and encoding.
pub(super) fn signed_part(der: &[u8]) -> Option<&[u8]> {
    let mut outer = SliceReader::new(der).ok()?;
    Header::decode(&mut outer).ok()?;
    outer.tlv_bytes().ok()
}

fn signed_by(
    name: &str,
    der: &[u8],
    certificate: &Certificate,
    issuer: &Certificate,
) -> Result<(), AmdError> {
    let tbs = signed_part(der).ok_or_else(|| bad(format!("{name} is not X.509")))?;
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, key(issuer))
        .verify(tbs, certificate.signature().raw_bytes())
        .map_err(|_| bad(format!("{name} is not signed by its issuer")))
}

fn extension<'a>(certificate: &'a Certificate, oid: &str) -> Result<&'a [u8], AmdError> {
    certificate
        .tbs_certificate()
        .extensions()
        .and_then(|all| all.iter().find(|one| one.extn_id.to_string() == oid))
        .map(|one| one.extn_value.as_bytes())
        .ok_or_else(|| bad(format!("the leaf has no extension {oid}")))
}

fn number(certificate: &Certificate, oid: &str) -> Result<u8, AmdError> {
    u8::from_der(extension(certificate, oid)?)
        .map_err(|_| bad(format!("extension {oid} is not a number below 256")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(pem: &str) -> String {
        match Chain::verify(pem) {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_test_chain_vouches_for_its_tcb_and_chip() {
        let chain = Chain::verify(&chain_pem()).unwrap();
        assert_eq!(chain.tcb, [4, 0, 0, 0, 0, 0, 0x18, 0xdb]);
    }

    #[test]
    fn foreign_expired_and_reordered_chains_are_refused() {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let expired = text(vector!("vcek-milan-expired.pem")) + &authorities_pem();
        assert!(refusal(&expired).contains("in force"));
        assert!(
            refusal(&format!("{}{}{}", vcek_pem(), text(ARK), text(ASK))).contains("test root")
        );
        assert!(
            refusal(&format!("{}{}{}", vcek_pem(), text(ARK), text(ARK))).contains("not signed")
        );
        assert!(refusal(&vcek_pem()).contains("1 certificates"));
        assert!(refusal("").contains("0 certificates"));
    }
}
