use x509_cert::der::Decode;
use x509_cert::der::asn1::{Ia5StringRef, ObjectIdentifier, OctetStringRef};

use crate::certificate::Certificate;
use crate::error::{refused, shown};
use crate::{CheckId, Product, Report, SigningKey, SnpError, Tcb};

const ARC: &str = "1.3.6.1.4.1.3704.1";
const STRUCT_VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.1");
const PRODUCT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.2");
const BOOT_LOADER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.1");
const TEE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.2");
const SNP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.3");
const SPARE: [ObjectIdentifier; 4] = [
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.4"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.5"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.6"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.7"),
];
const MICROCODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.8");
const FMC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.9");
const HARDWARE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");
const CSP_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.5");

/// What a leaf certificate (VCEK or VLEK) vouches for, as its extensions say (VCEK specification, table of extensions).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endorsement {
    kind: SigningKey,
    product: Product,
    tcb: Tcb,
    hwid: Vec<u8>,
}

impl Endorsement {
    /// Reads the leaf's name and extensions.
    pub(crate) fn read(leaf: &Certificate) -> Result<Self, SnpError> {
        let kind = Self::kind_of(leaf).ok_or_else(|| {
            refused(
                CheckId::LeafName,
                "CN SEV-VCEK or SEV-VLEK",
                format!("CN {:?}", shown(&leaf.common_name())),
            )
        })?;
        Self::extensions(leaf, kind).map_err(|actual| {
            refused(
                CheckId::LeafExtensions,
                format!("AMD's extensions of a {kind} certificate ({ARC})"),
                actual,
            )
        })
    }

    /// The kind of key that the leaf is named after.
    pub(crate) fn kind_of(leaf: &Certificate) -> Option<SigningKey> {
        let name = leaf.common_name();
        [SigningKey::Vcek, SigningKey::Vlek]
            .into_iter()
            .find(|kind| kind.common_name() == Some(name.as_str()))
    }

    fn extensions(leaf: &Certificate, kind: SigningKey) -> Result<Self, String> {
        let version = number(leaf, STRUCT_VERSION)?;
        if version > 1 {
            return Err(format!("{STRUCT_VERSION} is {version}, known are 0 and 1"));
        }
        let name = text(leaf, PRODUCT_NAME)?;
        let product = Product::ALL
            .into_iter()
            .find(|product| {
                let rest = name.strip_prefix(product.name());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            })
            .ok_or_else(|| format!("{PRODUCT_NAME} is {:?}, an unknown product", shown(&name)))?;
        for spare in SPARE {
            if leaf.extension(spare).is_some() && number(leaf, spare)? != 0 {
                return Err(format!("{spare} is not 0"));
            }
        }
        let fmc = match product {
            Product::Turin => number(leaf, FMC)?,
            Product::Milan | Product::Genoa if leaf.extension(FMC).is_some() => {
                return Err(format!("{FMC}, which {product} does not have"));
            }
            Product::Milan | Product::Genoa => 0,
        };
        Ok(Self {
            kind,
            product,
            tcb: Tcb::new(
                product,
                fmc,
                number(leaf, BOOT_LOADER)?,
                number(leaf, TEE)?,
                number(leaf, SNP)?,
                number(leaf, MICROCODE)?,
            ),
            hwid: hwid(leaf, kind, product)?,
        })
    }

    /// The kind of key that the leaf certifies.
    pub const fn kind(&self) -> SigningKey {
        self.kind
    }

    /// The product of the chip.
    pub const fn product(&self) -> Product {
        self.product
    }

    /// The TCB that the key was derived for; [`Tcb::raw`] is in the report's own order.
    pub const fn tcb(&self) -> Tcb {
        self.tcb
    }

    /// The chip: 64 bytes, 8 from Turin on, none in a VLEK's certificate.
    pub fn hwid(&self) -> &[u8] {
        &self.hwid
    }

    pub(crate) fn check_kind(&self, report: &Report) -> Result<String, SnpError> {
        let name = |kind: SigningKey| kind.common_name().unwrap_or("of no certificate");
        let actual = format!("CN {}", name(self.kind));
        if self.kind == report.signing_key() {
            return Ok(actual);
        }
        let expected = format!("CN {}", name(report.signing_key()));
        Err(refused(CheckId::LeafName, expected, actual))
    }

    pub(crate) fn check_tcb(&self, report: &Report) -> Result<String, SnpError> {
        let actual = self.tcb.to_string();
        if self.tcb.raw() == report.reported_tcb() {
            return Ok(actual);
        }
        let expected = Tcb::from_raw(report.reported_tcb(), self.product).to_string();
        Err(refused(CheckId::LeafTcb, expected, actual))
    }

    /// A VLEK belongs to no chip, so there is nothing to compare; a masked chip id compares only if that is permitted.
    pub(crate) fn check_chip(
        &self,
        report: &Report,
        masked_allowed: bool,
    ) -> Result<String, SnpError> {
        if self.kind == SigningKey::Vlek {
            return Ok("a VLEK, which belongs to no chip".to_owned());
        }
        let actual = hex::encode(&self.hwid);
        if report.chip_id_masked() {
            let expected = "a report that states its chip";
            return if masked_allowed {
                Ok(format!("{actual}, which the report masks"))
            } else {
                Err(refused(CheckId::LeafChip, expected, "a masked chip id"))
            };
        }
        let rest = report.chip_id().strip_prefix(self.hwid.as_slice());
        if rest.is_some_and(|rest| rest.iter().all(|byte| *byte == 0)) {
            return Ok(actual);
        }
        Err(refused(
            CheckId::LeafChip,
            hex::encode(report.chip_id()),
            actual,
        ))
    }
}

fn value(leaf: &Certificate, id: ObjectIdentifier) -> Result<&[u8], String> {
    leaf.extension(id)
        .map(|one| one.extn_value.as_bytes())
        .ok_or_else(|| format!("no {id}"))
}

/// A version: a DER INTEGER from 0 to 255, so two content bytes from 128 on.
fn number(leaf: &Certificate, id: ObjectIdentifier) -> Result<u8, String> {
    u8::from_der(value(leaf, id)?).map_err(|_| format!("{id} is no INTEGER from 0 to 255"))
}

fn text(leaf: &Certificate, id: ObjectIdentifier) -> Result<String, String> {
    Ia5StringRef::from_der(value(leaf, id)?)
        .map(|text| text.to_string())
        .map_err(|_| format!("{id} is no IA5String"))
}

/// AMD issues the id as bare bytes, newer certificates as an OCTET STRING; the lengths tell them apart.
fn hwid(leaf: &Certificate, kind: SigningKey, product: Product) -> Result<Vec<u8>, String> {
    if kind == SigningKey::Vlek {
        if leaf.extension(HARDWARE_ID).is_some() {
            return Err(format!("{HARDWARE_ID}, which a VLEK does not have"));
        }
        text(leaf, CSP_ID)?;
        return Ok(Vec::new());
    }
    let bytes = value(leaf, HARDWARE_ID)?;
    let length = product.chip_id_len();
    if bytes.len() == length {
        return Ok(bytes.to_vec());
    }
    match <&OctetStringRef>::from_der(bytes) {
        Ok(inner) if inner.as_bytes().len() == length => Ok(inner.as_bytes().to_vec()),
        _ => Err(format!(
            "{HARDWARE_ID} has {} bytes, expected {length} as they are or as an OCTET STRING",
            bytes.len()
        )),
    }
}
