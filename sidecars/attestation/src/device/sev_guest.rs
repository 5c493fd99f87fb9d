//! The mainline driver of 6.x kernels.

use std::fs::File;
use std::path::Path;

use super::{Refusal, ioctl, message};
use crate::{AttestError, Report};

/// Exactly what the driver writes.
const RESPONSE_LEN: usize = 4000;

/// The argument of the driver's ioctl.
#[repr(C)]
#[derive(Default)]
struct Argument {
    message_version: u8,
    pad: [u8; 7],
    request: u64,
    response: u64,
    /// Low half: the firmware's error; high half: the host's.
    errors: u64,
}

const GET_REPORT: libc::Ioctl = libc::_IOWR::<Argument>(b'S' as u32, 0);
/// The host asks to come again later.
const HOST_BUSY: u64 = 2;

pub(super) fn report(
    device: &File,
    path: &Path,
    report_data: &[u8; 64],
) -> Result<Report, Refusal> {
    let mut request = ioctl::request(report_data);
    let mut response = vec![0_u8; RESPONSE_LEN];
    let mut argument = Argument {
        message_version: 1,
        request: ioctl::address(request.as_mut_ptr()),
        response: ioctl::address(response.as_mut_ptr()),
        ..Argument::default()
    };
    let outcome = ioctl::call(device, GET_REPORT, &mut argument);
    let (firmware, host) = (argument.errors & 0xffff_ffff, argument.errors >> 32);
    match outcome {
        Ok(()) => message::report(&response, path),
        Err(source) if host == HOST_BUSY => Err(Refusal::Busy(AttestError::Device {
            path: path.to_owned(),
            step: "the host is busy",
            source,
        })),
        Err(_) if argument.errors != 0 => Err(Refusal::firmware(
            path,
            format!("firmware error {firmware:#x}, host error {host:#x}"),
        )),
        Err(source) => Err(Refusal::of(path, "refused the report request", source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn the_request_has_the_drivers_number_and_layout() {
        assert_eq!(GET_REPORT, 0xc020_5300);
        assert_eq!(offset_of!(Argument, request), 8);
        assert_eq!(offset_of!(Argument, response), 16);
        assert_eq!(offset_of!(Argument, errors), 24);
    }
}
