//! Manifests, indexes and configurations.
#![no_main]

use gantry_engine::image::{Document, ImageConfig, Platform};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Document::Index(index)) = Document::parse(bytes) {
        let _ = index.select(&Platform::host());
    }
    if let Ok(config) = ImageConfig::parse(bytes) {
        let text = config.to_bytes().expect("what was read can be written");
        let again = ImageConfig::parse(&text).expect("what was written can be read");
        assert!(again == config, "it is not the same when read again");
    }
});
