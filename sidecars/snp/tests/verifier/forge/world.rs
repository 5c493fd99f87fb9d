use snp::{
    Chips, Material, MinimumTcb, Product, Requirements, Roots, Tcb, UvmRoots, Verification, verify,
};
use x509_cert::der::Encode;

use super::certificate::{Cert, amd, constraints, date, ia5, usage};
use super::crl::Crl;
use super::keys::{Key, Scheme};
use super::uvm::Uvm;
use crate::vectors;

const SIGNED: usize = 0x2a0;

/// All that the verifier is given. Whoever changes it gets what the change leads to signed anew.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) report: Vec<u8>,
    /// Who signs the report; nobody leaves the signature as it is.
    pub(crate) signer: Option<Key>,
    /// Bits of bytes of the signed report that are flipped.
    pub(crate) flips: Vec<(usize, u8)>,
    /// r at 0x2a0 or s at 0x2e8, little-endian, in place of the signature's own.
    pub(crate) numbers: Vec<(usize, [u8; 48])>,
    /// What the report is cut or filled up to.
    pub(crate) length: usize,
    /// Leaf, intermediate, root.
    pub(crate) chain: Vec<Cert>,
    /// Applied to the PEM of the chain.
    pub(crate) pem: fn(String) -> String,
    pub(crate) crls: Vec<Crl>,
    pub(crate) uvm: Option<Uvm>,
    pub(crate) requirements: Requirements,
    pub(crate) roots: Roots,
    pub(crate) uvm_roots: UvmRoots,
}

/// The finished evidence.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    pub(crate) report: Vec<u8>,
    pub(crate) chain_pem: String,
    pub(crate) uvm_endorsement: Option<Vec<u8>>,
    pub(crate) requirements: Requirements,
}

impl World {
    /// A real group's report on Milan, version 3, under the shipped requirements.
    pub(crate) fn milan() -> Self {
        let report = vectors::real("platform-cert-fetcher-report.bin");
        Self::around(report, Product::Milan, MinimumTcb::shipped())
    }

    /// A real group's report of version 2, under requirements of its time.
    pub(crate) fn version_2() -> Self {
        let mut world = Self::around(vectors::real("snp_report.bin"), Product::Milan, any_tcb());
        world.requirements.platform.required = 0;
        world
    }

    /// The test platform's report of version 5.
    pub(crate) fn version_5() -> Self {
        let mut world = Self::around(vectors::mock("report-v5.bin"), Product::Milan, any_tcb());
        world.restrict();
        world
    }

    /// A real virtual machine's report on Genoa.
    pub(crate) fn genoa() -> Self {
        let report = vectors::hcl_report(&vectors::json_bytes("cvm/evidence-genoa.json", "report"));
        let mut world = Self::around(report, Product::Genoa, any_tcb());
        world.restrict();
        world
    }

    /// The test platform's report on Turin.
    pub(crate) fn turin() -> Self {
        let report = vectors::mock("report-turin-v3.bin");
        let mut world = Self::around(report, Product::Turin, any_tcb());
        world.restrict();
        world
    }

    /// A real report that a VLEK signed, at privilege level 1.
    pub(crate) fn vlek() -> Self {
        let report = vectors::real("vlek-report.bin");
        let mut world = Self::around(report, Product::Milan, any_tcb());
        world.restrict();
        world.requirements.vlek = true;
        world.requirements.vmpl = 1;
        world.requirements.guest_abi = (0, 0);
        world.leaf().subject = amd("SEV-VLEK");
        world.leaf().issuer = amd("SEV-VLEK-Milan");
        world.leaf().remove("1.3.6.1.4.1.3704.1.4");
        world.leaf().set_amd("5", &ia5("CN=cc-us-east-2.example"));
        world.intermediate().subject = amd("SEV-VLEK-Milan");
        world
    }

