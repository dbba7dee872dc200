//! Ports in short syntax.
#![no_main]

use gantry::loader::short::port;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = port::parse(text);
});
