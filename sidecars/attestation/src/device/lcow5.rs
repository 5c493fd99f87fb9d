//! Microsoft's driver for 5.x kernels.

use std::fs::File;
use std::path::Path;

use super::{Refusal, ioctl, message};
use crate::Report;

/// Room for the message and 64 further bytes; the driver refuses less.
const RESPONSE_LEN: usize = 1280;
const REPORT_REQ: u8 = 5;
const REPORT_RSP: u8 = 6;

/// The argument of the driver's ioctl.
#[repr(C)]
#[derive(Default)]
struct Argument {
    request_type: u8,
    response_type: u8,
    message_version: u8,
    pad: u8,
    request_len: u16,
    pad2: u16,
    request: u64,
    response_len: u16,
    pad3: [u8; 6],
    response: u64,
    error: u32,
    pad4: u32,
}

const GET_REPORT: libc::Ioctl = libc::_IOWR::<Argument>(b'S' as u32, 1);

pub(super) fn report(
    device: &File,
    path: &Path,
    report_data: &[u8; 64],
) -> Result<Report, Refusal> {
    let mut request = ioctl::request(report_data);
    let mut response = vec![0_u8; RESPONSE_LEN];
    let mut argument = Argument {
        request_type: REPORT_REQ,
        response_type: REPORT_RSP,
        message_version: 1,
        request_len: 96,
        request: ioctl::address(request.as_mut_ptr()),
        response_len: 1280,
        response: ioctl::address(response.as_mut_ptr()),
        ..Argument::default()
    };
    let outcome = ioctl::call(device, GET_REPORT, &mut argument);
    // The driver may fail the call and say why beside it.
    match (outcome, argument.error) {
        (Ok(()), 0) => message::report(&response, path),
        (_, error) if error != 0 => Err(Refusal::firmware(path, format!("error {error:#x}"))),
        (Err(source), _) => Err(Refusal::of(path, "refused the report request", source)),
        (Ok(()), error) => Err(Refusal::firmware(path, format!("error {error:#x}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn the_request_has_the_drivers_number_and_layout() {
        assert_eq!(GET_REPORT, 0xc028_5301);
        assert_eq!(offset_of!(Argument, request), 8);
        assert_eq!(offset_of!(Argument, response_len), 16);
        assert_eq!(offset_of!(Argument, response), 24);
        assert_eq!(offset_of!(Argument, error), 32);
    }
}
