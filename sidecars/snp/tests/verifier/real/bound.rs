//! What real reports bind: the pre-images of report_data and host_data, to the byte.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};
use snp::{CheckId, Report, UvmRoots, report_data};

use super::{Real, all, failed};
use crate::vectors;

fn named(name: &str) -> Real {
    all().into_iter().find(|real| real.name == name).unwrap()
}

/// Evidence, and the bytes whose hash it binds.
fn pre_images() -> Vec<(&'static str, Vec<u8>)> {
    let room_8 = "cleanroom-8/insecure-virtual";
    let base64_of = |pem: &str| BASE64_STANDARD.encode(pem).into_bytes();
    let key_of = |name: &str| {
        let json = vectors::json(&format!("attestation/cleanroom-4/ccf/{name}"));
        base64_of(json["publicKey"].as_str().unwrap())
    };
    let runtime_data = |folder: &str| {
        let request = vectors::json(&format!("attestation/{folder}/maa-request.json"));
        vectors::base64(request["runtimeData"]["data"].as_str().unwrap())
    };
    vec![
        (
            "a governance service's sample",
            base64_of(&vectors::real_text(
                "cleanroom-4/governance/ccr_gov_pub_key.pem",
            )),
        ),
        (
            "an encryption key of clean room 4",
            key_of("encryption_key_attestation.json"),
        ),
        (
            "a signing key of clean room 4",
            key_of("signing_key_attestation.json"),
        ),
        (
            "a token request of clean room 4",
            runtime_data("cleanroom-4/local-skr"),
        ),
        (
            "an encryption key of clean room 8",
            vectors::real(&format!("{room_8}/encryption/pub_key.pem")),
        ),
        (
            "a signing key of clean room 8",
            vectors::real(&format!("{room_8}/signing/pub_key.pem")),
        ),
        (
            "an encryption key of clean room 8 under the other policy",
            vectors::real(&format!("{room_8}-2/encryption/pub_key.pem")),
        ),
        (
            "a token request of clean room 8",
            runtime_data(&format!("{room_8}/encryption")),
        ),
    ]
}

#[test]
fn real_keys_are_bound_and_a_byte_more_is_not() {
    let any_svn = UvmRoots::microsoft().unwrap().with_minimum_svn(0);
    for (name, bytes) in pre_images() {
        let real = named(name);
        let mut requirements = real.of_its_time();
        requirements.report_data = report_data(&bytes);
        let verification = real.verify(&requirements, &any_svn);
        // The samples run under policies that allow everything.
        assert_eq!(failed(&verification), [CheckId::AllowAll], "{name}");

        let line_feed = [&bytes[..], b"\n"].concat();
        let carriage_return = [&bytes[..], b"\r\n"].concat();
        let windows = bytes
            .split(|byte| *byte == b'\n')
            .collect::<Vec<_>>()
            .join(&b"\r\n"[..]);
        let stripped = bytes.trim_ascii_end();
        let short = &bytes[..bytes.len() - 1];
        for changed in [&line_feed, &carriage_return, &windows, stripped, short, b""] {
            if changed == bytes {
                continue;
            }
            requirements.report_data = report_data(changed);
            let verification = real.verify(&requirements, &any_svn);
            assert_eq!(
                failed(&verification),
                [CheckId::AllowAll, CheckId::ReportData],
                "{name}"
            );
        }
    }
}

/// The same text, of which one generation of key generators ends with a line feed and the other does not.
#[test]
fn the_line_feed_at_the_end_of_a_pem_is_part_of_what_is_bound() {
    let old = vectors::real("cleanroom-4/governance/ccr_gov_pub_key.pem");
    let new = vectors::real("cleanroom-8/insecure-virtual/encryption/pub_key.pem");
    assert!(old.ends_with(b"-----\n"));
    assert!(new.ends_with(b"-----"));
}

#[test]
fn token_requests_carry_the_keys_that_they_bind() {
    for folder in [
        "cleanroom-4/local-skr",
        "cleanroom-8/insecure-virtual/encryption",
    ] {
        let request = vectors::json(&format!("attestation/{folder}/maa-request.json"));
        let data = vectors::base64(request["runtimeData"]["data"].as_str().unwrap());
        assert_eq!(
            data,
            vectors::real(&format!("{folder}/public-key-jwks")),
            "{folder}"
        );
        assert!(request["nonce"].is_u64());
    }
    let newest =
        vectors::json("attestation/cleanroom-8/insecure-virtual/encryption/maa-request.json");
    assert_eq!(newest["nonce"].as_u64(), Some(13_202_930_541_250_959_283));
}

#[test]
fn real_policies_hash_to_host_data() {
    let policy = |text: &str| {
        let digest: [u8; 32] = Sha256::digest(vectors::base64(text)).into();
        digest
    };
    let host_data = |name: &str| *Report::parse(&named(name).report).unwrap().host_data();
    assert_eq!(
        policy(&vectors::real_text("uvm_security_policy.base64")),
        host_data("a group of 2023")
    );
    for (folder, name) in [
        ("insecure-virtual", "an encryption key of clean room 8"),
        (
            "insecure-virtual-2",
            "an encryption key of clean room 8 under the other policy",
        ),
    ] {
        let values = vectors::real_text(&format!("cleanroom-8/{folder}/values.txt"));
        let value = |key: &str| {
            let mut lines = values.lines();
            lines
                .find_map(|line| line.strip_prefix(key))
                .unwrap()
                .trim()
        };
        let digest = policy(value("ccepolicy:"));
        assert_eq!(hex::encode(digest), value("hostdata:"));
        assert_eq!(digest, host_data(name));
        assert!(snp::is_allow_all(&digest));
    }
    assert_eq!(
        hex::encode(policy(&vectors::real_text(
            "skr-sidecar/security-context/security-policy-base64"
        ))),
        "4f4448c67f3c8dfc8de8a5e37125d807dadcc41f06cf23f615dbd52eec777d10"
    );
}
