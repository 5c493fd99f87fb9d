//! MSG_REPORT_RSP: status, length, 24 reserved bytes, report.

use std::path::Path;

use super::Refusal;
use crate::{REPORT_LEN, Report};

pub(super) fn report(message: &[u8], path: &Path) -> Result<Report, Refusal> {
    let firmware = |detail: String| Refusal::firmware(path, detail);
    let short = || firmware("a short answer".to_owned());
    let (status, rest) = message.split_first_chunk::<4>().ok_or_else(short)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    match u32::from_le_bytes(*status) {
        0 => {}
        0x16 => return Err(firmware("status 0x16, invalid parameters".to_owned())),
        status => return Err(firmware(format!("status {status:#x}"))),
    }
    let length = u32::from_le_bytes(*length);
    if usize::try_from(length) != Ok(REPORT_LEN) {
        return Err(firmware(format!(
            "a report of {length} bytes, expected {REPORT_LEN}"
        )));
    }
    let report = rest.get(24..24 + REPORT_LEN).ok_or_else(short)?;
    Report::parse(report).map_err(|error| Refusal::Final(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidecar_http::Coded;

    const REPORT: &[u8] = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/vectors/attestation/snp_report.bin"
    ));

    #[test]
    fn the_message_around_a_report_is_checked() {
        let message = |status: u32, length: u32| {
            let mut message = vec![0; 4000];
            message[..4].copy_from_slice(&status.to_le_bytes());
            message[4..8].copy_from_slice(&length.to_le_bytes());
            message[32..32 + REPORT_LEN].copy_from_slice(REPORT);
            message
        };
        let path = Path::new("/dev/sev-guest");
        let whole = report(&message(0, 1184), path).unwrap();
        assert_eq!(whole.as_bytes(), REPORT);
        let mut refused = vec![message(0, 1184)[..1000].to_vec(), Vec::new()];
        for (status, length) in [(0x16, 1184), (1, 1184), (0, 1183), (0, 0)] {
            refused.push(message(status, length));
        }
        for message in refused {
            let Err(Refusal::Final(error)) = report(&message, path) else {
                panic!("accepted, or to be tried again");
            };
            assert_eq!(error.code(), "CR-SKR-0004");
        }
    }
}
