use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;

use super::report::{LENGTH, SIGNED};
use super::{AmdError, MEASUREMENT, Platform, vector};

const GUEST_POLICY: u64 = 0x3001f;

/// Signs a version 3 report with the test root's VCEK.
///
/// # Errors
/// The allow-all policies are refused, as everywhere.
pub fn issue_report(host_data: &[u8; 32], report_data: &[u8; 64]) -> Result<Vec<u8>, AmdError> {
    issue_report_on(&Platform::default(), host_data, report_data)
}

/// As [`issue_report`], on another platform.
///
/// # Errors
/// As [`issue_report`].
pub fn issue_report_on(
    platform: &Platform,
    host_data: &[u8; 32],
    report_data: &[u8; 64],
) -> Result<Vec<u8>, AmdError> {
    super::refuse_allow_all(host_data)?;
    let tcb = platform.tcb.to_le_bytes();
    // Version 2 does not say what processor it is of.
    let cpuid = match platform.report_version {
        2 => [0; 3],
        _ => platform.product.cpuid(),
    };
    let mut report_id = [0; 32];
    let random = SystemRandom::new();
    random
        .fill(&mut report_id)
        .map_err(|_| AmdError::Root("no random bytes"))?;
    let mut report = Vec::with_capacity(LENGTH);
    let number = |value: u32| value.to_le_bytes();
    for part in [
        &number(platform.report_version)[..],
        &number(2),
        &GUEST_POLICY.to_le_bytes(),
        &u128::from(1_u8).to_le_bytes(),
        &u128::from(2_u8).to_le_bytes(),
        &number(0),
        &number(1),
        &tcb,
        &0x25_u64.to_le_bytes(),
        &[0; 8],
        report_data,
        &MEASUREMENT,
        host_data,
        &[0; 96],
        &report_id,
        &[0xff; 32],
        &tcb,
        &cpuid,
        &[0; 21],
        &platform.chip_id,
        &tcb,
        &[0x1d, 0x37, 0x01, 0, 0x1d, 0x37, 0x01, 0],
        &tcb,
        &[0; 168],
    ] {
        report.extend_from_slice(part);
    }
    debug_assert_eq!(report.len(), SIGNED);
    let key = PrivatePkcs8KeyDer::from_pem_slice(vector!("vcek.key.pem"))
        .map_err(|_| AmdError::Root("VCEK key"))?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, key.secret_pkcs8_der())
        .map_err(|_| AmdError::Root("VCEK key"))?;
    let signature = key
        .sign(&random, &report)
        .map_err(|_| AmdError::Root("VCEK signature"))?;
    for component in signature.as_ref().chunks(48) {
        report.extend(component.iter().rev());
        report.extend_from_slice(&[0; 24]);
    }
    report.resize(LENGTH, 0);
    Ok(report)
}
