use std::time::SystemTime;

use cleanroom_crypto::digest::sha256;

use crate::{Product, Tcb};

/// What evidence must satisfy. What is not a field here is required always: that debugging is off, that no migration agent
/// is allowed, and that host_data is not that of a published policy that allows everything.
#[derive(Clone, Debug)]
pub struct Requirements {
    /// The time at which certificates and revocation lists must be in force.
    pub now: SystemTime,
    /// What the report must bind, compared as a whole; see [`report_data`].
    pub report_data: [u8; 64],
    /// SHA-256 of the policies that the group may run under.
    pub host_data: Vec<[u8; 32]>,
    /// The oldest firmware accepted.
    pub minimum_tcb: MinimumTcb,
    /// How the launch measurement is judged.
    pub measurement: Measurement,
    /// Privilege level that the report must have been requested at.
    pub vmpl: u32,
    /// Least firmware interface that the guest policy must demand: major, minor.
    pub guest_abi: (u8, u8),
    /// How the platform must be configured.
    pub platform: PlatformInfo,
    /// Who must have signed the guest's identity block.
    pub author_key: AuthorKey,
    /// Whether a key that AMD gave to the cloud provider may have signed, which vouches for no single chip.
    pub vlek: bool,
    /// Whether the report may hide which chip wrote it. The leaf tells the chip even then.
    pub masked_chip: bool,
    /// Which chips are accepted.
    pub chips: Chips,
    /// Revocation lists in DER, of any of the roots. With at least one, the chain's root must be among their issuers.
    pub crls: Vec<Vec<u8>>,
}

impl Requirements {
    /// The requirements of a confidential container group: privilege level 0, an endorsed utility VM that demands at least
    /// interface 0.31, a platform that checked for memory aliases, a VCEK of a stated chip, no author key.
    pub fn new(
        now: SystemTime,
        report_data: [u8; 64],
        host_data: Vec<[u8; 32]>,
        minimum_tcb: MinimumTcb,
    ) -> Self {
        Self {
            now,
            report_data,
            host_data,
            minimum_tcb,
            measurement: Measurement::Endorsed,
            vmpl: 0,
            guest_abi: (0, 31),
            platform: PlatformInfo::default(),
            author_key: AuthorKey::Absent,
            vlek: false,
            masked_chip: false,
            chips: Chips::default(),
            crls: Vec::new(),
        }
    }
}

/// report_data that binds `runtime_data`: its SHA-256 and 32 zero bytes. Every byte counts, a line feed at the end as well.
pub fn report_data(runtime_data: &[u8]) -> [u8; 64] {
    let mut bound = [0; 64];
    for (to, from) in bound.iter_mut().zip(sha256(runtime_data)) {
        *to = from;
    }
    bound
}

/// The oldest firmware accepted of each product, component by component. A product without a minimum is refused.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MinimumTcb {
    milan: Option<Tcb>,
    genoa: Option<Tcb>,
    turin: Option<Tcb>,
}

impl MinimumTcb {
    /// The shipped minimum: for Milan and Genoa the firmware with AMD's mitigation of forged microcode (AMD-SB-3019) that
    /// container groups run on, as `docs/attestation-verifier.md` explains. Turin has none: no group is known to run on it.
    pub const fn shipped() -> Self {
        Self::none()
            .with(Tcb::new(Product::Milan, 0, 4, 0, 0x18, 0xdb))
            .with(Tcb::new(Product::Genoa, 0, 10, 0, 0x17, 0x54))
    }

    /// No product is accepted.
    pub const fn none() -> Self {
        Self {
            milan: None,
            genoa: None,
            turin: None,
        }
    }

    /// Sets the minimum of the TCB's product.
    #[must_use]
    pub const fn with(mut self, minimum: Tcb) -> Self {
        match minimum.product() {
            Product::Milan => self.milan = Some(minimum),
            Product::Genoa => self.genoa = Some(minimum),
            Product::Turin => self.turin = Some(minimum),
        }
        self
    }

    /// The minimum of a product.
    pub const fn of(&self, product: Product) -> Option<Tcb> {
        match product {
            Product::Milan => self.milan,
            Product::Genoa => self.genoa,
            Product::Turin => self.turin,
        }
    }
}

/// How the launch measurement is judged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Measurement {
    /// The utility VM's endorsement names it, under [`crate::UvmRoots`].
    Endorsed,
    /// It is one of these; an endorsement is not looked at.
    OneOf(Vec<[u8; 48]>),
    /// The caller judges it: confidential virtual machines have no endorsement. Said in the table.
    Unjudged,
}

/// Bits of PLATFORM_INFO.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PlatformInfo {
    /// Bits that must be set.
    pub required: u64,
    /// Bits that must be clear.
    pub forbidden: u64,
}

impl PlatformInfo {
    /// Sibling threads are on.
    pub const SMT: u64 = 1;
    /// All memory is encrypted with a host key.
    pub const TSME: u64 = 1 << 1;
    /// Memory corrects errors.
    pub const ECC: u64 = 1 << 2;
    /// The power meter that leaks what is computed is off.
    pub const RAPL_DISABLED: u64 = 1 << 3;
    /// Hosts cannot read the guest's cipher text.
    pub const CIPHERTEXT_HIDING: u64 = 1 << 4;
    /// Memory was checked for aliases after the last reset (CVE-2024-21944).
    pub const ALIAS_CHECK: u64 = 1 << 5;
}

impl Default for PlatformInfo {
    /// The alias check.
    fn default() -> Self {
        Self {
            required: Self::ALIAS_CHECK,
            forbidden: 0,
        }
    }
}

/// Who must have signed the guest's identity block.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AuthorKey {
    /// No author key is enabled.
    Absent,
    /// One of these keys, by the SHA-384 that the report states.
    OneOf(Vec<[u8; 48]>),
}

/// Which chips are accepted, by hardware id: 64 bytes, or the 8 that Turin has.
#[derive(Clone, Debug, Default)]
pub struct Chips {
    /// Only these, if given.
    pub allowed: Option<Vec<Vec<u8>>>,
    /// Never these.
    pub denied: Vec<Vec<u8>>,
}
