//! The grammar of `.env`.
#![no_main]

use std::collections::BTreeMap;

use gantry::loader::{FileId, env};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let outer = |name: &str| (name == "A").then(|| "1".to_owned());
    let _ = env::parse(text, FileId(0), &outer, BTreeMap::new());
});
