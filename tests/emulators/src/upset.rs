//! upset.
