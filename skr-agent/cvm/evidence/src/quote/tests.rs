use cleanroom_crypto::digest::sha256;

use super::*;
use crate::HclReport;
use crate::vectors::{attestations, genoa, milan, quote_alone, vector};

#[test]
fn real_quotes_are_signed_by_the_key_in_the_claims_and_name_their_nonce() {
    for (attestation, _) in attestations() {
        let evidence = attestation.evidence;
        let quote = Quote::parse(&evidence.tpm_quote).unwrap();
        let claims = HclReport::parse(&evidence.hcl_report)
            .unwrap()
            .claims()
            .unwrap();
        quote.check_signature(claims.ak()).unwrap();
        quote.check_nonce(&sha256(b"azure-cleanroom")).unwrap();
        assert_eq!(attestation.nonce, sha256(b"azure-cleanroom"));
        assert_eq!(quote.selection(), PcrSelection::ALL);
        quote.check_pcrs(&evidence.pcrs).unwrap();
        assert_eq!(quote.to_bytes(), evidence.tpm_quote);
    }
    for machine in [milan(), genoa()] {
        let claims = HclReport::parse(&machine.hcl).unwrap().claims().unwrap();
        machine.quote.check_signature(claims.ak()).unwrap();
        machine.quote.check_pcrs(&machine.pcrs).unwrap();
        let again = Quote::parse(&machine.quote.to_bytes()).unwrap();
        assert_eq!(again, machine.quote);
    }
}

#[test]
fn a_quote_without_its_machine_is_signed_by_the_key_beside_it() {
    let (quote, pcrs) = quote_alone();
    let pem = std::str::from_utf8(vector!("quote-ak.pem")).unwrap();
    quote
        .check_signature(&PublicKey::from_spki_pem(pem).unwrap())
        .unwrap();
    quote.check_nonce(b"challenge").unwrap();
    quote.check_pcrs(&pcrs).unwrap();
    let other = HclReport::parse(&milan().hcl).unwrap().claims().unwrap();
    assert_eq!(
        quote.check_signature(other.ak()),
        Err(EvidenceError::QuoteSignature)
    );
}

#[test]
fn any_changed_bit_of_a_quote_is_noticed() {
    let machine = milan();
    let claims = HclReport::parse(&machine.hcl).unwrap().claims().unwrap();
    let bytes = machine.quote.to_bytes();
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        let outcome = Quote::parse(&bytes).and_then(|quote| quote.check_signature(claims.ak()));
        assert!(outcome.is_err(), "byte {at}");
    }
}

#[test]
fn a_quote_that_ends_early_or_goes_on_is_refused() {
    let bytes = milan().quote.to_bytes();
    for length in 0..bytes.len() {
        assert!(Quote::parse(&bytes[..length]).is_err(), "{length} bytes");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(
        Quote::parse(&longer),
        Err(EvidenceError::Quote {
            field: "bytes behind it",
            ..
        })
    ));
}

#[test]
fn other_statements_and_schemes_are_refused_by_name() {
    let bytes = milan().quote.to_bytes();
    // TPM2B length, magic, type, qualified signer (2 + 34), nonce (2 + 48), clock and firmware (25), banks (4).
    let banks = 2 + 4 + 2 + 36 + 50 + 25;
    let scheme = bytes.len() - 256 - 6;
    for (at, value, field) in [
        (2, 0, "magic"),
        (7, 0x17, "type"),
        (banks + 3, 2, "PCR banks"),
        (banks + 5, 4, "PCR bank"),
        (banks + 6, 5, "PCR selection"),
        (scheme + 1, 0x16, "signature scheme"),
        (scheme + 3, 0x04, "signature scheme"),
    ] {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        match Quote::parse(&bytes).unwrap_err() {
            EvidenceError::Quote { field: actual, .. } => assert_eq!(actual, field),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn another_nonce_is_refused_and_both_are_named() {
    let (quote, _) = quote_alone();
    let refusal = quote.check_nonce(b"Challenge").unwrap_err();
    assert_eq!(
        refusal,
        EvidenceError::Nonce {
            expected: hex::encode("Challenge"),
            actual: hex::encode("challenge"),
        }
    );
    assert!(quote.check_nonce(b"").is_err());
    assert!(quote.check_nonce(b"challenge\0").is_err());
}

#[test]
fn other_pcrs_or_values_are_refused() {
    let (quote, pcrs) = quote_alone();
    let mut changed = pcrs.clone();
    changed.get_mut(&4).unwrap()[0] ^= 1;
    assert!(matches!(
        quote.check_pcrs(&changed),
        Err(EvidenceError::PcrDigest { .. })
    ));
    let mut fewer = pcrs.clone();
    fewer.remove(&23);
    assert!(matches!(
        quote.check_pcrs(&fewer),
        Err(EvidenceError::PcrSelection { .. })
    ));
    // The same bytes under other indices have the same digest.
    let mut moved = pcrs;
    let value = moved.remove(&23).unwrap();
    moved.insert(24, value);
    assert!(matches!(
        quote.check_pcrs(&moved),
        Err(EvidenceError::PcrSelection { .. })
    ));
}

#[test]
fn a_selection_is_of_existing_pcrs() {
    assert_eq!(PcrSelection::of(&[]), Ok(PcrSelection::ALL));
    let some = PcrSelection::of(&[23, 0, 7, 7]).unwrap();
    assert_eq!(some.indices().collect::<Vec<_>>(), [0, 7, 23]);
    for index in [-1, 24, i64::MAX, i64::MIN, 1 << 32] {
        assert_eq!(
            PcrSelection::of(&[0, index]),
            Err(EvidenceError::PcrIndex { index })
        );
    }
}
