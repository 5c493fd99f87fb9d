use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Length of MSG_REPORT_REQ in bytes.
pub(super) const REQUEST_LEN: usize = 96;

/// MSG_REPORT_REQ. VMPL 0 and "whichever key is installed" are both zero.
pub(super) fn request(report_data: &[u8; 64]) -> [u8; REQUEST_LEN] {
    let mut request = [0; REQUEST_LEN];
    if let Some(head) = request.first_chunk_mut() {
        *head = *report_data;
    }
    request
}

/// A buffer's address as the driver wants it.
pub(super) fn address(pointer: *mut u8) -> u64 {
    pointer.expose_provenance() as u64
}

/// Asks the driver. `argument` holds addresses from [`address`], of buffers that the caller owns and leaves alone until
/// this returns, each as long as the driver's interface demands.
#[expect(unsafe_code, reason = "there is no safe interface to the guest device")]
pub(super) fn call<T>(device: &File, request: libc::Ioctl, argument: &mut T) -> io::Result<()> {
    // SAFETY: `request` encodes the size of `T`, so the driver reads and writes exactly `argument`, and the buffers as the
    // caller promises.
    let status = unsafe { libc::ioctl(device.as_raw_fd(), request, std::ptr::from_mut(argument)) };
    if status == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}
