//! The keys of the test root, and the signatures that they make.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, OnceLock};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    RSA_PKCS1_SHA384, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use rsa::pkcs8::DecodePrivateKey;
use rsa::signature::{SignatureEncoding, Signer};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Encode, Tag};

use super::der::{context, element, sequence};
use crate::vectors;

/// A key whose private half is published with the test vectors.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Key {
    /// RSA-4096.
    Ark,
    /// RSA-4096.
    Ask,
    /// P-384.
    Vcek,
    /// RSA-3072.
    UvmLeaf,
}

impl Key {
    fn pkcs8(self) -> PrivatePkcs8KeyDer<'static> {
        let name = match self {
            Self::Ark => "ark.key.pem",
            Self::Ask => "ask.key.pem",
            Self::Vcek => "vcek.key.pem",
            Self::UvmLeaf => "uvm-leaf.key.pem",
        };
        PrivatePkcs8KeyDer::from_pem_slice(&vectors::mock(name)).unwrap()
    }

    /// Reading a key takes longer than signing with it.
    fn pair(self) -> &'static Pair {
        static PAIRS: [OnceLock<Pair>; 4] = [const { OnceLock::new() }; 4];
        PAIRS[self as usize].get_or_init(|| {
            let pkcs8 = self.pkcs8();
            let der = pkcs8.secret_pkcs8_der();
            match self {
                Self::Vcek => Pair::Ec(
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der).unwrap(),
                ),
                _ => Pair::Rsa(RsaKeyPair::from_pkcs8(der).unwrap()),
            }
        })
    }

    /// SubjectPublicKeyInfo.
    pub(crate) fn spki(self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = match self.pair() {
            Pair::Ec(key) => key.public_key().as_der().unwrap(),
            Pair::Rsa(key) => key.public_key().as_der().unwrap(),
        };
        der.as_ref().to_vec()
    }

    /// r and s of a report's signature, 48 big-endian bytes each.
    pub(crate) fn sign_report(self, signed: &[u8]) -> [[u8; 48]; 2] {
        let Pair::Ec(key) = self.pair() else {
            panic!("{self:?} signs no reports");
        };
        let signature = key.sign(&SystemRandom::new(), signed).unwrap();
        let (r, s) = signature.as_ref().split_at(48);
        [r.try_into().unwrap(), s.try_into().unwrap()]
    }
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// A curve of a key that nothing is signed with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Curve {
    P256,
    P384,
}

/// SubjectPublicKeyInfo of a fresh key.
pub(crate) fn fresh_spki(curve: Curve) -> Vec<u8> {
    let algorithm = match curve {
        Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
    };
    let key = EcdsaKeyPair::generate(algorithm).unwrap();
    let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    der.as_ref().to_vec()
}

/// How an RSA key signs.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Scheme {
    /// RSASSA-PSS, SHA-384, salt of 48 bytes: AMD's, and PS384.
    Pss,
    /// The same with SHA-256 and a salt of 32 bytes.
    PssSha256,
    /// The same with SHA-512 and a salt of 64 bytes.
    PssSha512,
    /// SHA-384 with a salt of 32 bytes.
    PssShortSalt,
    /// PKCS#1 v1.5 with SHA-384.
    Pkcs1,
}

const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

impl Scheme {
    /// Signs; the same message gets the same signature, since most vectors leave most certificates as they are.
    pub(crate) fn sign(self, key: Key, message: &[u8]) -> Vec<u8> {
        type Made = Mutex<HashMap<(Scheme, Key, Vec<u8>), Vec<u8>>>;
        static MADE: LazyLock<Made> = LazyLock::new(Made::default);
        let wanted = (self, key, message.to_vec());
        if let Some(signature) = MADE.lock().unwrap().get(&wanted) {
            return signature.clone();
        }
        let signature = self.sign_anew(key, message);
        MADE.lock().unwrap().insert(wanted, signature.clone());
        signature
    }

    fn sign_anew(self, key: Key, message: &[u8]) -> Vec<u8> {
        let padding: &dyn RsaEncoding = match self {
            Self::Pss => &RSA_PSS_SHA384,
            Self::PssSha256 => &RSA_PSS_SHA256,
            Self::PssSha512 => &RSA_PSS_SHA512,
            Self::Pkcs1 => &RSA_PKCS1_SHA384,
            Self::PssShortSalt => {
                let key = rsa::PrivateKey::from_pkcs8_der(key.pkcs8().secret_pkcs8_der()).unwrap();
                let key = rsa::pss::SigningKey::<sha2::Sha384>::new_with_salt_len(key, 32);
                return key.sign(message).to_vec();
            }
        };
        let Pair::Rsa(key) = key.pair() else {
            panic!("{key:?} signs nothing but reports");
        };
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(padding, &SystemRandom::new(), message, &mut signature)
            .unwrap();
        signature
    }

    /// AlgorithmIdentifier.
    pub(crate) fn algorithm(self) -> Vec<u8> {
        match self {
            Self::Pss => pss(SHA384, SHA384, 48, &[]),
            Self::PssSha256 => pss(SHA256, SHA256, 32, &[]),
            Self::PssSha512 => pss(SHA512, SHA512, 64, &[]),
            Self::PssShortSalt => pss(SHA384, SHA384, 32, &[]),
            Self::Pkcs1 => algorithm("1.2.840.113549.1.1.12", &null()),
        }
    }
}

/// AMD's algorithm with the trailer field that is given.
pub(crate) fn pss_with_trailer(trailer: u8) -> Vec<u8> {
    pss(SHA384, SHA384, 48, &[number(trailer)])
}

/// AMD's algorithm, except that the mask is made with SHA-256.
pub(crate) fn pss_with_other_mask() -> Vec<u8> {
    pss(SHA384, SHA256, 48, &[])
}

/// RSASSA-PSS without parameters, which means SHA-1.
pub(crate) fn pss_without_parameters() -> Vec<u8> {
    algorithm("1.2.840.113549.1.1.10", &[])
}

pub(crate) fn algorithm(id: &str, parameters: &[u8]) -> Vec<u8> {
    let id = ObjectIdentifier::new(id).unwrap().to_der().unwrap();
    sequence(&[id, parameters.to_vec()])
}

fn pss(hash: ObjectIdentifier, mask: ObjectIdentifier, salt: u8, trailer: &[Vec<u8>]) -> Vec<u8> {
    let hashed = |id: ObjectIdentifier| sequence(&[id.to_der().unwrap(), null()]);
    let mut parameters = vec![
        context(0, &hashed(hash)),
        context(1, &algorithm("1.2.840.113549.1.1.8", &hashed(mask))),
        context(2, &number(salt)),
    ];
    parameters.extend(trailer.iter().map(|value| context(3, value)));
    algorithm("1.2.840.113549.1.1.10", &sequence(&parameters))
}

fn number(value: u8) -> Vec<u8> {
    value.to_der().unwrap()
}

fn null() -> Vec<u8> {
    element(Tag::Null, &[])
}
