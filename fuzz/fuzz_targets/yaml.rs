//! YAML to a tree with places.
#![no_main]

use gantry::loader::{FileId, yaml};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = yaml::parse(text, FileId(0), &mut Vec::new());
    let _ = yaml::resolve(text);
});
