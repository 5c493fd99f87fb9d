//! Random bytes of the operating system.

use crate::CryptoError;

/// Fills a buffer.
///
/// # Errors
/// [`CryptoError::Random`].
pub fn fill(buffer: &mut [u8]) -> Result<(), CryptoError> {
    aws_lc_rs::rand::fill(buffer).map_err(|_| CryptoError::Random)
}

/// `N` random bytes.
///
/// # Errors
/// [`CryptoError::Random`].
pub fn bytes<const N: usize>() -> Result<[u8; N], CryptoError> {
    let mut buffer = [0; N];
    fill(&mut buffer)?;
    Ok(buffer)
}
