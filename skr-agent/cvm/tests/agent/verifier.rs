//! What a verifier does with evidence: all of it, from AMD's root (here the test root) down to nonce and PCRs.

use std::time::SystemTime;

use cvm_evidence::{
    AkCertificate, Attestation, Bound, EvidenceError, HclReport, PcrSelection, Quote, self_check,
};
use snp::{Material, Measurement, MinimumTcb, Requirements, Roots, UvmRoots, verify};

use crate::hcl::mock;

/// Verifies `attestation` for what the verifier asked.
pub(crate) fn check(
    attestation: &Attestation,
    user_data: &[u8; 64],
    nonce: &[u8],
    pcrs: PcrSelection,
) -> Result<(), EvidenceError> {
    let evidence = &attestation.evidence;
    let hcl = HclReport::parse(&evidence.hcl_report)?;
    if hcl.snp_report().as_slice() != evidence.snp_report {
        return Err(EvidenceError::ForeignReport);
    }
    check_report(&hcl, &attestation.platform_certificates);
    self_check(
        &hcl,
        &Quote::parse(&evidence.tpm_quote)?,
        &evidence.pcrs,
        &AkCertificate::trim(&evidence.aik_cert)?,
        Bound {
            nonce,
            user_data,
            pcrs,
        },
    )
}

fn check_report(hcl: &HclReport, chain_pem: &str) {
    let mut requirements = Requirements::new(
        SystemTime::now(),
        snp::report_data(hcl.claims_json()),
        vec![[0; 32]],
        MinimumTcb::shipped(),
    );
    requirements.measurement = Measurement::Unjudged;
    let material = Material {
        report: hcl.snp_report(),
        chain_pem,
        uvm_endorsement: None,
    };
    let roots = Roots::from_pem(mock!("ark-milan.pem")).unwrap();
    let verification = verify(
        material,
        &requirements,
        &roots,
        &UvmRoots::microsoft().unwrap(),
    );
    verification.into_verified().unwrap();
}
