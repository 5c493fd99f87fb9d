use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

use super::chain::Chain;
use super::{AmdError, refuse_allow_all};

/// What a verified report says.
#[derive(Clone, Debug)]
pub struct SnpReport {
    /// Layout version.
    pub version: u32,
    /// Guest SVN.
    pub guest_svn: u32,
    /// Guest policy bits.
    pub policy: u64,
    /// Family id, 16 bytes.
    pub family_id: [u8; 16],
    /// Image id, 16 bytes.
    pub image_id: [u8; 16],
    /// Privilege level of the requester.
    pub vmpl: u32,
    /// Bound by the requester.
    pub report_data: [u8; 64],
    /// Launch digest of the utility VM.
    pub measurement: [u8; 48],
    /// SHA-256 of the policy.
    pub host_data: [u8; 32],
    /// Digest of the id key.
    pub id_key_digest: [u8; 48],
    /// Digest of the author key.
    pub author_key_digest: [u8; 48],
    /// Report id.
    pub report_id: [u8; 32],
    /// TCB as little-endian bytes: boot loader, TEE, four reserved, SNP firmware, microcode.
    pub reported_tcb: [u8; 8],
    /// Chip id.
    pub chip_id: [u8; 64],
}

impl SnpReport {
    /// Whether the host may debug the guest.
    pub const fn debuggable(&self) -> bool {
        self.policy & (1 << 19) != 0
    }

    /// Whether a migration agent may move the guest.
    pub const fn migration_allowed(&self) -> bool {
        self.policy & (1 << 18) != 0
    }

    /// Whether the guest may run on sibling threads.
    pub const fn smt_allowed(&self) -> bool {
        self.policy & (1 << 16) != 0
    }
}

pub(super) const LENGTH: usize = 0x4a0;
pub(super) const SIGNED: usize = 0x2a0;

pub(super) fn field<const N: usize>(report: &[u8], offset: usize) -> Result<[u8; N], AmdError> {
    report
        .get(offset..offset + N)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| AmdError::Report(format!("no bytes at {offset:#x}")))
}

/// Judges a report as a service does: the chain must end in the test root, the leaf must be the one for the report's chip
/// and TCB, its key must have signed, and the guest must be neither debuggable nor under a policy that allows everything.
///
/// # Errors
/// The first check that failed.
pub fn verify_report(report: &[u8], chain_pem: &str) -> Result<SnpReport, AmdError> {
    let parsed = parse(report)?;
    let chain = Chain::verify(chain_pem)?;
    if chain.tcb != parsed.reported_tcb {
        return Err(AmdError::Chain(format!(
            "the leaf vouches for TCB {}, the report says {}",
            hex::encode(chain.tcb),
            hex::encode(parsed.reported_tcb)
        )));
    }
    if chain.hardware_id != parsed.chip_id {
        return Err(AmdError::Chain(
            "the leaf belongs to another chip".to_owned(),
        ));
    }
    let signed = report.get(..SIGNED).unwrap_or_default();
    let signature = [component(report, 0x2a0)?, component(report, 0x2e8)?].concat();
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &chain.key)
        .verify(signed, &signature)
        .map_err(|_| AmdError::Signature)?;
    if parsed.debuggable() {
        return Err(AmdError::Report(
            "the guest policy allows debugging".to_owned(),
        ));
    }
    if parsed.vmpl != 0 {
        return Err(AmdError::Report(format!(
            "vmpl {}, expected 0",
            parsed.vmpl
        )));
    }
    refuse_allow_all(&parsed.host_data)?;
    Ok(parsed)
}

fn parse(report: &[u8]) -> Result<SnpReport, AmdError> {
    if report.len() != LENGTH {
        return Err(AmdError::Report(format!(
            "{} bytes, expected {LENGTH}",
            report.len()
        )));
    }
    let version = u32::from_le_bytes(field(report, 0)?);
    if !(2..=5).contains(&version) {
        return Err(AmdError::Report(format!(
            "version {version}, expected 2 to 5"
        )));
    }
    let algorithm = u32::from_le_bytes(field(report, 0x34)?);
    if algorithm != 1 {
        return Err(AmdError::Report(format!(
            "signature algorithm {algorithm}, expected 1"
        )));
    }
    let signer = u32::from_le_bytes(field(report, 0x48)?) >> 2 & 7;
    if signer != 0 {
        return Err(AmdError::Report(format!(
            "signing key {signer}, expected 0 (VCEK)"
        )));
    }
    if report
        .get(0x330..)
        .unwrap_or_default()
        .iter()
        .any(|byte| *byte != 0)
    {
        return Err(AmdError::Report("bytes after the signature".to_owned()));
    }
    Ok(SnpReport {
        version,
        guest_svn: u32::from_le_bytes(field(report, 0x04)?),
        policy: u64::from_le_bytes(field(report, 0x08)?),
        family_id: field(report, 0x10)?,
        image_id: field(report, 0x20)?,
        vmpl: u32::from_le_bytes(field(report, 0x30)?),
        report_data: field(report, 0x50)?,
        measurement: field(report, 0x90)?,
        host_data: field(report, 0xc0)?,
        id_key_digest: field(report, 0xe0)?,
        author_key_digest: field(report, 0x110)?,
        report_id: field(report, 0x140)?,
        reported_tcb: field(report, 0x180)?,
        chip_id: field(report, 0x1a0)?,
    })
}

/// One little-endian number of the signature as 48 big-endian bytes.
fn component(report: &[u8], offset: usize) -> Result<[u8; 48], AmdError> {
    let mut number: [u8; 48] = field(report, offset)?;
    let high: [u8; 24] = field(report, offset + 48)?;
    if high != [0; 24] {
        return Err(AmdError::Report(
            "a signature number longer than 384 bits".to_owned(),
        ));
    }
    number.reverse();
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::super::{chain_pem, issue_report, vector};
    use super::*;

    const HOST_DATA: [u8; 32] = [7; 32];

    #[test]
    fn an_issued_report_is_accepted_with_what_it_binds() {
        let report = issue_report(&HOST_DATA, &[9; 64]).unwrap();
        let snp = verify_report(&report, &chain_pem()).unwrap();
        assert_eq!(snp.host_data, HOST_DATA);
        assert_eq!(snp.report_data, [9; 64]);
        assert_eq!(snp.version, 3);
    }

    #[test]
    fn every_flipped_byte_is_refused() {
        let report = issue_report(&HOST_DATA, &[9; 64]).unwrap();
        let chain = chain_pem();
        for offset in [
            0x04, 0x50, 0x8f, 0x90, 0xc0, 0xdf, 0x180, 0x1a0, 0x29f, 0x2a0, 0x2cf, 0x2e8, 0x320,
            0x330, 0x49f,
        ] {
            let mut bytes = report.clone();
            bytes[offset] ^= 1;
            assert!(verify_report(&bytes, &chain).is_err(), "byte {offset:#x}");
        }
        assert!(verify_report(&report[..LENGTH - 1], &chain).is_err());
    }

    #[test]
    fn well_signed_reports_of_open_guests_and_other_chips_are_refused() {
        for (report, reason) in [
            (&vector!("report-v3.bin")[..], "allows everything"),
            (&vector!("report-debug.bin")[..], "debugging"),
            (&vector!("report-vmpl1.bin")[..], "vmpl 1"),
            (&vector!("report-wrong-chip.bin")[..], "another chip"),
            (&vector!("report-turin-v3.bin")[..], "TCB"),
        ] {
            let error = verify_report(report, &chain_pem()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
