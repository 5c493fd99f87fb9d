//! Whether a chain belongs to a report: what its leaf vouches for is the report's chip and reported TCB.

use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::OctetStringRef;

use super::product::Product;
use crate::Report;

/// A real chain has less than 8 KiB.
pub(super) const CHAIN_CAP: usize = 64 << 10;

/// Why a chain is not for a report.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Misfit {
    Unreadable(String),
    /// Another chip's.
    Chip,
    /// This chip's under another TCB.
    Tcb(u64, Product),
}

/// Checks chip id and TCB, no signatures: those are the verifier's.
pub(super) fn check(pem: &str, report: &Report) -> Result<(), Misfit> {
    let leaf = Leaf::of_chain(pem).map_err(Misfit::Unreadable)?;
    match &leaf.hwid {
        Some(hwid) => {
            let (head, tail) = report
                .chip_id()
                .split_at_checked(hwid.len())
                .ok_or(Misfit::Chip)?;
            if head != hwid || tail.iter().any(|byte| *byte != 0) {
                return Err(Misfit::Chip);
            }
        }
        // A VLEK is not of one chip, and its reports name none.
        None if report.chip_id().iter().all(|byte| *byte == 0) => {}
        None => return Err(Misfit::Chip),
    }
    if leaf.tcb != report.reported_tcb() {
        return Err(Misfit::Tcb(leaf.tcb, leaf.product));
    }
    Ok(())
}

struct Leaf {
    product: Product,
    tcb: u64,
    hwid: Option<Vec<u8>>,
}

impl Leaf {
    fn of_chain(pem: &str) -> Result<Self, String> {
        if pem.len() > CHAIN_CAP {
            return Err(format!("a chain of more than {CHAIN_CAP} bytes"));
        }
        let chain = Certificate::load_pem_chain(pem.as_bytes())
            .map_err(|error| format!("not a PEM chain: {error}"))?;
        let [leaf, _, _] = chain.as_slice() else {
            let count = chain.len();
            return Err(format!("{count} certificates, expected leaf, ASK, ARK"));
        };
        let extension = |suffix: &str| {
            let id = format!("1.3.6.1.4.1.3704.1.{suffix}");
            let extensions = leaf.tbs_certificate().extensions()?;
            let found = extensions
                .iter()
                .find(|one| one.extn_id.to_string() == id)?;
            Some(found.extn_value.as_bytes())
        };
        let level = |suffix: &str| {
            let value = extension(suffix).ok_or_else(|| format!("no extension {suffix}"))?;
            u8::from_der(value).map_err(|error| format!("extension {suffix}: {error}"))
        };
        // Only Turin's certificates have a level of the first mutable code.
        let (loader, tee, snp, microcode) =
            (level("3.1")?, level("3.2")?, level("3.3")?, level("3.8")?);
        let (product, tcb) = match extension("3.9") {
            Some(_) => (
                Product::Turin,
                [level("3.9")?, loader, tee, snp, 0, 0, 0, microcode],
            ),
            None => {
                let name = extension("2").unwrap_or_default();
                let genoa = name.windows(5).any(|part| part == b"Genoa");
                let product = if genoa {
                    Product::Genoa
                } else {
                    Product::Milan
                };
                (product, [loader, tee, 0, 0, 0, 0, snp, microcode])
            }
        };
        // Newer certificates wrap the bytes in another octet string.
        let hwid = extension("4").map(|raw| match <&OctetStringRef>::from_der(raw) {
            Ok(inner) if [8, 64].contains(&inner.as_bytes().len()) => inner.as_bytes().to_vec(),
            _ => raw.to_vec(),
        });
        if hwid
            .as_ref()
            .is_some_and(|hwid| ![8, 64].contains(&hwid.len()))
        {
            return Err("a hardware id of neither 8 nor 64 bytes".to_owned());
        }
        Ok(Self {
            product,
            tcb: u64::from_le_bytes(tcb),
            hwid,
        })
    }
}
