//! A manifest of images with its publisher's signature: COSE_Sign1 (RFC 9052), ES384, the JSON as embedded payload.

use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use cleanroom_crypto::ec::P384PublicKey;
use coset::{
    CborSerializable as _, CoseSign1, CoseSign1Builder, HeaderBuilder, RegisteredLabel,
    TaggedCborSerializable as _, iana,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};

use crate::{ImageError, PublishedImages, published};

/// Says what is signed, so that no other signed document passes for it.
const CONTENT_TYPE: &str = "application/vnd.cleanroom.image-manifest+json";
const MOST_BYTES: u64 = 5 << 20;

/// Signs a manifest's bytes with a private key on P-384, PEM of PKCS#8 or SEC1.
///
/// # Errors
/// [`ImageError::Key`].
pub fn sign(manifest: &[u8], key_pem: &[u8]) -> Result<Vec<u8>, ImageError> {
    let bad = |reason| ImageError::Key { reason };
    let private =
        PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| bad("it is no PEM private key"))?;
    let algorithm = &ECDSA_P384_SHA384_FIXED_SIGNING;
    let key = match &private {
        PrivateKeyDer::Pkcs8(der) => EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der()),
        PrivateKeyDer::Sec1(der) => {
            EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der())
        }
        _ => return Err(bad("it is no EC key")),
    };
    let key = key.map_err(|_| bad("it is not on the curve P-384"))?;
    let protected = HeaderBuilder::new()
        .algorithm(iana::Algorithm::ES384)
        .content_type(CONTENT_TYPE.to_owned())
        .build();
    CoseSign1Builder::new()
        .protected(protected)
        .payload(manifest.to_vec())
        .try_create_signature(&[], |bytes| {
            let signature = key.sign(&SystemRandom::new(), bytes);
            signature
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| bad("the signature failed"))
        })?
        .build()
        .to_tagged_vec()
        .map_err(|_| bad("the signed manifest cannot be encoded"))
}

/// Reads a signed manifest and checks it against its publisher's public key, PEM.
///
/// # Errors
/// [`ImageError::Key`], [`ImageError::Signature`], or as for [`PublishedImages::read`].
pub fn read_signed(path: &Path, key_pem: &[u8]) -> Result<PublishedImages, ImageError> {
    let bytes = published::read_capped(path, MOST_BYTES)?;
    PublishedImages::parse(path, &verify(path, &bytes, key_pem)?)
}

fn verify(path: &Path, bytes: &[u8], key_pem: &[u8]) -> Result<Vec<u8>, ImageError> {
    let bad = |reason| ImageError::Key { reason };
    let spki = SubjectPublicKeyInfoDer::from_pem_slice(key_pem)
        .map_err(|_| bad("it is no PEM public key"))?;
    let key =
        P384PublicKey::from_spki_der(&spki).map_err(|_| bad("it is not on the curve P-384"))?;
    let refused = |reason: &str| ImageError::Signature {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let signed = CoseSign1::from_tagged_slice(bytes)
        .or_else(|_| CoseSign1::from_slice(bytes))
        .map_err(|_| refused("it is no COSE_Sign1"))?;
    let header = &signed.protected.header;
    let es384 = coset::RegisteredLabelWithPrivate::Assigned(iana::Algorithm::ES384);
    if header.alg.as_ref() != Some(&es384) || !header.crit.is_empty() {
        return Err(refused("its algorithm is not ES384"));
    }
    let content_type = header.content_type.as_ref();
    if content_type != Some(&RegisteredLabel::Text(CONTENT_TYPE.to_owned())) {
        return Err(refused("what is signed is no manifest of images"));
    }
    signed
        .verify_signature(&[], |signature, data| key.verify_sha384(data, signature))
        .map_err(|_| refused("the signature is not of this key"))?;
    signed
        .payload
        .ok_or_else(|| refused("it has no manifest in it"))
}
