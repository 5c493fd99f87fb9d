use sha2::{Digest, Sha512};

/// A generation of processors.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Product {
    /// Third generation.
    Milan,
    /// Fourth generation.
    Genoa,
    /// Fifth generation: another layout of the TCB, and chip ids of 8 bytes.
    Turin,
}

impl Product {
    /// Every product.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// As AMD's certificates and paths spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// Family, model, stepping.
    pub(super) const fn cpuid(self) -> [u8; 3] {
        match self {
            Self::Milan => [0x19, 0x01, 0x01],
            Self::Genoa => [0x19, 0x11, 0x01],
            Self::Turin => [0x1a, 0x02, 0x01],
        }
    }

    pub(crate) const fn chip_id_len(self) -> usize {
        match self {
            Self::Milan | Self::Genoa => 64,
            Self::Turin => 8,
        }
    }
}

/// A processor and its firmware.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Platform {
    /// What processor.
    pub product: Product,
    /// Which one.
    pub chip_id: [u8; 64],
    /// Its firmware: the report's number, whose hex is THIM's `tcbm`.
    pub tcb: u64,
    /// The layout of the reports that the firmware makes.
    pub report_version: u32,
}

impl Default for Platform {
    /// The platform of the test certificates.
    fn default() -> Self {
        Self {
            product: Product::Milan,
            chip_id: Sha512::digest(b"mock chip").into(),
            tcb: 0xdb18_0000_0000_0004,
            report_version: 3,
        }
    }
}

impl Platform {
    /// The default processor under another firmware.
    #[must_use]
    pub fn with_tcb(tcb: u64) -> Self {
        Self {
            tcb,
            ..Self::default()
        }
    }

    /// Another processor.
    #[must_use]
    pub fn of(product: Product, seed: &str, tcb: u64) -> Self {
        let mut chip_id: [u8; 64] = Sha512::digest(seed).into();
        for byte in chip_id.iter_mut().skip(product.chip_id_len()) {
            *byte = 0;
        }
        Self {
            product,
            chip_id,
            tcb,
            report_version: 3,
        }
    }
}
