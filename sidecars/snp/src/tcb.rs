use std::fmt;

/// A generation of processors whose reports are understood here.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Product {
    /// Third generation EPYC.
    Milan,
    /// Fourth generation EPYC; AMD files Bergamo and Siena under the same roots.
    Genoa,
    /// Fifth generation EPYC.
    Turin,
}

impl Product {
    /// Every product.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// The product of a processor's combined CPUID family and model.
    pub const fn of_cpuid(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x11) => Some(Self::Turin),
            _ => None,
        }
    }

    /// As AMD's certificates and key distribution service spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// Significant bytes of a chip id.
    pub const fn chip_id_len(self) -> usize {
        match self {
            Self::Milan | Self::Genoa => 64,
            Self::Turin => 8,
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Versions of the parts that a guest must trust, in the order that its product gives them (TCB_VERSION).
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Tcb {
    raw: u64,
    product: Product,
}

impl Tcb {
    /// From a report's number: the little-endian reading of its eight bytes.
    pub const fn from_raw(raw: u64, product: Product) -> Self {
        Self { raw, product }
    }

    /// From versions; `fmc` is left out where the product has none.
    pub const fn new(
        product: Product,
        fmc: u8,
        boot_loader: u8,
        tee: u8,
        snp: u8,
        microcode: u8,
    ) -> Self {
        let bytes = match product {
            Product::Milan | Product::Genoa => [boot_loader, tee, 0, 0, 0, 0, snp, microcode],
            Product::Turin => [fmc, boot_loader, tee, snp, 0, 0, 0, microcode],
        };
        Self::from_raw(u64::from_le_bytes(bytes), product)
    }

    /// As the report has it; its upper-case hex is THIM's `tcbm`.
    pub const fn raw(self) -> u64 {
        self.raw
    }

    /// The product whose layout this is.
    pub const fn product(self) -> Product {
        self.product
    }

    /// Version of the boot loader.
    pub const fn boot_loader(self) -> u8 {
        let [milan, turin, ..] = self.raw.to_le_bytes();
        self.either(milan, turin)
    }

    /// Version of the secure processor's operating system.
    pub const fn tee(self) -> u8 {
        let [_, milan, turin, ..] = self.raw.to_le_bytes();
        self.either(milan, turin)
    }

    /// Version of the SNP firmware.
    pub const fn snp(self) -> u8 {
        let [_, _, _, turin, _, _, milan, _] = self.raw.to_le_bytes();
        self.either(milan, turin)
    }

    /// Lowest patch level of all cores.
    pub const fn microcode(self) -> u8 {
        let [.., microcode] = self.raw.to_le_bytes();
        microcode
    }

    /// Version of the first mutable code, from Turin on.
    pub const fn fmc(self) -> Option<u8> {
        let [fmc, ..] = self.raw.to_le_bytes();
        match self.product {
            Product::Milan | Product::Genoa => None,
            Product::Turin => Some(fmc),
        }
    }

    /// Whether every component is at least `minimum`'s. Another product's minimum is never met.
    pub fn meets(self, minimum: &Self) -> bool {
        self.product == minimum.product
            && self.boot_loader() >= minimum.boot_loader()
            && self.tee() >= minimum.tee()
            && self.snp() >= minimum.snp()
            && self.microcode() >= minimum.microcode()
            && self.fmc() >= minimum.fmc()
    }

    const fn either(self, milan: u8, turin: u8) -> u8 {
        match self.product {
            Product::Milan | Product::Genoa => milan,
            Product::Turin => turin,
        }
    }
}

impl fmt::Display for Tcb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X} (", self.raw)?;
        if let Some(fmc) = self.fmc() {
            write!(f, "fmc {fmc}, ")?;
        }
        write!(
            f,
            "boot loader {}, tee {}, snp {}, microcode {})",
            self.boot_loader(),
            self.tee(),
            self.snp(),
            self.microcode()
        )
    }
}

impl fmt::Debug for Tcb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {self}", self.product)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_read_in_each_product_s_order() {
        let milan = Tcb::from_raw(0xdb18_0000_0000_0004, Product::Milan);
        assert_eq!(
            (
                milan.boot_loader(),
                milan.tee(),
                milan.snp(),
                milan.microcode(),
                milan.fmc()
            ),
            (4, 0, 0x18, 0xdb, None)
        );
        let turin = Tcb::from_raw(0x4e00_0000_0301_0201, Product::Turin);
        assert_eq!(
            (
                turin.boot_loader(),
                turin.tee(),
                turin.snp(),
                turin.microcode(),
                turin.fmc()
            ),
            (2, 1, 3, 0x4e, Some(1))
        );
        assert_eq!(Tcb::new(Product::Milan, 0, 4, 0, 0x18, 0xdb), milan);
        assert_eq!(Tcb::new(Product::Turin, 1, 2, 1, 3, 0x4e), turin);
    }

    #[test]
    fn a_minimum_is_met_by_every_component_or_not_at_all() {
        for product in Product::ALL {
            let minimum = Tcb::new(product, 1, 4, 2, 0x18, 0x80);
            assert!(minimum.meets(&minimum));
            assert!(Tcb::new(product, 9, 9, 9, 0x99, 0x99).meets(&minimum));
            for older in [
                Tcb::new(product, 9, 3, 9, 0x99, 0x99),
                Tcb::new(product, 9, 9, 1, 0x99, 0x99),
                Tcb::new(product, 9, 9, 9, 0x17, 0x99),
                Tcb::new(product, 9, 9, 9, 0x99, 0x7f),
            ] {
                assert!(!older.meets(&minimum), "{older:?}");
            }
        }
        let turin = Tcb::new(Product::Turin, 1, 4, 2, 0x18, 0x80);
        assert!(!Tcb::new(Product::Turin, 0, 9, 9, 0x99, 0x99).meets(&turin));
        assert!(!Tcb::from_raw(u64::MAX, Product::Genoa).meets(&Tcb::from_raw(0, Product::Milan)));
    }

    #[test]
    fn products_are_told_by_family_and_model() {
        for (family, model, product) in [
            (0x19, 0x01, Some(Product::Milan)),
            (0x19, 0x11, Some(Product::Genoa)),
            (0x19, 0xa0, Some(Product::Genoa)),
            (0x1a, 0x02, Some(Product::Turin)),
            (0x19, 0x20, None),
            (0x1a, 0x50, None),
            (0x17, 0x01, None),
        ] {
            assert_eq!(
                Product::of_cpuid(family, model),
                product,
                "{family:#x} {model:#x}"
            );
        }
    }
}
