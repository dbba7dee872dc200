//! Commands written as one text.
#![no_main]

use gantry::loader::short::shell;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = shell::split(text);
});
