//! Steps done over what they put there before give the same layer as steps done anew.

use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;

use super::*;
use crate::content::Digest;

const FILES: usize = 80;

fn place() -> Option<Place> {
    let place = Place::new(&[
        ("Dockerfile", "FROM scratch\nCOPY files /\n"),
        (".dockerignore", "files/ignored\n"),
    ])?;
    for number in 0..FILES {
        place.write(&format!("files/d{}/f{number}", number % 7), "text");
    }
    Some(place)
}

/// The layer of a build in the place's own store, and of one that knows nothing.
fn both(place: &Place) -> (crate::layer::Layer, Digest) {
    let layer = |place: &Place, outcome: &BuildOutcome| {
        let image = place
            .images
            .resolve(outcome.image_id.as_deref().unwrap())
            .unwrap();
        image.layers.last().unwrap().clone()
    };
    let here = layer(place, &place.build(|_| {}).unwrap());
    let elsewhere = Place::new(&[]).unwrap();
    let context = ContextSource::Directory(place.context());
    let there = elsewhere
        .build(|request| request.context = context)
        .unwrap();
    (here, layer(&elsewhere, &there).diff_id)
}

#[test]
fn what_changed_is_written_and_the_rest_stays() {
    let Some(place) = place() else { return };
    let (whole, fresh) = both(&place);
    assert_eq!(whole.diff_id, fresh);
    assert_eq!(whole.over, None);

    place.write("files/d1/f1", "other text");
    place.write("files/new/deep/file", "new");
    std::fs::remove_file(place.context().join("files/d2/f2")).unwrap();
    let (changed, fresh) = both(&place);
    assert_eq!(changed.diff_id, fresh);
    assert_eq!(
        changed.over.as_ref().map(|over| over.chain_id),
        Some(whole.chain_id)
    );
    assert!(changed.dir.join("d1/f1").exists());
    assert!(!changed.dir.join("d1/f8").exists(), "copied in vain");

    // Every change is against the whole layer.
    place.write("files/d1/f1", "text once more");
    let (again, fresh) = both(&place);
    assert_eq!(again.diff_id, fresh);
    assert_eq!(again.over.unwrap().chain_id, whole.chain_id);

    // Another type at a path is done anew.
    std::fs::remove_file(place.context().join("files/d3/f3")).unwrap();
    place.write("files/d3/f3/inner", "x");
    let (anew, fresh) = both(&place);
    assert_eq!(anew.diff_id, fresh);
    assert_eq!(anew.over, None);
}

#[test]
fn what_the_base_has_shows_when_it_is_no_longer_hidden() {
    let Some(place) = place() else { return };
    place.write("base", "base");
    place.write(
        "Dockerfile",
        "FROM scratch\nCOPY base /d2/f2\nCOPY files /\n",
    );
    place.build(|_| {}).unwrap();
    std::fs::remove_file(place.context().join("files/d2/f2")).unwrap();
    let (here, fresh) = both(&place);
    assert_eq!(here.over, None);
    assert_eq!(here.diff_id, fresh);
}

#[test]
fn hard_links_and_much_change_are_done_anew() {
    let Some(place) = place() else { return };
    let files = place.context().join("files");
    place.build(|_| {}).unwrap();
    std::fs::hard_link(files.join("d1/f1"), files.join("link")).unwrap();
    let (linked, fresh) = both(&place);
    assert_eq!((linked.over, linked.diff_id), (None, fresh));
    std::fs::remove_file(files.join("link")).unwrap();
    for number in 0..FILES / 2 {
        place.write(&format!("files/d{}/f{number}", number % 7), "more");
    }
    place.build(|_| {}).unwrap();
    // The one after starts from a whole layer again.
    place.write("files/d0/f0", "most");
    let (whole, fresh) = both(&place);
    assert_eq!((whole.over, whole.diff_id), (None, fresh));
}

/// One change of a random build.
#[derive(Clone, Debug)]
enum Change {
    Write(usize, u8),
    Remove(usize),
    Mode(usize, u32),
    Time(usize, u32),
    Link(usize),
    Directory(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let file = 0..FILES;
    prop_oneof![
        4 => (file.clone(), any::<u8>()).prop_map(|(f, b)| Change::Write(f, b)),
        2 => file.clone().prop_map(Change::Remove),
        1 => (file.clone(), prop_oneof![Just(0o600), Just(0o755), Just(0o4755)]).prop_map(|(f, m)| Change::Mode(f, m)),
        1 => (file.clone(), 0..1_000_000_000u32).prop_map(|(f, t)| Change::Time(f, t)),
        1 => file.clone().prop_map(Change::Link),
        1 => file.prop_map(Change::Directory),
    ]
}

fn apply(root: &Path, change: &Change) {
    let path = |number: usize| root.join(format!("files/d{}/f{number}", number % 7));
    let clear = |path: &Path| {
        let _ = std::fs::remove_file(path);
        let _ = std::fs::remove_dir_all(path);
    };
    match change {
        Change::Write(file, byte) => {
            clear(&path(*file));
            std::fs::write(path(*file), [*byte]).unwrap();
        }
        Change::Remove(file) => clear(&path(*file)),
        Change::Mode(file, mode) => {
            let _ = std::fs::set_permissions(path(*file), std::fs::Permissions::from_mode(*mode));
        }
        Change::Time(file, seconds) => {
            if let Ok(file) = std::fs::File::open(path(*file)) {
                let time =
                    std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::from(*seconds));
                file.set_modified(time).unwrap();
            }
        }
        Change::Link(file) => {
            clear(&path(*file));
            symlink(format!("f{}", file + 1), path(*file)).unwrap();
        }
        Change::Directory(file) => {
            clear(&path(*file));
            std::fs::create_dir(path(*file)).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]
    #[test]
    fn any_changes_give_what_a_new_build_gives(
        rounds in prop::collection::vec(prop::collection::vec(change(), 1..8), 1..4)
    ) {
        let Some(place) = place() else { return Ok(()) };
        place.build(|_| {}).unwrap();
        for changes in rounds {
            for change in &changes {
                apply(&place.context(), change);
            }
            // A change of times alone is none to the cache: then the layer of before is right.
            place.write("files/stamp", &format!("{changes:?}"));
            let (here, fresh) = both(&place);
            prop_assert_eq!(here.diff_id, fresh, "{:?}", changes);
        }
    }
}
