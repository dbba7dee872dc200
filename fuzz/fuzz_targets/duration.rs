//! Spans of time.
#![no_main]

use gantry::loader::short::duration;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = duration::parse(text);
});
