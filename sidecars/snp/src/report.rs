use std::fmt;

use crate::error::refused;
use crate::{CheckId, Product, SnpError};

/// Length of an attestation report in bytes.
pub const REPORT_LEN: usize = 1184;

/// Number of leading bytes that the signature covers.
pub(crate) const SIGNED_LEN: usize = 0x2a0;

const ECDSA_P384_SHA384: u32 = 1;

mod policy {
    pub(super) const MUST_BE_ONE: u64 = 1 << 17;
    pub(super) const MIGRATE_MA: u64 = 1 << 18;
    pub(super) const DEBUG: u64 = 1 << 19;
    pub(super) const RESERVED: u64 = !0 << 26;
}

mod key_info {
    pub(super) const AUTHOR_KEY_EN: u32 = 1;
    pub(super) const MASK_CHIP_KEY: u32 = 1 << 1;
    pub(super) const RESERVED: u32 = !0 << 5;
}

/// A well-formed SEV-SNP attestation report (AMD's ATTESTATION_REPORT, versions 2 to 5).
///
/// Well-formed says nothing about who signed it. The bytes are kept as received, because the signature covers them and not
/// what some decoder made of them; every accessor reads from them.
#[derive(Clone, Eq, PartialEq)]
pub struct Report(Box<[u8; REPORT_LEN]>);

/// The kind of key that signed a report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SigningKey {
    /// Derived by the chip from its own secret.
    Vcek,
    /// Derived from a secret that AMD gave to the cloud provider.
    Vlek,
    /// No key, or one unknown here.
    Other(u8),
}

impl SigningKey {
    /// Common name of the certificate of such a key.
    pub const fn common_name(self) -> Option<&'static str> {
        match self {
            Self::Vcek => Some("SEV-VCEK"),
            Self::Vlek => Some("SEV-VLEK"),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vcek => f.write_str("VCEK"),
            Self::Vlek => f.write_str("VLEK"),
            Self::Other(7) => f.write_str("none"),
            Self::Other(value) => write!(f, "key kind {value}"),
        }
    }
}

