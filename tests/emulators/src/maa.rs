//! maa.
