//! Project Wycheproof's vectors against every primitive of this crate that judges or opens foreign bytes.
//!
//! `valid` must be accepted with the expected result and `invalid` refused. `acceptable` means that a library may do
//! either: what is accepted must still have the expected result, and their number is part of the count. Here nine of
//! 3926 are acceptable (PKCS#1 v1.5 with the NULL of its hash left out, and the wrapping of a key of 8 bytes), and all
//! nine are refused. The counts are exact, so that no vector disappears unnoticed.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

use cleanroom_crypto::ec::P384PublicKey;
use cleanroom_crypto::keywrap::{unwrap_kw, unwrap_kwp, wrap_kw, wrap_kwp};
use cleanroom_crypto::rsa::{OaepHash, PrivateKey, PublicKey};
use wycheproof::TestResult;

/// What became of the vectors.
#[derive(Debug, Default, Eq, PartialEq)]
struct Count {
    valid: usize,
    invalid: usize,
    acceptable_taken: usize,
    acceptable_refused: usize,
}

impl Count {
    /// `outcome`: whether the right result came out, or nothing.
    fn judge(&mut self, expected: TestResult, outcome: Option<bool>, what: &str) {
        if outcome == Some(false) {
            panic!("{what}: accepted with another result");
        }
        let slot = match (expected, outcome.is_some()) {
            (TestResult::Valid, true) => &mut self.valid,
            (TestResult::Invalid, false) => &mut self.invalid,
            (TestResult::Acceptable, true) => &mut self.acceptable_taken,
            (TestResult::Acceptable, false) => &mut self.acceptable_refused,
            (TestResult::Valid, false) => panic!("{what}: refused, but valid"),
            (TestResult::Invalid, true) => panic!("{what}: accepted, but invalid"),
        };
        *slot += 1;
    }

    const fn of(
        valid: usize,
        invalid: usize,
        acceptable_taken: usize,
        acceptable_refused: usize,
    ) -> Self {
        Self {
            valid,
            invalid,
            acceptable_taken,
            acceptable_refused,
        }
    }
}

#[test]
fn aes_key_wrap() {
    use wycheproof::keywrap::{TestName, TestSet};
    let mut count = Count::default();
    let set = TestSet::load(TestName::AesKeyWrap).unwrap();
    for group in set.test_groups.iter().filter(|group| group.key_size == 256) {
        for test in &group.tests {
            let kek: [u8; 32] = test.key.as_slice().try_into().unwrap();
            let opened = unwrap_kw(&kek, &test.ct).ok();
            let outcome = opened.map(|clear| clear.as_slice() == test.pt.as_slice());
            count.judge(test.result, outcome, &format!("aes_kw {}", test.tc_id));
            if test.result == TestResult::Valid {
                assert_eq!(wrap_kw(&kek, &test.pt).unwrap(), test.ct.as_slice());
            }
        }
    }
    assert_eq!(count, Count::of(13, 54, 0, 1));
}

#[test]
fn aes_key_wrap_with_padding() {
    use wycheproof::keywrap::{TestName, TestSet};
    let mut count = Count::default();
    let set = TestSet::load(TestName::AesKeyWrapWithPadding).unwrap();
    // The envelope of a vault holds an AES-256 key, nothing else can be given to this crate.
    for group in set.test_groups.iter().filter(|group| group.key_size == 256) {
        for test in &group.tests {
            let kek: [u8; 32] = test.key.as_slice().try_into().unwrap();
            let opened = unwrap_kwp(&kek, &test.ct).ok();
            let outcome = opened.map(|clear| clear.as_slice() == test.pt.as_slice());
            count.judge(test.result, outcome, &format!("aes_kwp {}", test.tc_id));
            if test.result == TestResult::Valid {
                assert_eq!(wrap_kwp(&kek, &test.pt).unwrap(), test.ct.as_slice());
            }
        }
    }
    assert_eq!(count, Count::of(25, 69, 0, 0));
}