/// The processor that wrote a report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cpuid {
    /// Combined family.
    pub family: u8,
    /// Combined model.
    pub model: u8,
    /// Stepping.
    pub stepping: u8,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// The first of [`CheckId::ReportLength`], [`CheckId::ReportVersion`], [`CheckId::SignatureAlgorithm`] and
    /// [`CheckId::SignaturePadding`] that fails.
    pub fn parse(bytes: &[u8]) -> Result<Self, SnpError> {
        let report = Self::of_length(bytes)?;
        report.check_version()?;
        report.check_algorithm()?;
        report.check_padding()?;
        Ok(report)
    }

    pub(crate) fn of_length(bytes: &[u8]) -> Result<Self, SnpError> {
        let raw: &[u8; REPORT_LEN] = bytes.try_into().map_err(|_| {
            refused(
                CheckId::ReportLength,
                format!("{REPORT_LEN} bytes"),
                format!("{} bytes", bytes.len()),
            )
        })?;
        Ok(Self(Box::new(*raw)))
    }

    pub(crate) fn check_version(&self) -> Result<String, SnpError> {
        let actual = format!("version {}", self.version());
        if (2..=5).contains(&self.version()) {
            Ok(actual)
        } else {
            Err(refused(
                CheckId::ReportVersion,
                "a version from 2 to 5",
                actual,
            ))
        }
    }

    pub(crate) fn check_algorithm(&self) -> Result<String, SnpError> {
        let algorithm = self.u32::<0x034>();
        let actual = format!("algorithm {algorithm}");
        if algorithm == ECDSA_P384_SHA384 {
            Ok(actual)
        } else {
            Err(refused(CheckId::SignatureAlgorithm, "algorithm 1", actual))
        }
    }

    pub(crate) fn check_padding(&self) -> Result<String, SnpError> {
        self.zero(
            CheckId::SignaturePadding,
            &[
                (0x2d0, self.at::<0x2d0, 24>()),
                (0x318, self.at::<0x318, 24>()),
                (0x330, self.at::<0x330, 368>()),
            ],
        )
    }

    pub(crate) fn check_reserved(&self) -> Result<String, SnpError> {
        let policy = self.policy();
        if policy & policy::MUST_BE_ONE == 0 || policy & policy::RESERVED != 0 {
            return Err(refused(
                CheckId::ReservedFields,
                "guest policy with bit 17 set, bits 63:26 clear",
                format!("{policy:#x}"),
            ));
        }
        let key_info = self.key_info();
        if key_info & key_info::RESERVED != 0 {
            return Err(refused(
                CheckId::ReservedFields,
                "key info with bits 31:5 clear",
                format!("{key_info:#x}"),
            ));
        }
        let cpuid: &[u8] = match self.cpuid() {
            Some(_) => &[],
            None => self.at::<0x188, 3>(),
        };
        let mitigations: &[u8] = if self.version() < 5 {
            self.at::<0x1f8, 16>()
        } else {
            &[]
        };
        self.zero(
            CheckId::ReservedFields,
            &[
                (0x04c, self.at::<0x04c, 4>()),
                (0x188, cpuid),
                (0x18b, self.at::<0x18b, 21>()),
                (0x1eb, self.at::<0x1eb, 1>()),
                (0x1ef, self.at::<0x1ef, 1>()),
                (0x1f8, mitigations),
                (0x208, self.at::<0x208, 152>()),
            ],
        )
    }

    fn zero(&self, check: CheckId, ranges: &[(usize, &[u8])]) -> Result<String, SnpError> {
        for (offset, bytes) in ranges {
            if let Some(at) = bytes.iter().position(|byte| *byte != 0) {
                let actual = format!("another value at {:#x}", offset.saturating_add(at));
                return Err(refused(check, "zero", actual));
            }
        }
        Ok("zero".to_owned())
    }

    /// The report as the hardware wrote it.
    pub fn as_bytes(&self) -> &[u8; REPORT_LEN] {
        &self.0
    }

    /// The same as 2368 lower-case hex digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0.as_slice())
    }

    /// Layout version, 2 to 5.
    pub fn version(&self) -> u32 {
        self.u32::<0x000>()
    }

    /// Version of the guest as its identity block states it. It is not the version of the utility VM's endorsement.
    pub fn guest_svn(&self) -> u32 {
        self.u32::<0x004>()
    }

    /// Guest policy bits.
    pub fn policy(&self) -> u64 {
        self.u64::<0x008>()
    }

    /// Least firmware interface that the guest policy accepts: major, minor.
    pub fn guest_abi(&self) -> (u8, u8) {
        let [minor, major] = *self.at::<0x008, 2>();
        (major, minor)
    }

    /// Whether the host may debug the guest, which ends all confidentiality.
    pub fn debuggable(&self) -> bool {
        self.policy() & policy::DEBUG != 0
    }

    /// Whether a migration agent may move the guest.
    pub fn migration_allowed(&self) -> bool {
        self.policy() & policy::MIGRATE_MA != 0
    }

    /// Family id of the guest's identity block.
    pub fn family_id(&self) -> &[u8; 16] {
        self.at::<0x010, 16>()
    }

    /// Image id of the guest's identity block.
    pub fn image_id(&self) -> &[u8; 16] {
        self.at::<0x020, 16>()
    }

    /// Privilege level of the requester; `u32::MAX` if the host asked.
    pub fn vmpl(&self) -> u32 {
        self.u32::<0x030>()
    }

    /// The TCB that runs now.
    pub fn current_tcb(&self) -> u64 {
        self.u64::<0x038>()
    }

    /// Platform configuration bits (PLATFORM_INFO).
    pub fn platform_info(&self) -> u64 {
        self.u64::<0x040>()
    }

    fn key_info(&self) -> u32 {
        self.u32::<0x048>()
    }

    /// Whether the guest's identity block was signed under an author key.
    pub fn author_key_enabled(&self) -> bool {
        self.key_info() & key_info::AUTHOR_KEY_EN != 0
    }

    /// Whether the platform hides the chip's own key, so that no VCEK signs.
    pub fn chip_key_masked(&self) -> bool {
        self.key_info() & key_info::MASK_CHIP_KEY != 0
    }

    /// The kind of key that signed.
    pub fn signing_key(&self) -> SigningKey {
        match self.key_info() >> 2 & 7 {
            0 => SigningKey::Vcek,
            1 => SigningKey::Vlek,
            other => SigningKey::Other(other.to_le_bytes()[0]),
        }
    }

    /// What the requester had bound: 64 bytes.
    pub fn report_data(&self) -> &[u8; 64] {
        self.at::<0x050, 64>()
    }

    /// Launch digest of the utility VM: 48 bytes.
    pub fn measurement(&self) -> &[u8; 48] {
        self.at::<0x090, 48>()
    }

    /// SHA-256 of the policy that the group was launched with.
    pub fn host_data(&self) -> &[u8; 32] {
        self.at::<0x0c0, 32>()
    }

    /// SHA-384 of the key that signed the identity block; zero without one.
    pub fn id_key_digest(&self) -> &[u8; 48] {
        self.at::<0x0e0, 48>()
    }

    /// SHA-384 of the author key; zero without one.
    pub fn author_key_digest(&self) -> &[u8; 48] {
        self.at::<0x110, 48>()
    }

    /// Id of the guest instance.
    pub fn report_id(&self) -> &[u8; 32] {
        self.at::<0x140, 32>()
    }

    /// Report id of the migration agent; all ones without one.
    pub fn migration_agent(&self) -> &[u8; 32] {
        self.at::<0x160, 32>()
    }

    /// The TCB that the signing key was derived for; as a number, its upper-case hex is THIM's `tcbm`.
    pub fn reported_tcb(&self) -> u64 {
        self.u64::<0x180>()
    }

    /// The processor, from version 3 on.
    pub fn cpuid(&self) -> Option<Cpuid> {
        let [family, model, stepping] = *self.at::<0x188, 3>();
        (self.version() >= 3).then_some(Cpuid {
            family,
            model,
            stepping,
        })
    }

    /// The product that [`Report::cpuid`] belongs to; `None` also for a processor unknown here.
    pub fn product(&self) -> Option<Product> {
        let cpuid = self.cpuid()?;
        Product::of_cpuid(cpuid.family, cpuid.model)
    }

    /// Chip id, 64 bytes; all zero when masked.
    pub fn chip_id(&self) -> &[u8; 64] {
        self.at::<0x1a0, 64>()
    }

    /// Whether the report does not say which chip wrote it.
    pub fn chip_id_masked(&self) -> bool {
        self.chip_id().iter().all(|byte| *byte == 0)
    }

    /// The TCB that the platform can no longer fall behind.
    pub fn committed_tcb(&self) -> u64 {
        self.u64::<0x1e0>()
    }

    /// The TCB that ran when the guest was launched.
    pub fn launch_tcb(&self) -> u64 {
        self.u64::<0x1f0>()
    }

    /// The signature as the two big-endian numbers r and s.
    pub(crate) fn signature(&self) -> [u8; 96] {
        let mut signature = [0; 96];
        let r = self.at::<0x2a0, 48>().iter().rev();
        let s = self.at::<0x2e8, 48>().iter().rev();
        for (to, from) in signature.iter_mut().zip(r.chain(s)) {
            *to = *from;
        }
        signature
    }

    pub(crate) fn signed(&self) -> &[u8; SIGNED_LEN] {
        self.at::<0, SIGNED_LEN>()
    }

    /// Refuses reports of guests to which no key may ever be released.
    ///
    /// # Errors
    /// [`CheckId::AllowAll`] and [`CheckId::Debug`].
    pub fn refuse_open_guests(&self) -> Result<(), SnpError> {
        self.check_allow_all()?;
        self.check_debug()?;
        Ok(())
    }

    pub(crate) fn check_allow_all(&self) -> Result<String, SnpError> {
        let actual = hex::encode(self.host_data());
        if is_allow_all(self.host_data()) {
            return Err(refused(
                CheckId::AllowAll,
                "host_data of a policy that restricts what runs",
                format!("{actual}, a published policy that allows everything"),
            ));
        }
        Ok(actual)
    }

    pub(crate) fn check_debug(&self) -> Result<String, SnpError> {
        let actual = format!("policy {:#x}", self.policy());
        if self.debuggable() {
            return Err(refused(CheckId::Debug, "bit 19 clear", actual));
        }
        Ok(actual)
    }

    /// The field of `N` bytes at `OFFSET`. That it lies inside the report is proven when this is compiled.
    fn at<const OFFSET: usize, const N: usize>(&self) -> &[u8; N] {
        const { assert!(OFFSET + N <= REPORT_LEN) };
        self.0
            .split_at(OFFSET)
            .1
            .first_chunk()
            .unwrap_or(const { &[0; N] })
    }

    fn u32<const OFFSET: usize>(&self) -> u32 {
        u32::from_le_bytes(*self.at::<OFFSET, 4>())
    }

    fn u64<const OFFSET: usize>(&self) -> u64 {
        u64::from_le_bytes(*self.at::<OFFSET, 8>())
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Report({})", self.to_hex())
    }
}

/// host_data of the two published sample policies that allow everything: a key released to them is released to anyone.
pub const ALLOW_ALL_HOST_DATA: [&str; 2] = [
    "73973b78d70cc68353426de188db5dfc57e5b766e399935fb73a61127ea26d20",
    "7ec5120f0f497e22b18e59ed702ed82e2732562245c9a944f54cd41db4f491af",
];

/// Whether a host_data belongs to one of the well-known policies that allow everything.
pub fn is_allow_all(host_data: &[u8; 32]) -> bool {
    let text = hex::encode(host_data);
    ALLOW_ALL_HOST_DATA.contains(&text.as_str())
}

#[cfg(test)]
mod tests;