    /// A platform of a product whose TCB has another number in each component, which is also the minimum.
    pub(crate) fn with_components(product: Product) -> Self {
        let mut world = match product {
            Product::Milan => Self::milan(),
            Product::Genoa => Self::genoa(),
            Product::Turin => Self::turin(),
        };
        world.set_tcb(Tcb::new(product, 2, 4, 3, 0x18, 0xdb));
        let minimum = Tcb::from_raw(world.reported_tcb(), product);
        world.requirements.minimum_tcb = MinimumTcb::none().with(minimum);
        world
    }

    /// Where any firmware will do, so that a change of product or firmware is refused by nothing else.
    pub(crate) fn lenient() -> Self {
        let mut world = Self::milan();
        world.requirements.minimum_tcb = any_tcb();
        world
    }

    /// With the root's list of revoked keys, in which there are none.
    pub(crate) fn with_crl() -> Self {
        let mut world = Self::milan();
        world.crls.push(Crl::empty("Milan"));
        world
    }

    /// With the report's chip on both lists' good sides.
    pub(crate) fn with_chips() -> Self {
        let mut world = Self::milan();
        world.requirements.chips = Chips {
            allowed: Some(vec![vec![7; 64], world.report[0x1a0..0x1e0].to_vec()]),
            denied: vec![vec![9; 64]],
        };
        world
    }

    fn around(report: Vec<u8>, product: Product, minimum: MinimumTcb) -> Self {
        let field = |from: usize, to: usize| &report[from..to];
        let uvm = Uvm::of(field(0x90, 0xc0));
        let requirements = Requirements::new(
            date(2026, 1, 1).to_system_time(),
            field(0x50, 0x90).try_into().unwrap(),
            vec![field(0xc0, 0xe0).try_into().unwrap()],
            minimum,
        );
        let mut world = Self {
            signer: Some(Key::Vcek),
            flips: Vec::new(),
            numbers: Vec::new(),
            length: report.len(),
            chain: vec![leaf(product), intermediate(product), root(product)],
            pem: |pem| pem,
            crls: Vec::new(),
            uvm_roots: uvm.roots(),
            uvm: Some(uvm),
            requirements,
            roots: Roots::from_pem(&root(product).pem()).unwrap(),
            report,
        };
        let chip = world.report[0x1a0..][..product.chip_id_len()].to_vec();
        world.leaf().set_amd("4", &chip);
        let tcb = Tcb::from_raw(world.reported_tcb(), product);
        world.certify(tcb);
        world
    }

    /// Takes a published policy, none or a test's off the report.
    fn restrict(&mut self) {
        self.set(0xc0, &[0x5a; 32]);
        self.requirements.host_data = vec![[0x5a; 32]];
    }

    pub(crate) fn leaf(&mut self) -> &mut Cert {
        &mut self.chain[0]
    }

    pub(crate) fn intermediate(&mut self) -> &mut Cert {
        &mut self.chain[1]
    }

    pub(crate) fn root(&mut self) -> &mut Cert {
        &mut self.chain[2]
    }

    pub(crate) fn uvm(&mut self) -> &mut Uvm {
        self.uvm.as_mut().unwrap()
    }

    /// Writes a field of the report.
    pub(crate) fn set(&mut self, offset: usize, bytes: &[u8]) {
        self.report[offset..][..bytes.len()].copy_from_slice(bytes);
    }

    /// Flips bits of a byte of the report.
    pub(crate) fn flip(&mut self, offset: usize, bits: u8) {
        self.report[offset] ^= bits;
    }

    pub(crate) fn reported_tcb(&self) -> u64 {
        u64::from_le_bytes(self.report[0x180..0x188].try_into().unwrap())
    }

    /// Writes every TCB of the report, and the leaf's.
    pub(crate) fn set_tcb(&mut self, tcb: Tcb) {
        for offset in [0x38, 0x180, 0x1e0, 0x1f0] {
            self.set(offset, &tcb.raw().to_le_bytes());
        }
        self.certify(tcb);
    }

