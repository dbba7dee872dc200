//! What `COPY` makes of its sources: as BuildKit's fsutil does.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// The layer of a `COPY` of these words onto nothing; `None` when this machine cannot.
fn copied(words: &str) -> Option<Result<(Place, std::path::PathBuf), BuildError>> {
    let dockerfile = format!("FROM scratch\nARG P=z.txt\nCOPY {words}\n");
    let place = Place::new(&[
        ("Dockerfile", &dockerfile),
        ("a.txt", "one"),
        ("b.txt", "two"),
        ("d/e/z.txt", "deep"),
        ("d/z.txt", "flat"),
    ])?;
    let outcome = place.build(|_| {});
    Some(outcome.map(|outcome| {
        let layer = place.layer(&outcome);
        (place, layer)
    }))
}

fn files(layer: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![layer.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let below = path.strip_prefix(layer).unwrap();
                found.push(below.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn of_several_files_for_one_the_last_stays() {
    for words in ["a.txt b.txt /n", "*.txt /n"] {
        let Some(copied) = copied(words) else { return };
        let (_place, layer) = copied.unwrap();
        assert_eq!(text(&layer.join("n")), "two", "{words}");
    }
    let Some(copied) = copied("a.txt d /n") else {
        return;
    };
    let error = copied.err().unwrap().to_string();
    assert!(error.contains("not a directory"), "{error}");
}

#[test]
fn directories_on_the_way_have_permissions_of_octal_modes_alone() {
    for (words, mode) in [
        ("--chmod=go-rwx d /n", 0o755),
        ("--chmod=u=rwx,go= a.txt /n/", 0o755),
        ("--chmod=7700 d /n", 0o700),
        ("--chmod=750 a.txt /n/", 0o750),
        ("d /n", 0o755),
    ] {
        let Some(copied) = copied(words) else { return };
        let (_place, layer) = copied.unwrap();
        let found = layer.join("n").metadata().unwrap().permissions().mode();
        assert_eq!(found & 0o7777, mode, "{words}");
    }
}

#[test]
fn what_is_excluded_is_named_from_where_parents_begin() {
    for (words, expected) in [
        ("--exclude=e/z.txt d /n/", "n/z.txt"),
        ("--exclude=$P d /n/", "n/e/z.txt n/z.txt"),
        ("--parents --exclude=d/e/z.txt d /n/", "n/d/z.txt"),
        ("--parents --exclude=e/z.txt d /n/", "n/d/e/z.txt n/d/z.txt"),
        ("--parents --exclude=e/z.txt d/./e d/./z.txt /n/", "n/z.txt"),
        ("--parents --exclude=d/z.txt d/z.txt d/e /n/", "n/d/e/z.txt"),
        ("--parents --exclude=d --exclude=!d/e d /n/", "n/d/e/z.txt"),
    ] {
        let Some(copied) = copied(words) else { return };
        let (_place, layer) = copied.unwrap();
        assert_eq!(files(&layer).join(" "), expected, "{words}");
    }
}
