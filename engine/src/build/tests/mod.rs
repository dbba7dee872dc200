//! Whole builds on a store of their own. They need root (overlay mounts, owners) and are skipped without.

use super::*;
use crate::image::Reference;

mod copies;
mod explain;
mod former;
mod numbers;
mod platforms;
mod sharing;
mod trees;

struct Place {
    dir: tempfile::TempDir,
    paths: Paths,
    images: ImageStore,
}

impl Place {
    fn new(files: &[(&str, &str)]) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let place = Self {
            paths: Paths::below(&root),
            images: ImageStore::open(&root).unwrap(),
            dir,
        };
        for (name, text) in files {
            place.write(name, text);
        }
        Some(place)
    }

    fn context(&self) -> std::path::PathBuf {
        self.dir.path().join("context")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.context().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn build(&self, change: impl FnOnce(&mut BuildRequest)) -> Result<BuildOutcome, BuildError> {
        let mut request = BuildRequest {
            context: ContextSource::Directory(self.context()),
            ..BuildRequest::default()
        };
        change(&mut request);
        let deps = BuildDeps {
            paths: &self.paths,
            images: &self.images,
        };
        build(&request, deps, &|_| {}, &Cancel::default())
    }

    /// A file of the only or the topmost layer.
    fn layer(&self, outcome: &BuildOutcome) -> std::path::PathBuf {
        let image = self
            .images
            .resolve(outcome.image_id.as_deref().unwrap())
            .unwrap();
        image.layers.last().unwrap().dir.clone()
    }
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn content_decides_what_is_made_again() {
    let Some(place) = Place::new(&[
        (
            "Dockerfile",
            "FROM scratch\nCOPY a /a\nCOPY d /d/\nLABEL x=y\n",
        ),
        ("a", "one"),
        ("d/b", "two"),
        (".dockerignore", "ignored\n"),
    ]) else {
        return;
    };
    let first = place.build(|_| {}).unwrap();
    assert_eq!((first.cached, first.executed), (0, 2));
    assert_eq!(text(&place.layer(&first).join("d/b")), "two");

    place.write("ignored", "does not count");
    place.write("a", "one");
    let again = place.build(|_| {}).unwrap();
    assert_eq!((again.cached, again.executed), (2, 0));
    assert_eq!(again.image_id, first.image_id);

    place.write("d/b", "three");
    let edited = place
        .build(|request| request.tags.push("built:1".into()))
        .unwrap();
    assert_eq!((edited.cached, edited.executed), (1, 1));
    assert_eq!(text(&place.layer(&edited).join("d/b")), "three");
    assert_eq!(
        place.images.resolve("built:1").unwrap().id.to_string(),
        edited.image_id.unwrap()
    );

    let forced = place
        .build(|request| request.no_cache = NoCache::All)
        .unwrap();
    assert_eq!((forced.cached, forced.executed), (0, 2));
}

#[test]
fn only_needed_stages_run_and_stages_share_files() {
    let dockerfile = "FROM scratch AS files\nCOPY a /in/a\nFROM scratch AS broken\nCOPY missing /\n\
                      FROM scratch\nCOPY --from=files /in /out\n";
    let Some(place) = Place::new(&[("Dockerfile", dockerfile), ("a", "text")]) else {
        return;
    };
    let outcome = place.build(|_| {}).unwrap();
    assert_eq!(text(&place.layer(&outcome).join("out/a")), "text");
    let error = place
        .build(|request| request.target = Some("broken".into()))
        .unwrap_err();
    let diagnostic = error.diagnostic().unwrap();
    assert_eq!(diagnostic.span.line, 4);
    assert!(diagnostic.message.contains("missing"), "{error}");
    assert!(
        place
            .build(|request| request.target = Some("brokn".into()))
            .unwrap_err()
            .to_string()
            .contains("did you mean")
    );
}

#[test]
fn nothing_is_left_behind() {
    let Some(place) = Place::new(&[
        ("Dockerfile", "FROM scratch\nCOPY . /\nCOPY nothere /\n"),
        ("a", "x"),
    ]) else {
        return;
    };
    place.build(|_| {}).unwrap_err();
    let left = std::fs::read_dir(place.paths.root().join("build/work"))
        .unwrap()
        .count();
    assert_eq!(left, 0);
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&*place.dir.path().to_string_lossy()));
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let Some(place) = Place::new(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]) else {
        return;
    };
    let cache = |request: &mut BuildRequest| request.cache_to = vec!["type=gha".into()];
    assert!(matches!(
        place.build(cache),
        Err(BuildError::Unsupported { .. })
    ));
}

#[test]
fn outputs_are_files_and_archives() {
    let Some(place) = Place::new(&[("Dockerfile", "FROM scratch\nCOPY a /d/a\n"), ("a", "x")])
    else {
        return;
    };
    let (local, tar) = (
        place.dir.path().join("out"),
        place.dir.path().join("out.tar"),
    );
    let outputs = vec![Output::Local(local.clone()), Output::Tar(tar.clone())];
    let outcome = place.build(|request| request.outputs = outputs).unwrap();
    assert_eq!(outcome.image_id, None);
    assert_eq!(text(&local.join("d/a")), "x");
    let mut archive = ::tar::Archive::new(std::fs::File::open(tar).unwrap());
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert!(names.iter().any(|name| name.ends_with("d/a")), "{names:?}");
}

#[test]
fn what_others_remove_meanwhile_is_not_ours() {
    let dockerfile = "FROM scratch\nARG N\nCOPY <<A /a\n$N\nA\nCOPY <<B /b\nsame\nB\n";
    let Some(place) = Place::new(&[("Dockerfile", dockerfile)]) else {
        return;
    };
    let roots = crate::image::Roots::default();
    std::thread::scope(|scope| {
        for name in ["x:1", "x:2"] {
            let (place, roots) = (&place, &roots);
            scope.spawn(move || {
                // Both make the same images at times, and remove them under each other.
                for number in 0..40 {
                    let built = place.build(|request| {
                        request.tags.push(name.into());
                        let n = if number % 2 == 0 {
                            number.to_string()
                        } else {
                            format!("{number}{name}")
                        };
                        request.args.insert("N".into(), n);
                    });
                    let built = built.unwrap();
                    let named = place.images.resolve(name).unwrap();
                    assert_eq!(Some(named.id.to_string()), built.image_id);
                    place.images.remove(name, false, roots).unwrap();
                }
            });
        }
    });
}
