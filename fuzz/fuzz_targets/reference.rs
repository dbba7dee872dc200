//! Image references and platforms.
#![no_main]

use gantry_engine::image::{Platform, Reference};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(reference) = Reference::parse(text) {
        for written in [reference.to_string(), reference.familiar()] {
            let again = Reference::parse(&written).expect("what was written can be read");
            assert!(again == reference, "{written} means something else");
        }
    }
    let _ = Platform::parse(text);
    let _ = gantry_engine::registry::server(text);
});
