//! Key material: what a vault takes, shows and wraps.
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Material;
use super::fault::VaultFault;
use crate::entra::jwt::pkcs8;
use crate::world::VaultKind;

type Curve = (&'static str, usize, &'static EcdsaSigningAlgorithm);

const CURVES: [Curve; 4] = [
    ("P-256", 32, &ECDSA_P256_SHA256_FIXED_SIGNING),
    ("P-256K", 32, &ECDSA_P256K1_SHA256_FIXED_SIGNING),
    ("P-384", 48, &ECDSA_P384_SHA384_FIXED_SIGNING),
    ("P-521", 66, &ECDSA_P521_SHA512_FIXED_SIGNING),
];

/// A key as an import carries it.
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    #[serde(default)]
    pub(super) key_ops: Vec<String>,
    #[serde(flatten)]
    members: Map<String, Value>,
}

impl Jwk {
    pub(super) fn material(
        &self,
        kind: VaultKind,
        exportable: bool,
    ) -> Result<Material, VaultFault> {
        match (self.kty.as_str(), kind) {
            ("RSA" | "EC", VaultKind::KeyVault) if exportable => Err(VaultFault::release(
                1006,
                "Only keys protected by an HSM can be exportable.",
            )),
            ("RSA" | "RSA-HSM", _) => self.rsa(),
            ("EC" | "EC-HSM", _) => self.ec(),
            ("oct" | "oct-HSM", VaultKind::ManagedHsm) => self.oct(),
            (other, _) => Err(VaultFault::bad(format!(
                "Key type {other} is not supported by this vault."
            ))),
        }
    }

    fn number(&self, name: &str) -> Result<Vec<u8>, VaultFault> {
        let text = self.members.get(name).and_then(Value::as_str);
        let text = text.ok_or_else(|| VaultFault::bad(format!("key.{name} is missing")))?;
        URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|e| VaultFault::bad(format!("key.{name}: {e}")))
    }

    fn rsa(&self) -> Result<Material, VaultFault> {
        let [n, e, d, p, q] = ["n", "e", "d", "p", "q"].map(|name| self.number(name));
        let [dp, dq, qi] = ["dp", "dq", "qi"].map(|name| self.number(name));
        let (n, e) = (n?, e?);
        let der = pkcs8([&n, &e, &d?, &p?, &q?, &dp?, &dq?, &qi?]).map_err(VaultFault::bad)?;
        RsaKeyPair::from_pkcs8(&der)
            .map_err(|why| VaultFault::bad(format!("The RSA key is not valid: {why}")))?;
        Ok(Material::Rsa { n, e, pkcs8: der })
    }

    fn ec(&self) -> Result<Material, VaultFault> {
        let name = self.members.get("crv").and_then(Value::as_str);
        let curve = CURVES.iter().find(|(curve, ..)| Some(*curve) == name);
        let (curve, length, algorithm) =
            curve.ok_or_else(|| VaultFault::bad(format!("key.crv {name:?} is not supported")))?;
        let wide = |name: &str| -> Result<Vec<u8>, VaultFault> {
            let number = self.number(name)?;
            if number.len() == *length {
                return Ok(number);
            }
            Err(VaultFault::bad(format!(
                "key.{name} must have {length} bytes"
            )))
        };
        let (d, x, y) = (wide("d")?, wide("x")?, wide("y")?);
        let point = [&[4], &x[..], &y[..]].concat();
        let invalid = |why: String| VaultFault::bad(format!("The EC key is not valid: {why}"));
        let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &d, &point)
            .map_err(|why| invalid(why.to_string()))?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|why| invalid(why.to_string()))?;
        Ok(Material::Ec {
            curve,
            x,
            y,
            pkcs8: pkcs8.as_ref().to_vec(),
        })
    }

    fn oct(&self) -> Result<Material, VaultFault> {
        let k = self.number("k")?;
        if k.len() > 64 {
            return Err(VaultFault::bad("oct k too large, max 64"));
        }
        if k.is_empty() {
            return Err(VaultFault::bad("oct k is empty"));
        }
        Ok(Material::Oct(k))
    }
}

impl Material {
    pub(super) const fn kty(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RSA-HSM",
            Self::Ec { .. } => "EC-HSM",
            Self::Oct(_) => "oct-HSM",
        }
    }

    /// What a release wraps.
    pub(super) fn secret(&self) -> &[u8] {
        match self {
            Self::Rsa { pkcs8, .. } | Self::Ec { pkcs8, .. } => pkcs8,
            Self::Oct(bytes) => bytes,
        }
    }

    /// The public members of its JWK.
    pub(super) fn public(&self) -> Map<String, Value> {
        let number = |bytes: &[u8]| json!(URL_SAFE_NO_PAD.encode(bytes));
        let members = match self {
            Self::Rsa { n, e, .. } => vec![("n", number(n)), ("e", number(e))],
            Self::Ec { curve, x, y, .. } => {
                vec![("crv", json!(curve)), ("x", number(x)), ("y", number(y))]
            }
            Self::Oct(_) => Vec::new(),
        };
        let members = members.into_iter();
        members
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}
