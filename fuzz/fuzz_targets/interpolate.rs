//! Variables in a text.
#![no_main]

use std::collections::BTreeMap;

use gantry::loader::env::Variables;
use gantry::loader::interpolate::{Trace, substitute};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let map = [("A", "1"), ("B", "$A"), ("EMPTY", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let variables = Variables::from_process(&BTreeMap::from(map));
    let _ = substitute(text, &variables, &mut Trace::default());
});
