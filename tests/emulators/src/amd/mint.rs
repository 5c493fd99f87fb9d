//! Certificates and lists that chain to the test root, for any product, chip and TCB: the vectors with other names and
//! extensions, signed anew.

use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PSS_SHA384, RsaKeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use x509_cert::Certificate;
use x509_cert::crl::{CertificateList, TbsCertList};
use x509_cert::der::asn1::{BitString, OctetString, UtcTime};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::pem::{LineEnding, encode_string};
use x509_cert::der::{Decode, Encode, Reader, SliceReader};
use x509_cert::ext::Extension;
use x509_cert::time::Time;

use super::{AmdError, Platform, Product, vector};

const AMD: &str = "1.3.6.1.4.1.3704.1";
const EXTENSIONS_TAG: u8 = 0xa3;
const SEQUENCE_TAG: u8 = 0x30;

/// DER of the VCEK of a platform; its key is the one that signs every issued report.
///
/// # Errors
/// The test root is unusable.
pub fn mint_vcek(platform: &Platform) -> Result<Vec<u8>, AmdError> {
    let template = der(vector!("vcek-milan.pem"))?;
    let renamed = rename(&template, platform.product);
    let signed = parts(&renamed).map_err(unusable)?;
    let fields = elements(&signed.tbs).map_err(unusable)?;
    let mut body = Vec::new();
    for field in fields {
        if field.first() == Some(&EXTENSIONS_TAG) {
            body.extend(extensions(&field, platform).map_err(unusable)?);
        } else {
            body.extend(field);
        }
    }
    sign(
        &wrap(SEQUENCE_TAG, &body),
        &signed.algorithm,
        vector!("ask.key.pem"),
    )
}

/// PEM of a product's ASK and ARK.
///
/// # Errors
/// The test root is unusable.
pub fn mint_authorities(product: Product) -> Result<String, AmdError> {
    let mut pem = String::new();
    for template in [
        vector!("ask-milan.pem").as_slice(),
        vector!("ark-milan.pem"),
    ] {
        let renamed = rename(&der(template)?, product);
        let signed = parts(&renamed).map_err(unusable)?;
        let certificate = sign(&signed.tbs, &signed.algorithm, vector!("ark.key.pem"))?;
        pem += &encode_string("CERTIFICATE", LineEnding::LF, &certificate)
            .map_err(|_| AmdError::Root("PEM"))?;
    }
    Ok(pem)
}

/// DER of a product's list of revoked keys, empty, signed by its ARK.
///
/// # Errors
/// The test root is unusable.
pub fn mint_crl(product: Product) -> Result<Vec<u8>, AmdError> {
    let ark = rename(&der(vector!("ark-milan.pem"))?, product);
    let ark = Certificate::from_der(&ark).map_err(unusable)?;
    let time = |at: SystemTime| UtcTime::from_system_time(at).map(Time::UtcTime);
    let now = SystemTime::now();
    let tbs: TbsCertList = TbsCertList {
        version: x509_cert::Version::V2,
        signature: ark.signature_algorithm().clone(),
        issuer: ark.tbs_certificate().subject().clone(),
        this_update: time(now).map_err(unusable)?,
        next_update: Some(time(now + Duration::from_secs(30 * 86_400)).map_err(unusable)?),
        revoked_certificates: None,
        crl_extensions: None,
    };
    let signature = signature(&tbs.to_der().map_err(unusable)?, vector!("ark.key.pem"))?;
    let list = CertificateList {
        signature_algorithm: tbs.signature.clone(),
        tbs_cert_list: tbs,
        signature: BitString::from_bytes(&signature).map_err(unusable)?,
    };
    list.to_der().map_err(unusable)
}

fn unusable<E>(_: E) -> AmdError {
    AmdError::Root("a template is no certificate")
}

fn der(pem: &[u8]) -> Result<CertificateDer<'static>, AmdError> {
    CertificateDer::from_pem_slice(pem).map_err(unusable)
}

/// The products' names are equally long, so that nothing moves.
fn rename(der: &[u8], product: Product) -> Vec<u8> {
    let (from, to) = (Product::Milan.name().as_bytes(), product.name().as_bytes());
    let mut renamed = der.to_vec();
    let places: Vec<usize> = renamed
        .windows(from.len())
        .enumerate()
        .filter(|(_, part)| *part == from)
        .map(|(place, _)| place)
        .collect();
    for place in places {
        if let Some(part) = renamed.get_mut(place..place + to.len()) {
            part.copy_from_slice(to);
        }
    }
    renamed
}

struct Signed {
    tbs: Vec<u8>,
    algorithm: Vec<u8>,
}

fn parts(der: &[u8]) -> Result<Signed, x509_cert::der::Error> {
    let mut outer = elements(der)?.into_iter();
    let (tbs, algorithm) = (outer.next(), outer.next());
    Ok(Signed {
        tbs: tbs.unwrap_or_default(),
        algorithm: algorithm.unwrap_or_default(),
    })
}

/// The elements of a constructed value, each with its header.
fn elements(der: &[u8]) -> Result<Vec<Vec<u8>>, x509_cert::der::Error> {
    let mut reader = SliceReader::new(der)?;
    x509_cert::der::Header::decode(&mut reader)?;
    let mut elements = Vec::new();
    while !reader.is_finished() {
        elements.push(reader.tlv_bytes()?.to_vec());
    }
    Ok(elements)
}

fn wrap(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = body.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    match significant.as_slice() {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            out.extend(long);
        }
    }
    out.extend(body);
    out
}

