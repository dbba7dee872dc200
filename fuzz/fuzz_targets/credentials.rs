//! Docker's `config.json`: the first line is the host that is asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (host, file) = text.split_once('\n').unwrap_or(("docker.io", text));
    gantry_engine::registry::fuzzing::credentials(file.as_bytes(), host);
});
