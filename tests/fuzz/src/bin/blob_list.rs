//! What Azure storage says of names and blocks, XML.
#![no_main]

use std::collections::HashSet;

use blob_store::testing::parsers::{azure_blocks, azure_list};
use fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(page) = bounded(input, 64, || azure_list(input)) {
        assert_ne!(page.next.as_deref(), Some(""));
        // A name that nobody wrote is one that nobody can read.
        assert!(page.blobs.iter().all(|(name, _)| !name.is_empty()));
    }
    if let Ok(Some(blocks)) = bounded(input, 64, || azure_blocks(input)) {
        let sizes: HashSet<u64> = blocks.iter().map(|(_, size)| *size).collect();
        assert!(sizes.len() <= blocks.len() && blocks.len() <= input.len());
    }
});
