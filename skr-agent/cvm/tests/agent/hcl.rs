//! HCL reports as the paravisor writes them, over SNP reports that the test root's chip key signs.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::json;

macro_rules! mock {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/vectors/attestation-mock/",
            $name
        ))
    };
}
pub(crate) use mock;

const REPORT: &[u8; 1184] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/vectors/attestation-mock/report-v3.bin"
));

/// What the paravisor writes.
#[derive(Clone)]
pub(crate) struct Firmware {
    /// Modulus of the key that the claims name as the TPM's.
    pub(crate) ak: Vec<u8>,
    /// Whether new user data reaches the report.
    pub(crate) listens: bool,
    /// Whether the claims are changed after the report was made over them.
    pub(crate) tampers: bool,
}

impl Firmware {
    pub(crate) fn hcl_report(&self, user_data: &[u8; 64]) -> Vec<u8> {
        let user_data: String = user_data.iter().map(|byte| format!("{byte:02X}")).collect();
        let mut claims = json!({
            "keys": [{
                "kid": "HCLAkPub", "key_ops": ["sign"], "kty": "RSA", "e": "AQAB",
                "n": BASE64_URL_SAFE_NO_PAD.encode(&self.ak),
            }],
            "vm-configuration": {"console-enabled": true, "secure-boot": true, "tpm-enabled": true, "vmUniqueId": "1"},
            "user-data": user_data,
        })
        .to_string();
        let mut report_data = [0; 64];
        report_data[..32].copy_from_slice(digest(&SHA256, claims.as_bytes()).as_ref());
        if self.tampers {
            claims = claims.replace("\"vmUniqueId\":\"1\"", "\"vmUniqueId\":\"2\"");
        }
        let data = u32::try_from(claims.len()).unwrap();
        let number = |value: u32| value.to_le_bytes().to_vec();
        [
            b"HCLA".to_vec(),
            number(1),
            number(32 + 1184 + 20 + data),
            number(2),
            vec![0; 16],
            snp_report(&report_data),
            number(20 + data),
            number(1),
            number(2),
            number(1),
            number(data),
            claims.into_bytes(),
        ]
        .concat()
    }
}

fn snp_report(report_data: &[u8; 64]) -> Vec<u8> {
    let mut report = REPORT.to_vec();
    report[0x50..0x90].copy_from_slice(report_data);
    // A virtual machine has none.
    report[0xc0..0xe0].fill(0);
    let signature = chip_key()
        .sign(&SystemRandom::new(), &report[..0x2a0])
        .unwrap();
    let (r, s) = signature.as_ref().split_at(48);
    for (at, number) in [(0x2a0, r), (0x2e8, s)] {
        let little_endian: Vec<u8> = number.iter().rev().copied().collect();
        report[at..at + 72].fill(0);
        report[at..at + 48].copy_from_slice(&little_endian);
    }
    report
}

fn chip_key() -> EcdsaKeyPair {
    let pem: String = mock!("vcek.key.pem")
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let der = BASE64_STANDARD.decode(pem).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &der).unwrap()
}
