//! skr-agent with the virtual attester.
fn main() {}