#[test]
fn rsa_oaep() {
    use wycheproof::rsa_oaep::{TestName, TestSet};
    let mut count = Count::default();
    for (name, hash) in [
        (TestName::Rsa2048Sha1Mgf1Sha1, OaepHash::Sha1),
        (TestName::Rsa2048Sha256Mgf1Sha256, OaepHash::Sha256),
        (TestName::Rsa2048Sha384Mgf1Sha384, OaepHash::Sha384),
        (TestName::Rsa3072Sha256Mgf1Sha256, OaepHash::Sha256),
        (TestName::Rsa4096Sha256Mgf1Sha256, OaepHash::Sha256),
    ] {
        for group in &TestSet::load(name).unwrap().test_groups {
            let key = PrivateKey::from_pkcs8_der(&group.pkcs8).unwrap();
            for test in &group.tests {
                let opened = key.decrypt_oaep(hash, &test.ct).ok();
                let outcome = opened.map(|clear| clear.as_slice() == test.pt.as_slice());
                // Nothing here uses labels, so a cipher text under one must not open.
                let expected = if test.label.is_empty() {
                    test.result
                } else {
                    TestResult::Invalid
                };
                count.judge(expected, outcome, &format!("{name:?} {}", test.tc_id));
            }
        }
    }
    assert_eq!(count, Count::of(50, 131, 0, 0));
}

#[test]
fn ecdsa_p384() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let mut count = Count::default();
    for (name, fixed) in [
        (TestName::EcdsaSecp384r1Sha384P1363, true),
        (TestName::EcdsaSecp384r1Sha384, false),
    ] {
        for group in &TestSet::load(name).unwrap().test_groups {
            let key = P384PublicKey::from_spki_der(&group.der).unwrap();
            assert_eq!(P384PublicKey::from_point(&group.key.key).unwrap(), key);
            for test in &group.tests {
                let verified = if fixed {
                    key.verify_sha384(&test.msg, &test.sig)
                } else {
                    key.verify_sha384_der(&test.msg, &test.sig)
                };
                let outcome = verified.ok().map(|()| true);
                count.judge(test.result, outcome, &format!("{name:?} {}", test.tc_id));
            }
        }
    }
    assert_eq!(count, Count::of(387, 397, 0, 0));
}

#[test]
fn rsa_pss() {
    use wycheproof::rsa_pss_verify::{TestName, TestSet};
    type Verify = fn(&PublicKey, &[u8], &[u8]) -> bool;
    let sha256: Verify = |key, message, sig| key.verify_pss_sha256(message, sig).is_ok();
    let sha384: Verify = |key, message, sig| key.verify_pss_sha384(message, sig).is_ok();
    let mut count = Count::default();
    for (name, verify, ours) in [
        (TestName::RsaPss2048Sha256Mgf1SaltLen32, sha256, true),
        (TestName::RsaPss3072Sha256Mgf1SaltLen32, sha256, true),
        (TestName::RsaPss4096Sha256Mgf1SaltLen32, sha256, true),
        (TestName::RsaPss2048Sha384Mgf1SaltLen48, sha384, true),
        (TestName::RsaPss4096Sha384Mgf1SaltLen48, sha384, true),
        // Valid under other parameters: another salt, another MGF1 hash.
        (TestName::RsaPss2048Sha256Mgf1SaltLen0, sha256, false),
        (TestName::RsaPss2048Sha256Mgf1Sha1_20, sha256, false),
    ] {
        for group in &TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_spki_der(&group.der).unwrap();
            // What is invalid under another salt's length may be valid under ours.
            let tests = group.tests.iter();
            for test in tests.filter(|test| ours || test.result == TestResult::Valid) {
                let outcome = verify(&key, &test.msg, &test.sig).then_some(true);
                let expected = if ours {
                    test.result
                } else {
                    TestResult::Invalid
                };
                count.judge(expected, outcome, &format!("{name:?} {}", test.tc_id));
            }
        }
    }
    assert_eq!(count, Count::of(379, 351, 0, 0));
}

#[test]
fn rsa_pkcs1() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    type Verify = fn(&PublicKey, &[u8], &[u8]) -> bool;
    let sha256: Verify = |key, message, sig| key.verify_pkcs1_sha256(message, sig).is_ok();
    let sha384: Verify = |key, message, sig| key.verify_pkcs1_sha384(message, sig).is_ok();
    let mut count = Count::default();
    for (name, verify) in [
        (TestName::Rsa2048Sha256, sha256),
        (TestName::Rsa3072Sha256, sha256),
        (TestName::Rsa4096Sha256, sha256),
        (TestName::Rsa8192Sha256, sha256),
        (TestName::Rsa2048Sha384, sha384),
        (TestName::Rsa3072Sha384, sha384),
        (TestName::Rsa4096Sha384, sha384),
        (TestName::Rsa8192Sha384, sha384),
    ] {
        for group in &TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_spki_der(&group.der).unwrap();
            for test in &group.tests {
                let outcome = verify(&key, &test.msg, &test.sig).then_some(true);
                count.judge(test.result, outcome, &format!("{name:?} {}", test.tc_id));
            }
        }
    }
    assert_eq!(count, Count::of(59, 2002, 0, 8));
}
