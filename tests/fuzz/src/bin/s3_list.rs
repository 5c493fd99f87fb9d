//! What an S3-compatible service says of its keys, XML.
#![no_main]

use blob_store::testing::parsers::s3_list;
use fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(page) = bounded(input, 64, || s3_list(input)) {
        assert_ne!(page.next.as_deref(), Some(""));
        assert!(page.blobs.iter().all(|(_, info)| !info.directory));
        // Read twice it is the same.
        assert_eq!(s3_list(input).unwrap(), page);
    }
});
