//! How steps are numbered in the progress.

use std::sync::Mutex;

use super::*;

/// The names of a build's steps, sorted.
fn names(place: &Place) -> Vec<String> {
    let told = Mutex::new(Vec::new());
    let note = |event: BuildProgress| {
        if let BuildProgress::Started { name, .. } | BuildProgress::Cached { name, .. } = event {
            told.lock().unwrap().push(name);
        }
    };
    let request = BuildRequest {
        context: ContextSource::Directory(place.context()),
        ..BuildRequest::default()
    };
    let deps = BuildDeps {
        paths: &place.paths,
        images: &place.images,
    };
    build(&request, deps, &note, &Cancel::default()).unwrap();
    let mut told = told.into_inner().unwrap();
    told.sort();
    told
}

#[test]
fn triggers_count_and_images_of_copies_do_not() {
    let Some(place) = Place::new(&[
        (
            "Dockerfile",
            "FROM scratch\nCOPY a /base\nONBUILD COPY a /a\nONBUILD ENV X=y\nONBUILD COPY a /b\n",
        ),
        ("a", "text"),
    ]) else {
        return;
    };
    place
        .build(|request| request.tags.push("base".into()))
        .unwrap();
    place.write(
        "Dockerfile",
        "FROM base AS x\nCOPY a /c\nFROM scratch\nCOPY --from=base /base /base\nCOPY --from=x /b /b\n",
    );
    let expected = [
        "FROM base",
        "[stage-1 1/2] COPY --from=base /base /base",
        "[stage-1 2/2] COPY --from=x /b /b",
        "[x 1/2] FROM base",
        "[x 2/4] COPY a /a",
        "[x 3/4] COPY a /b",
        "[x 4/4] COPY a /c",
    ];
    assert_eq!(names(&place), expected);
}
