//! The clean room specification: strict types, merge, validation.
