//! Volumes in short syntax.
#![no_main]

use gantry::loader::short::volume;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = volume::parse(text);
    let _ = volume::target(text);
});
