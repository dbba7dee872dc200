//! Why steps ran: what is told of each.

use super::*;

/// The reasons of a build, in the order of its steps.
fn reasons(place: &Place, change: impl FnOnce(&mut BuildRequest)) -> Vec<String> {
    let outcome = place.build(|request| {
        request.explain = true;
        change(request);
    });
    let told = outcome.unwrap().explanations.into_iter();
    told.map(|explanation| explanation.reason).collect()
}

const NEW: &str = "it did not run here before";
const SAME: &str = "nothing it depends on changed";
const ASKED: &str = "it was to run without the cache";

#[test]
fn the_cache_that_was_not_to_be_used_is_the_reason() {
    let dockerfile = "FROM scratch AS low\nARG X\nCOPY a /$X\nFROM low AS high\nCOPY a /high\n";
    let Some(place) = Place::new(&[("Dockerfile", dockerfile), ("a", "text")]) else {
        return;
    };
    let with = |value: &'static str| {
        move |request: &mut BuildRequest| {
            request.args.insert("X".to_owned(), value.to_owned());
        }
    };
    assert_eq!(reasons(&place, with("1")), [NEW, NEW]);
    assert_eq!(reasons(&place, with("1")), [SAME, SAME]);
    let forced = reasons(&place, |request| {
        with("2")(request);
        request.no_cache = NoCache::All;
    });
    assert_eq!(forced, [ASKED, ASKED]);
    let changed = reasons(&place, with("3"));
    assert_eq!(
        changed,
        ["the destination changed", "the step before changed"]
    );
    // What runs again and leaves the same layer changes nothing for the steps after it.
    let filtered = reasons(&place, |request| {
        with("3")(request);
        request.no_cache = NoCache::Stages(vec!["low".to_owned()]);
    });
    assert_eq!(filtered, [ASKED, SAME]);
}

#[test]
fn a_step_with_another_text_is_known_by_its_place() {
    let Some(place) = Place::new(&[
        ("Dockerfile", "FROM scratch\nCOPY a /a\nCOPY a /b\n"),
        ("a", "text"),
    ]) else {
        return;
    };
    assert_eq!(reasons(&place, |_| {}), [NEW, NEW]);
    place.write("Dockerfile", "FROM scratch\nCOPY a /a\nCOPY a /c\n");
    assert_eq!(reasons(&place, |_| {}), [SAME, "the destination changed"]);
    // One that is put between others is new, and is not taken for the one that stood there.
    place.write(
        "Dockerfile",
        "FROM scratch\nCOPY a /a\nCOPY a /new\nCOPY a /c\n",
    );
    let expected = [SAME, NEW, "the step before changed"];
    assert_eq!(reasons(&place, |_| {}), expected);
    place.write(
        "Dockerfile",
        "FROM scratch\nCOPY a /a\nWORKDIR /new\nCOPY a /c\n",
    );
    assert_eq!(reasons(&place, |_| {}), expected);
}