    /// Writes the TCB that the leaf vouches for.
    pub(crate) fn certify(&mut self, tcb: Tcb) {
        let mut levels = vec![
            ("3.1", tcb.boot_loader()),
            ("3.2", tcb.tee()),
            ("3.3", tcb.snp()),
            ("3.8", tcb.microcode()),
        ];
        levels.extend(tcb.fmc().map(|fmc| ("3.9", fmc)));
        for (suffix, level) in levels {
            self.leaf().set_amd(suffix, &level.to_der().unwrap());
        }
    }

    pub(crate) fn evidence(&self) -> Evidence {
        let mut report = self.report.clone();
        if let Some(signer) = self.signer {
            let [r, s] = signer.sign_report(&report[..SIGNED]);
            for (offset, mut number) in [(0x2a0, r), (0x2e8, s)] {
                number.reverse();
                report[offset..][..48].copy_from_slice(&number);
            }
        }
        for (offset, number) in &self.numbers {
            report[*offset..][..48].copy_from_slice(number);
        }
        for (offset, bits) in &self.flips {
            report[*offset] ^= bits;
        }
        report.resize(self.length, 0);
        let mut requirements = self.requirements.clone();
        requirements.crls.extend(self.crls.iter().map(Crl::der));
        Evidence {
            report,
            chain_pem: (self.pem)(self.chain.iter().map(Cert::pem).collect()),
            uvm_endorsement: self.uvm.as_ref().map(Uvm::cose),
            requirements,
        }
    }

    pub(crate) fn verify(&self) -> Verification {
        self.evidence().verify(&self.roots, &self.uvm_roots)
    }
}

impl Evidence {
    pub(crate) fn verify(&self, roots: &Roots, uvm_roots: &UvmRoots) -> Verification {
        let material = Material {
            report: &self.report,
            chain_pem: &self.chain_pem,
            uvm_endorsement: self.uvm_endorsement.as_deref(),
        };
        verify(material, &self.requirements, roots, uvm_roots)
    }
}

/// A minimum that every firmware meets.
pub(crate) fn any_tcb() -> MinimumTcb {
    let zero = |product| Tcb::new(product, 0, 0, 0, 0, 0);
    Product::ALL
        .into_iter()
        .fold(MinimumTcb::none(), |all, product| all.with(zero(product)))
}

fn root(product: Product) -> Cert {
    let name = amd(&format!("ARK-{product}"));
    certificate(
        &name,
        &name,
        Key::Ark,
        Key::Ark,
        vec![constraints(true, None), usage(0x06)],
    )
}

fn intermediate(product: Product) -> Cert {
    let (name, issuer) = (
        amd(&format!("SEV-{product}")),
        amd(&format!("ARK-{product}")),
    );
    let mut certificate = certificate(
        &name,
        &issuer,
        Key::Ask,
        Key::Ark,
        vec![constraints(true, Some(0)), usage(0x04)],
    );
    certificate.serial = vec![1, 0, 1];
    certificate
}

fn leaf(product: Product) -> Cert {
    let issuer = amd(&format!("SEV-{product}"));
    let mut leaf = certificate(&amd("SEV-VCEK"), &issuer, Key::Vcek, Key::Ask, Vec::new());
    leaf.serial = vec![0];
    leaf.not_before = date(2025, 1, 1);
    leaf.not_after = date(2032, 1, 1);
    let turin = product == Product::Turin;
    leaf.set_amd("1", &u8::from(turin).to_der().unwrap());
    leaf.set_amd("2", &ia5(product.name()));
    for spare in ["3.4", "3.5", "3.6", "3.7"] {
        if spare != "3.4" || !turin {
            leaf.set_amd(spare, &0_u8.to_der().unwrap());
        }
    }
    leaf
}

fn certificate(
    subject: &str,
    issuer: &str,
    key: Key,
    signer: Key,
    extensions: Vec<x509_cert::ext::Extension>,
) -> Cert {
    Cert {
        subject: subject.to_owned(),
        issuer: issuer.to_owned(),
        serial: vec![1, 0, 0],
        not_before: date(2020, 10, 1),
        not_after: date(2045, 10, 1),
        spki: key.spki(),
        extensions,
        signer,
        scheme: Scheme::Pss,
        stated_inside: None,
        stated_outside: None,
        broken: false,
    }
}
