//! The real evidence of `tests/vectors/cvm`.

use serde_json::Value;

use crate::{Attestation, PcrValues, Quote};

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../tests/vectors/cvm/",
            $name
        ))
    };
}
pub(crate) use vector;

pub(crate) const HCL_2048: &[u8] = vector!("hcl-2048.bin");
pub(crate) const HCL_2600: &[u8] = vector!("hcl-2600.bin");

/// Answers of an attestation agent, each with the key file that it binds.
pub(crate) fn attestations() -> [(Attestation, &'static [u8]); 2] {
    [
        (
            Attestation::from_json(vector!("cleanroom-encryption.json")).unwrap(),
            vector!("cleanroom-encryption-key.pem"),
        ),
        (
            Attestation::from_json(vector!("cleanroom-signing.json")).unwrap(),
            vector!("cleanroom-signing-key.pem"),
        ),
    ]
}

/// A machine's HCL report, quote and PCR values.
pub(crate) struct Machine {
    pub(crate) hcl: Vec<u8>,
    pub(crate) quote: Quote,
    pub(crate) pcrs: PcrValues,
}

pub(crate) fn milan() -> Machine {
    use base64::Engine as _;
    let json: Value = serde_json::from_slice(vector!("evidence-v2.json")).unwrap();
    let hcl = json["hcl_report"].as_str().unwrap();
    let quote = &json["tpm_quote"];
    let bytes = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    Machine {
        hcl: base64::prelude::BASE64_URL_SAFE.decode(hcl).unwrap(),
        quote: Quote::of_parts(&bytes(&quote["message"]), &bytes(&quote["signature"])).unwrap(),
        pcrs: numbered(quote["pcrs"].as_array().unwrap().iter().map(bytes)),
    }
}

pub(crate) fn genoa() -> Machine {
    let json: Value = serde_json::from_slice(vector!("evidence-genoa.json")).unwrap();
    let bytes = |value: &Value| serde_json::from_value::<Vec<u8>>(value.clone()).unwrap();
    let quote = &json["quote"];
    Machine {
        hcl: bytes(&json["report"]),
        quote: Quote::of_parts(&bytes(&quote["message"]), &bytes(&quote["signature"])).unwrap(),
        pcrs: numbered(quote["pcrs"].as_array().unwrap().iter().map(bytes)),
    }
}

/// `quote.bin`: length-prefixed signature and statement, then 24 PCRs.
pub(crate) fn quote_alone() -> (Quote, PcrValues) {
    let bytes = vector!("quote.bin");
    let (signature, message) = (&bytes[8..264], &bytes[272..394]);
    let pcrs = bytes[402..].chunks(32).map(<[u8]>::to_vec);
    (Quote::of_parts(message, signature).unwrap(), numbered(pcrs))
}

fn numbered(values: impl Iterator<Item = Vec<u8>>) -> PcrValues {
    (0..)
        .zip(values.map(|value| value.try_into().unwrap()))
        .collect()
}
