//! The mock attestation root of `tests/vectors/attestation-mock`, whose private keys are public.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use snp::{MinimumTcb, Requirements, Roots, UvmRoots, Verification};

use crate::{vector, vector_text};

/// What an accepted report binds.
pub const REPORT_DATA: [u8; 64] = [0x22; 64];
/// The one policy that an accepted report's group may run under.
pub const HOST_DATA: [u8; 32] = [0x11; 32];
/// When everything is judged, in seconds since 1970: the certificates of the vectors are in force.
pub const NOW: i64 = 1_790_000_000;

/// PEM of the leaf, its intermediate, its root.
pub const LEAF: &str = vector_text!("attestation-mock/vcek-milan.pem");
/// The intermediate.
pub const INTERMEDIATE: &str = vector_text!("attestation-mock/ask-milan.pem");
/// The root.
pub const ROOT: &str = vector_text!("attestation-mock/ark-milan.pem");

/// A good version 3 report of the leaf.
pub const REPORT: &[u8] = vector!("attestation-mock/report-v3.bin");

/// The whole chain.
pub static CHAIN: LazyLock<String> = LazyLock::new(|| [LEAF, INTERMEDIATE, ROOT].concat());

static ROOTS: LazyLock<(Roots, UvmRoots)> = LazyLock::new(|| {
    let issuer = vector_text!("attestation-mock/uvm-did.txt").trim();
    (
        Roots::from_pem(ROOT).unwrap(),
        UvmRoots::custom(issuer, "ContainerPlat-AMD-UVM", 104).unwrap(),
    )
});

/// The shipped requirements, for [`REPORT_DATA`] and [`HOST_DATA`] at [`NOW`].
pub fn requirements() -> Requirements {
    Requirements::new(
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.unsigned_abs()),
        REPORT_DATA,
        vec![HOST_DATA],
        MinimumTcb::shipped(),
    )
}

/// Judges by the mock roots.
pub fn verify(material: snp::Material<'_>, requirements: &Requirements) -> Verification {
    let verification = snp::verify(material, requirements, &ROOTS.0, &ROOTS.1);
    assert_eq!(verification.checks().len(), snp::CheckId::ALL.len());
    let accepted = verification.accepted();
    assert_eq!(accepted, verification.failure().is_none());
    assert_eq!(accepted, verification.clone().into_verified().is_ok());
    verification
}

/// Whether a row of the table is there and passed.
pub fn passed(verification: &Verification, id: snp::CheckId) -> bool {
    let check = verification.check(id);
    check.is_some_and(|check| check.verdict == snp::Verdict::Passed)
}

/// PEM of a certificate.
pub fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// The certificates in PEM.
pub fn ders(pem: &str) -> Vec<Vec<u8>> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject as _;
    let ders = CertificateDer::pem_slice_iter(pem.as_bytes());
    ders.map(|der| der.unwrap().to_vec()).collect()
}

/// The first element of a signed DER sequence whose lengths take two bytes each: what its signature covers.
pub fn signed_part(der: &[u8]) -> &[u8] {
    let [0x30, 0x82, _, _, 0x30, 0x82, high, low, ..] = *der else {
        panic!("no certificate of the vectors");
    };
    &der[4..][..4 + usize::from(u16::from_be_bytes([high, low]))]
}

/// Whether `part` stands in `whole`.
pub fn contains(whole: &[u8], part: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}