/// The template's extensions with the platform's values (AMD publication 57230, table 8).
fn extensions(field: &[u8], platform: &Platform) -> Result<Vec<u8>, x509_cert::der::Error> {
    let inner = elements(field)?.concat();
    let template = Vec::<Extension>::from_der(&inner)?;
    let levels: &[(&str, u8)] = &levels(platform);
    let hwid = platform.chip_id.get(..platform.product.chip_id_len());
    let named = |suffix: &str| ObjectIdentifier::new(&format!("{AMD}.{suffix}"));
    let number = |value: u8| value.to_der();
    let mut fresh = Vec::new();
    for extension in template {
        let id = extension.extn_id.to_string();
        if !id.starts_with(AMD) {
            fresh.push(extension);
        }
    }
    let mut add = |suffix: &str, value: Vec<u8>| {
        fresh.push(Extension {
            extn_id: named(suffix).map_err(x509_cert::der::Error::from)?,
            critical: false,
            extn_value: OctetString::new(value)?,
        });
        Ok::<_, x509_cert::der::Error>(())
    };
    add("1", number(u8::from(platform.product == Product::Turin))?)?;
    let name = x509_cert::der::asn1::Ia5String::new(platform.product.name())?;
    add("2", name.to_der()?)?;
    for (suffix, level) in levels {
        add(suffix, number(*level)?)?;
    }
    add("4", hwid.unwrap_or_default().to_vec())?;
    Ok(wrap(EXTENSIONS_TAG, &fresh.to_der()?))
}

fn levels(platform: &Platform) -> Vec<(&'static str, u8)> {
    let [a, b, c, d, e, f, snp, microcode] = platform.tcb.to_le_bytes();
    match platform.product {
        Product::Milan | Product::Genoa => vec![
            ("3.1", a),
            ("3.2", b),
            ("3.4", c),
            ("3.5", d),
            ("3.6", e),
            ("3.7", f),
            ("3.3", snp),
            ("3.8", microcode),
        ],
        Product::Turin => vec![
            ("3.9", a),
            ("3.1", b),
            ("3.2", c),
            ("3.3", d),
            ("3.5", e),
            ("3.6", f),
            ("3.7", snp),
            ("3.8", microcode),
        ],
    }
}

fn sign(tbs: &[u8], algorithm: &[u8], key: &[u8]) -> Result<Vec<u8>, AmdError> {
    let signature = signature(tbs, key)?;
    let signature = BitString::from_bytes(&signature)
        .and_then(|bits| bits.to_der())
        .map_err(unusable)?;
    Ok(wrap(SEQUENCE_TAG, &[tbs, algorithm, &signature].concat()))
}

fn signature(bytes: &[u8], key: &[u8]) -> Result<Vec<u8>, AmdError> {
    let refuse = || AmdError::Root("a key of the authorities");
    let key = PrivatePkcs8KeyDer::from_pem_slice(key).map_err(|_| refuse())?;
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).map_err(|_| refuse())?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PSS_SHA384, &SystemRandom::new(), bytes, &mut signature)
        .map_err(|_| refuse())?;
    Ok(signature)
}

#[cfg(test)]
mod tests {
    use super::super::chain::Chain;
    use super::*;

    fn chain(platform: &Platform) -> String {
        let leaf = encode_string("CERTIFICATE", LineEnding::LF, &mint_vcek(platform).unwrap());
        leaf.unwrap() + &mint_authorities(platform.product).unwrap()
    }

    #[test]
    fn minted_chains_pass_the_judge_of_the_world() {
        for tcb in [0xdb18_0000_0000_0004, 0x7f08_0000_0000_0103] {
            let platform = Platform::of(Product::Milan, "another chip", tcb);
            // The judge knows one encoding of the root; ours is signed anew.
            let root = super::super::ark_pem();
            let minted = chain(&platform);
            let end = minted.rfind("-----BEGIN").unwrap();
            let judged = Chain::verify(&format!("{}{root}", &minted[..end])).unwrap();
            assert_eq!(judged.tcb, tcb.to_le_bytes());
            assert_eq!(judged.hardware_id, platform.chip_id);
        }
    }

    #[test]
    fn each_product_has_its_names_and_extensions() {
        for product in Product::ALL {
            let platform = Platform::of(product, "chip", 0x4e00_0000_0102_0901);
            let pem = chain(&platform);
            let certificates = Certificate::load_pem_chain(pem.as_bytes()).unwrap();
            let leaf = certificates[0].tbs_certificate();
            assert!(
                leaf.issuer()
                    .to_string()
                    .contains(&format!("CN=SEV-{}", product.name()))
            );
            let extensions = leaf.extensions().unwrap();
            let find = |suffix: &str| {
                let id = format!("{AMD}.{suffix}");
                extensions.iter().find(|one| one.extn_id.to_string() == id)
            };
            let level = |suffix: &str| u8::from_der(find(suffix).unwrap().extn_value.as_bytes());
            assert_eq!(find("3.9").is_some(), product == Product::Turin);
            assert_eq!(find("3.4").is_some(), product != Product::Turin);
            assert_eq!(level("3.8").unwrap(), 0x4e);
            assert_eq!(
                level("3.1").unwrap(),
                if product == Product::Turin { 9 } else { 1 }
            );
            let hwid = find("4").unwrap().extn_value.as_bytes();
            assert_eq!(hwid.len(), product.chip_id_len());
        }
    }

    #[test]
    fn the_list_is_the_roots() {
        let list = mint_crl(Product::Genoa).unwrap();
        let list: CertificateList = CertificateList::from_der(&list).unwrap();
        assert!(
            list.tbs_cert_list
                .issuer
                .to_string()
                .contains("CN=ARK-Genoa")
        );
        assert!(list.tbs_cert_list.revoked_certificates.is_none());
    }
}
