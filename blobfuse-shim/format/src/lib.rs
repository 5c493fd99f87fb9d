//! Encrypted file layouts: bytes in, bytes out; no IO.
