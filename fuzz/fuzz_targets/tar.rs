//! Archives, read in memory. Their checksums are made right, or hardly any would pass.
#![no_main]

use gantry_engine::layer::{Limits, Reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let archive = gantry_fuzz::archive::with_checksums(bytes);
    let limits = Limits {
        entries: 100,
        header: 4096,
        pieces: 100,
        bytes: 1 << 20,
    };
    let mut reader = Reader::new(archive.as_slice(), limits);
    let mut buffer = [0; 256];
    while let Ok(Some(entry)) = reader.next() {
        let mut stored = entry.size;
        if let Some(sparse) = &entry.sparse {
            stored = 0;
            for (offset, length) in sparse {
                assert!(offset + length <= entry.size, "a piece beyond the end");
                stored += length;
            }
        }
        let mut read = 0;
        while let Ok(count @ 1..) = reader.read_data(&mut buffer) {
            read += count as u64;
        }
        assert!(read <= stored, "more data than the header says");
    }
});
