use cleanroom_crypto::digest::sha256;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::certificate::Certificate;
use crate::error::shown;
use crate::{Product, SnpError};

/// SHA-256 of the subjectPublicKeyInfo of AMD's root keys (ARK), as AMD publishes them with its certificate chains.
const AMD: [(Product, &str); 3] = [
    (
        Product::Milan,
        "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9",
    ),
    (
        Product::Genoa,
        "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831",
    ),
    (
        Product::Turin,
        "4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08",
    ),
];
/// Longer than a certificate of each product.
const PEM_CAP: usize = 64 << 10;

/// The root keys that chains may end in. They are compared as keys: a root's certificate may be issued anew.
#[derive(Clone, Debug)]
pub struct Roots(Vec<(Product, String)>);

impl Roots {
    /// AMD's roots, compiled in.
    pub fn amd() -> Self {
        Self(AMD.map(|(product, key)| (product, key.to_owned())).to_vec())
    }

    /// Other roots, named `ARK-<product>`. Whoever calls this trusts whoever holds their keys: for tests alone.
    ///
    /// # Errors
    /// [`SnpError::Unusable`]: no certificate, or one that is not named after a product.
    pub fn from_pem(pem: &str) -> Result<Self, SnpError> {
        let unusable = |reason| SnpError::Unusable {
            what: "trusted roots",
            reason,
        };
        if pem.len() > PEM_CAP {
            return Err(unusable(format!("more than {PEM_CAP} bytes")));
        }
        let mut roots = Vec::new();
        for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let der = der.map_err(|error| unusable(format!("not PEM: {error:?}")))?;
            let root = Certificate::parse(&der).map_err(unusable)?;
            let name = root.common_name();
            let product = Product::ALL
                .into_iter()
                .find(|product| name == format!("ARK-{product}"))
                .ok_or_else(|| {
                    unusable(format!("CN {:?}, expected ARK-<product>", shown(&name)))
                })?;
            roots.push((product, fingerprint(&root)));
        }
        if roots.is_empty() {
            return Err(unusable("no certificate".to_owned()));
        }
        Ok(Self(roots))
    }

    /// The product whose root's key a certificate has.
    pub(crate) fn product_of(&self, certificate: &Certificate) -> Result<Product, String> {
        let actual = fingerprint(certificate);
        let found = self.0.iter().find(|(_, key)| *key == actual);
        found.map(|(product, _)| *product).ok_or(actual)
    }
}

fn fingerprint(certificate: &Certificate) -> String {
    hex::encode(sha256(&certificate.key_info().unwrap_or_default()))
}
