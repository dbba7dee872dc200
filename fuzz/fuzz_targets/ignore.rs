//! Ignore files: the first line is a path, the rest its patterns.
#![no_main]

use gantry_engine::build::Patterns;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (path, file) = text.split_once('\n').unwrap_or(("a/b", text));
    let Ok(patterns) = Patterns::parse(file.as_bytes()) else {
        return;
    };
    // A walk that passes a directory by must not miss what an exception keeps below it.
    if let Some((directory, _)) = path.rsplit_once('/')
        && is_clean(path)
        && patterns.excludes(directory)
        && !patterns.excludes(path)
    {
        assert!(patterns.may_keep_below(directory), "{directory}");
    }
});

fn is_clean(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
