//! Archives, unpacked as layers and as plain files below a directory in memory: nothing may appear beside it.
#![no_main]

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use gantry_engine::layer::{ExtractOptions, Limits, extract, unpack};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static SCRATCH: OnceCell<PathBuf> = const { OnceCell::new() };
}

fuzz_target!(|bytes: &[u8]| {
    let archive = gantry_fuzz::archive::of(bytes);
    SCRATCH.with(|scratch| {
        let outer = scratch.get_or_init(|| {
            let path = Path::new("/dev/shm").join(format!("fuzz-unpack-{}", std::process::id()));
            std::fs::create_dir_all(&path).expect("a file system in memory");
            path
        });
        let inner = outer.join("inner");
        std::fs::create_dir(&inner).expect("an empty scratch directory");
        let limits = Limits {
            bytes: 1 << 20,
            ..Limits::default()
        };
        let _ = if bytes.first().is_some_and(|first| first & 1 == 0) {
            unpack(archive.as_slice(), &inner, limits).map(drop)
        } else {
            let options = ExtractOptions {
                limits,
                ..ExtractOptions::default()
            };
            extract(archive.as_slice(), &inner, &options).map(drop)
        };
        let beside = std::fs::read_dir(outer).expect("it is still there").count();
        assert_eq!(beside, 1, "something appeared beside the directory");
        std::fs::remove_dir_all(&inner).expect("it can be removed");
    });
});
