//! Caches from one machine to another: two stores that share nothing but a directory.

use super::*;

const DOCKERFILE: &str =
    "FROM scratch AS files\nCOPY a /in/a\nFROM scratch\nCOPY --from=files /in /out\nCOPY b /b\n";

fn files() -> [(&'static str, &'static str); 3] {
    [("Dockerfile", DOCKERFILE), ("a", "one"), ("b", "two")]
}

/// A build that writes its cache below the place.
fn exported(place: &Place, how: &str) -> (String, BuildOutcome) {
    let directory = place.dir.path().join("cache").display().to_string();
    let to = format!("type=local,dest={directory},{how}");
    let outcome = place.build(|request| request.cache_to.push(to)).unwrap();
    (directory, outcome)
}

#[test]
fn another_machine_runs_nothing_again() {
    let (Some(one), Some(other)) = (Place::new(&files()), Place::new(&files())) else {
        return;
    };
    let (directory, first) = exported(&one, "mode=max");
    let from = format!("type=local,src={directory}");
    let second = other
        .build(|request| request.cache_from.push(from.clone()))
        .unwrap();
    assert_eq!((second.cached, second.executed), (3, 0));
    assert_eq!(text(&other.layer(&second).join("b")), "two");
    let layers = |place: &Place, outcome: &BuildOutcome| {
        let image = place.images.resolve(outcome.image_id.as_deref().unwrap());
        image.unwrap().config.rootfs.diff_ids
    };
    assert_eq!(layers(&one, &first), layers(&other, &second));
    // What was brought is this machine's own now.
    std::fs::remove_dir_all(&directory).unwrap();
    let third = other.build(|_| {}).unwrap();
    assert_eq!((third.cached, third.executed), (3, 0));

    other.write("b", "three");
    let edited = other.build(|_| {}).unwrap();
    assert_eq!((edited.cached, edited.executed), (2, 1));
}

#[test]
fn the_smaller_mode_has_the_steps_of_the_result() {
    let (Some(one), Some(other)) = (Place::new(&files()), Place::new(&files())) else {
        return;
    };
    let (directory, _) = exported(&one, "tag=small");
    let from = format!("type=local,src={directory},tag=small");
    let second = other
        .build(|request| request.cache_from.push(from))
        .unwrap();
    assert_eq!((second.cached, second.executed), (2, 1));
}

#[test]
fn a_cache_that_cannot_be_used_is_a_warning() {
    let (Some(one), Some(other)) = (Place::new(&files()), Place::new(&files())) else {
        return;
    };
    let (directory, _) = exported(&one, "mode=max");
    let blobs = Path::new(&directory).join("blobs/sha256");
    // Layers of other content under the same names: digests tell.
    for entry in std::fs::read_dir(&blobs).unwrap() {
        let path = entry.unwrap().path();
        if std::fs::read(&path).unwrap().starts_with(&[0x1f, 0x8b]) {
            std::fs::write(&path, b"\x1f\x8bnothing").unwrap();
        }
    }
    let warned = std::sync::Mutex::new(Vec::new());
    let request = BuildRequest {
        context: ContextSource::Directory(other.context()),
        cache_from: vec![
            "type=local,src=/nowhere/at/all".into(),
            format!("type=local,src={directory}"),
        ],
        ..BuildRequest::default()
    };
    let deps = BuildDeps {
        paths: &other.paths,
        images: &other.images,
    };
    let tell = |event| {
        if let BuildProgress::Warning(warning) = event {
            warned.lock().unwrap().push(warning.message);
        }
    };
    let outcome = build(&request, deps, &tell, &Cancel::default()).unwrap();
    assert_eq!((outcome.cached, outcome.executed), (0, 3));
    let warned = warned.into_inner().unwrap();
    assert!(warned[0].contains("/nowhere/at/all"), "{warned:?}");
    assert!(warned[1].contains("cannot bring a layer"), "{warned:?}");
    assert!(
        std::fs::read_dir(other.dir.path().join("root/layers"))
            .unwrap()
            .count()
            >= 3
    );
}

#[test]
fn an_image_carries_its_own_cache() {
    let Some(place) = Place::new(&files()) else {
        return;
    };
    let plain = place.build(|_| {}).unwrap();
    let inline = place
        .build(|request| request.cache_to.push("type=inline".into()))
        .unwrap();
    assert_ne!(plain.image_id, inline.image_id);
    let image = place.images.resolve(inline.image_id.as_deref().unwrap());
    let config = image.unwrap().config;
    let steps = config.extra[super::super::sharing::INLINE]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(steps.len(), 2);
    assert_eq!(steps[1]["layer"], 1);
    // A build on top of it says nothing of steps that were not its own.
    place
        .images
        .tag(
            &inline.image_id.unwrap().parse().unwrap(),
            &Reference::parse("base").unwrap(),
        )
        .unwrap();
    place.write("Dockerfile", "FROM base\nCOPY a /c\n");
    let above = place.build(|_| {}).unwrap();
    let image = place
        .images
        .resolve(above.image_id.as_deref().unwrap())
        .unwrap();
    assert!(
        !image
            .config
            .extra
            .contains_key(super::super::sharing::INLINE)
    );
}

#[test]
fn what_cannot_be_written_is_an_error_unless_it_may_fail() {
    let Some(place) = Place::new(&files()) else {
        return;
    };
    let to = "type=local,dest=/proc/nowhere";
    let error = place.build(|request| request.cache_to.push(to.into()));
    assert!(matches!(error, Err(BuildError::Export { .. })), "{error:?}");
    place
        .build(|request| request.cache_to.push(format!("{to},ignore-error=true")))
        .unwrap();
}
