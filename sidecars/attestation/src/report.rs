use crate::AttestError;
use crate::host_data::is_allow_all;

/// Length of an attestation report in bytes.
pub const REPORT_LEN: usize = 1184;

const VERSIONS: std::ops::RangeInclusive<u32> = 2..=5;
const ECDSA_P384_SHA384: u32 = 1;
const POLICY_DEBUG: u64 = 1 << 19;

/// A well-formed SEV-SNP attestation report (AMD's ATTESTATION_REPORT, versions 2 to 5).
///
/// Well-formed says nothing about who signed it. The raw bytes are kept, because signatures cover them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    raw: Box<[u8; REPORT_LEN]>,
    version: u32,
    policy: u64,
    vmpl: u32,
    report_data: [u8; 64],
    measurement: [u8; 48],
    host_data: [u8; 32],
    reported_tcb: u64,
    chip_id: [u8; 64],
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// [`AttestError::BadReport`]: another length, version or signature algorithm, or bytes where the layout has none.
    pub fn parse(bytes: &[u8]) -> Result<Self, AttestError> {
        let raw: &[u8; REPORT_LEN] = bytes
            .try_into()
            .map_err(|_| bad(format!("{} bytes, expected {REPORT_LEN}", bytes.len())))?;
        let mut fields = Fields(raw);
        let version = fields.u32()?;
        if !VERSIONS.contains(&version) {
            return Err(bad(format!("version {version}, expected 2 to 5")));
        }
        let _guest_svn = fields.u32()?;
        let policy = fields.u64()?;
        let _family_and_image = fields.take::<32>()?;
        let vmpl = fields.u32()?;
        let algorithm = fields.u32()?;
        if algorithm != ECDSA_P384_SHA384 {
            return Err(bad(format!("signature algorithm {algorithm}, expected 1")));
        }
        let _current_tcb = fields.u64()?;
        let _platform_and_key_info = fields.take::<16>()?;
        let report_data = *fields.take::<64>()?;
        let measurement = *fields.take::<48>()?;
        let host_data = *fields.take::<32>()?;
        let _digests_and_ids = fields.take::<160>()?;
        let reported_tcb = fields.u64()?;
        let _cpuid_and_reserved = fields.take::<24>()?;
        let chip_id = *fields.take::<64>()?;
        let _tcbs_and_versions = fields.take::<192>()?;
        let r = fields.take::<72>()?;
        let s = fields.take::<72>()?;
        let tail = fields.take::<368>()?;
        let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        let high = |number: &[u8; 72]| number.last_chunk::<24>().is_some_and(|top| zero(top));
        if !high(r) || !high(s) || !zero(tail) {
            return Err(bad("bytes beside the P-384 signature".to_owned()));
        }
        Ok(Self {
            raw: Box::new(*raw),
            version,
            policy,
            vmpl,
            report_data,
            measurement,
            host_data,
            reported_tcb,
            chip_id,
        })
    }

    /// The report as the hardware wrote it.
    pub fn as_bytes(&self) -> &[u8; REPORT_LEN] {
        &self.raw
    }

    /// The same as 2368 lower-case hex digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.raw.as_slice())
    }

    /// Layout version, 2 to 5.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Guest policy bits.
    pub const fn policy(&self) -> u64 {
        self.policy
    }

    /// Whether the host may debug the guest, which ends all confidentiality.
    pub const fn debuggable(&self) -> bool {
        self.policy & POLICY_DEBUG != 0
    }

    /// Privilege level of the requester; `u32::MAX` if the host asked.
    pub const fn vmpl(&self) -> u32 {
        self.vmpl
    }

    /// What the requester had bound: 64 bytes.
    pub const fn report_data(&self) -> &[u8; 64] {
        &self.report_data
    }

    /// Launch digest of the utility VM: 48 bytes.
    pub const fn measurement(&self) -> &[u8; 48] {
        &self.measurement
    }

    /// SHA-256 of the policy that the group was launched with.
    pub const fn host_data(&self) -> &[u8; 32] {
        &self.host_data
    }

    /// The TCB that the signing key was derived for; as a number, its upper-case hex is THIM's `tcbm`.
    pub const fn reported_tcb(&self) -> u64 {
        self.reported_tcb
    }

    /// Chip id, 64 bytes; all zero when masked.
    pub const fn chip_id(&self) -> &[u8; 64] {
        &self.chip_id
    }

    /// Refuses reports of guests to which no key may ever be released.
    ///
    /// # Errors
    /// [`AttestError::AllowAll`] and [`AttestError::Debuggable`].
    pub fn refuse_open_guests(&self) -> Result<(), AttestError> {
        if is_allow_all(&self.host_data) {
            return Err(AttestError::AllowAll {
                host_data: hex::encode(self.host_data),
            });
        }
        if self.debuggable() {
            return Err(AttestError::Debuggable {
                policy: self.policy,
            });
        }
        Ok(())
    }
}

