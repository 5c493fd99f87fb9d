use rustls_pki_types::pem::{PemObject, SectionKind};

use crate::certificate::Certificate;
use crate::error::refused;
use crate::{CheckId, Endorsement, Report, SnpError};

/// Longer than any honest chain: three certificates with 4096-bit keys are about 6 KiB.
const PEM_CAP: usize = 64 << 10;

/// A report's endorsements: leaf (VCEK or VLEK), intermediate (ASK or ASVK), root (ARK).
///
/// The certificates are read, and nothing more: no signature is verified here. [`crate::verify`] does that.
#[derive(Clone, Debug)]
pub struct EndorsementChain {
    pem: String,
    certificates: Certificates,
    leaf: Endorsement,
}

impl EndorsementChain {
    /// Reads leaf, intermediate and root, in this order, from PEM. Text around them is ignored (RFC 7468 section 2).
    ///
    /// # Errors
    /// [`CheckId::ChainFormat`], [`CheckId::LeafName`] or [`CheckId::LeafExtensions`].
    pub fn from_pem(pem: &str) -> Result<Self, SnpError> {
        let certificates = Certificates::from_pem(pem)?;
        Ok(Self {
            leaf: Endorsement::read(&certificates.leaf)?,
            pem: pem.to_owned(),
            certificates,
        })
    }

    /// The text that was given.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// What the leaf vouches for.
    pub const fn leaf(&self) -> &Endorsement {
        &self.leaf
    }

    /// DER of leaf, intermediate and root.
    pub fn ders(&self) -> [&[u8]; 3] {
        let Certificates {
            leaf,
            intermediate,
            root,
        } = &self.certificates;
        [leaf.der(), intermediate.der(), root.der()]
    }

    /// Whether the leaf is for the report: for its kind of key, its chip and its TCB. No signature is verified.
    ///
    /// # Errors
    /// [`CheckId::LeafName`], [`CheckId::LeafChip`] or [`CheckId::LeafTcb`], in this order.
    pub fn fits(&self, report: &Report) -> Result<(), SnpError> {
        self.leaf.check_kind(report)?;
        self.leaf.check_chip(report, false)?;
        self.leaf.check_tcb(report)?;
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    pub(crate) leaf: Certificate,
    pub(crate) intermediate: Certificate,
    pub(crate) root: Certificate,
}

impl Certificates {
    pub(crate) fn from_pem(pem: &str) -> Result<Self, SnpError> {
        Self::read(pem).map_err(|actual| {
            refused(
                CheckId::ChainFormat,
                "leaf, intermediate and root as X.509 in PEM",
                actual,
            )
        })
    }

    fn read(pem: &str) -> Result<Self, String> {
        if pem.len() > PEM_CAP {
            return Err(format!("{} bytes, more than {PEM_CAP}", pem.len()));
        }
        let mut certificates = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem.as_bytes()) {
            match section {
                Ok((SectionKind::Certificate, der)) => certificates.push(der),
                Ok((other, _)) => return Err(format!("{other:?} in the PEM")),
                Err(error) => return Err(format!("not PEM: {error:?}")),
            }
        }
        let [leaf, intermediate, root] = certificates.as_slice() else {
            return Err(format!("{} certificates", certificates.len()));
        };
        let parse = |name: &str, der: &[u8]| {
            Certificate::parse(der).map_err(|reason| format!("{name}: {reason}"))
        };
        Ok(Self {
            leaf: parse("leaf", leaf)?,
            intermediate: parse("intermediate", intermediate)?,
            root: parse("root", root)?,
        })
    }
}
