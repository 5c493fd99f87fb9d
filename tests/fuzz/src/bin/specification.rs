//! Specifications of a clean room, in every shape that is read.
#![no_main]

use cleanroom_spec::Specification;
use fuzz::bounded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(read) = bounded(input, 1024, || Specification::from_yaml(text)) else {
        return;
    };
    let _ = bounded(input, 1024, || read.validate());
    let written = read.to_yaml().unwrap();
    let again = Specification::from_yaml(&written).unwrap();
    assert_eq!(again, read, "{written}");
    assert_eq!(again.to_yaml().unwrap(), written);
});
