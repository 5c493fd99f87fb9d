//! cgs.
