//! A TPM's quote: TPM2B_ATTEST and TPMT_SIGNATURE, and the certificate of its key.
#![no_main]

use cvm_evidence::{AkCertificate, Quote};
use fuzz::{bounded, sign};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(quote) = bounded(input, 8, || Quote::parse(input)) {
        assert_eq!(quote.to_bytes(), input);
        assert_eq!(Quote::parse(&quote.to_bytes()).as_ref(), Ok(&quote));
        assert!(quote.check_nonce(quote.extra_data()).is_ok());
        assert!(
            quote
                .selection()
                .indices()
                .all(|index| index < cvm_evidence::PCRS)
        );
        assert!(
            quote.check_signature(&sign::RSA.public_key()).is_err(),
            "a forged quote"
        );
        // The statement, signed: the same, and now it verifies.
        let length = usize::from(u16::from_be_bytes([input[0], input[1]]));
        let message = &input[2..2 + length];
        let signature = sign::RSA.sign_pkcs1_sha256(message).unwrap();
        let signed = Quote::of_parts(message, &signature).unwrap();
        assert!(signed.check_signature(&sign::RSA.public_key()).is_ok());
        assert_eq!(
            (signed.extra_data(), signed.selection()),
            (quote.extra_data(), quote.selection())
        );
    }
    if let Ok(certificate) = bounded(input, 8, || AkCertificate::trim(input)) {
        let (der, rest) = input.split_at(certificate.der().len());
        assert_eq!(certificate.der(), der);
        assert!(rest.iter().all(|byte| *byte == 0));
        assert_eq!(AkCertificate::trim(der).as_ref(), Ok(&certificate));
        let ours = bounded(input, 64, || certificate.check_key(&sign::RSA.public_key()));
        assert!(ours.is_err() || fuzz::mock::contains(der, sign::RSA.public_key().n_be()));
    }
});