fn bad(reason: String) -> AttestError {
    AttestError::BadReport { reason }
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], AttestError> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or_else(|| bad("ends early".to_owned()))?;
        self.0 = rest;
        Ok(head)
    }

    fn u32(&mut self) -> Result<u32, AttestError> {
        self.take().map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn u64(&mut self) -> Result<u64, AttestError> {
        self.take().map(|bytes| u64::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use sidecar_http::Coded;

    macro_rules! vector {
        ($name:literal) => {
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../tests/vectors/",
                $name
            ))
        };
    }

    const REAL_V2: &[u8] = vector!("attestation/snp_report.bin");

    #[test]
    fn a_real_version_2_report_names_its_policy_and_tcb() {
        let report = Report::parse(REAL_V2).unwrap();
        let policy = STANDARD
            .decode(vector!("attestation/uvm_security_policy.base64").trim_ascii())
            .unwrap();
        assert_eq!(report.version(), 2);
        assert_eq!(report.vmpl(), 0);
        assert_eq!(report.policy(), 0x3001f);
        assert_eq!(
            report.host_data(),
            &cleanroom_crypto::digest::sha256(&policy)
        );
        assert_eq!(
            format!("{:016X}", report.reported_tcb()),
            "7308000000000003"
        );
        assert_eq!(
            hex::encode(&report.report_data()[..32]),
            "ee986ff2bd7e3f22e29f640918627816cf8e23b9d9c312767168eab68c861c71"
        );
        assert_eq!(report.as_bytes(), REAL_V2);
        report.refuse_open_guests().unwrap();
    }

    #[test]
    fn newer_real_reports_parse() {
        let milan = Report::parse(vector!("attestation/platform-cert-fetcher-report.bin")).unwrap();
        assert_eq!(milan.version(), 3);
        assert_eq!(format!("{:016X}", milan.reported_tcb()), "DB18000000000004");
        let vlek = Report::parse(vector!("attestation/vlek-report.bin")).unwrap();
        assert_eq!(vlek.vmpl(), 1);
        assert_eq!(vlek.chip_id(), &[0; 64]);
        let newest = Report::parse(vector!("attestation-mock/report-v5.bin")).unwrap();
        assert_eq!(newest.version(), 5);
        assert_eq!(newest.measurement(), &[0xab; 48]);
    }

    #[test]
    fn a_pre_production_report_is_refused() {
        let error = Report::parse(vector!("attestation/report-v1.bin")).unwrap_err();
        assert_eq!(error.code(), "CR-SKR-0001");
        assert!(error.to_string().contains("version 1"), "{error}");
    }

    #[test]
    fn lengths_algorithms_and_stray_bytes_are_refused() {
        assert!(Report::parse(&REAL_V2[1..]).is_err());
        assert!(Report::parse(&[REAL_V2, &[0]].concat()).is_err());
        for (offset, value) in [
            (0x00, 6),
            (0x34, 2),
            (0x2a0 + 48, 1),
            (0x2e8 + 71, 1),
            (0x49f, 1),
        ] {
            let mut bytes = REAL_V2.to_vec();
            bytes[offset] = value;
            assert!(Report::parse(&bytes).is_err(), "byte {offset:#x}");
        }
    }

    #[test]
    fn allow_all_and_debuggable_guests_are_refused() {
        let allow_all = Report::parse(vector!("attestation-mock/report-v3.bin")).unwrap();
        assert_eq!(
            allow_all.refuse_open_guests().unwrap_err().code(),
            "CR-SKR-0008"
        );
        let mut bytes = REAL_V2.to_vec();
        bytes[0x0a] |= 0x08;
        let debug = Report::parse(&bytes).unwrap();
        assert_eq!(
            debug.refuse_open_guests().unwrap_err().code(),
            "CR-SKR-0009"
        );
    }
}
