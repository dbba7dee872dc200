//! Whole projects: a Compose file, an override file, an `.env`, cut apart at NUL bytes.
#![no_main]

use gantry::loader::load;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut parts = text.splitn(3, '\0');
    let files = ["compose.yaml", "compose.override.yaml", ".env"]
        .into_iter()
        .filter_map(|name| Some((name, parts.next()?)));
    gantry_fuzz::go_through(load(&gantry_fuzz::project(files)));
});
