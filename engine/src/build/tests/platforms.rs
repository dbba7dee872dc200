//! One build for several platforms.

use super::*;
use crate::image::{Image, Platform as ImagePlatform, quiet};

fn both(request: &mut BuildRequest) {
    request.platforms = vec!["linux/amd64".into(), "linux/arm64".into()];
    request.tags = vec!["app:1".into()];
}

fn for_platform(place: &Place, name: &str, platform: &str) -> Image {
    let platform = ImagePlatform::parse(platform).unwrap();
    place.images.resolve_for(name, &platform).unwrap()
}

fn file(image: &Image, path: &str) -> String {
    let layers = image.layers.iter().rev();
    let mut found = layers.filter_map(|layer| std::fs::read_to_string(layer.dir.join(path)).ok());
    found.next().unwrap()
}

const DOCKERFILE: &str = "FROM --platform=$BUILDPLATFORM scratch AS tools\n\
    ARG BUILDARCH\nCOPY <<E /in/build\n$BUILDARCH\nE\n\
    FROM scratch\nARG TARGETPLATFORM TARGETARCH TARGETVARIANT\nCOPY --from=tools /in /in\n\
    COPY <<E /target\n$TARGETPLATFORM $TARGETARCH\nE\nCOPY for-$TARGETARCH /own\n";

fn place() -> Option<Place> {
    Place::new(&[
        ("Dockerfile", DOCKERFILE),
        ("for-amd64", "a"),
        ("for-arm64", "b"),
    ])
}

#[test]
fn each_platform_gets_an_image_under_one_name() {
    let Some(place) = place() else {
        return;
    };
    let outcome = place.build(both).unwrap();
    // What is the same for both, the stage of the build platform and what is copied of it, is done once.
    assert_eq!((outcome.cached, outcome.executed), (2, 6));
    let (amd, arm) = (
        for_platform(&place, "app:1", "linux/amd64"),
        for_platform(&place, "app:1", "linux/arm64"),
    );
    assert_eq!(file(&amd, "target"), "linux/amd64 amd64\n");
    assert_eq!(file(&arm, "target"), "linux/arm64 arm64\n");
    assert_eq!(
        (file(&amd, "own"), file(&arm, "own")),
        ("a".into(), "b".into())
    );
    assert_eq!(file(&amd, "in/build"), file(&arm, "in/build"));
    assert_eq!(arm.config.architecture, "arm64");
    let error = place
        .images
        .resolve_for("app:1", &ImagePlatform::parse("linux/s390x").unwrap());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("linux/amd64, linux/arm64"), "{error}");

    // The name means this machine's, is listed once, and takes both along.
    let ours = for_platform(&place, "app:1", &ImagePlatform::host().to_string());
    assert_eq!(outcome.image_id.unwrap(), ours.id.to_string());
    let list = place.images.list().unwrap();
    assert_eq!((list.len(), list[0].variants.len()), (1, 2));
    place
        .images
        .tag_as("app:1", &Reference::parse("also").unwrap())
        .unwrap();
    let none = crate::image::Roots::default();
    let error = place.images.remove(&arm.id.to_string(), true, &none);
    assert!(ours.id == arm.id || error.unwrap_err().to_string().contains("platforms"));
    place.images.remove("app:1", false, &none).unwrap();
    assert_eq!(for_platform(&place, "also", "linux/arm64").id, arm.id);
    let removed = place.images.remove("also", false, &none).unwrap();
    assert_eq!(removed.len(), 3, "{removed:?}");
    assert!(place.images.list().unwrap().is_empty());
}

#[test]
fn an_archive_brings_all_platforms_or_one() {
    let (Some(from), Some(to)) = (place(), place()) else {
        return;
    };
    from.build(both).unwrap();
    let mut archive = Vec::new();
    let names = ["app:1".to_owned()];
    from.images.save(&names, None, &mut archive).unwrap();
    let loaded = to.images.load(archive.as_slice(), &quiet).unwrap();
    assert_eq!(loaded.len(), 1);
    for platform in ["linux/amd64", "linux/arm64"] {
        let (a, b) = (
            for_platform(&from, "app:1", platform),
            for_platform(&to, "app:1", platform),
        );
        assert_eq!(a.id, b.id);
    }
    let none = crate::image::Roots::default();
    to.images.remove("app:1", false, &none).unwrap();
    let arm = ImagePlatform::parse("linux/arm64").unwrap();
    let loaded = to
        .images
        .load_for(archive.as_slice(), Some(&arm), &quiet)
        .unwrap();
    assert_eq!(loaded[0].id, for_platform(&from, "app:1", "linux/arm64").id);
    assert_eq!(to.images.variants("app:1").unwrap().len(), 1);
    to.images.remove("app:1", false, &none).unwrap();

    let mut one = Vec::new();
    from.images.save(&names, Some(&arm), &mut one).unwrap();
    let loaded = to.images.load(one.as_slice(), &quiet).unwrap();
    assert_eq!(loaded[0].id, for_platform(&from, "app:1", "linux/arm64").id);
}

#[test]
fn programs_of_other_machines_are_refused() {
    let Some(place) = Place::new(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\nRUN true\n")])
    else {
        return;
    };
    // No machine has an emulator for all of them.
    let error = place.build(|request| request.platforms = vec!["linux/mips64le".into()]);
    let error = error.unwrap_err();
    assert!(matches!(error, BuildError::Unsupported { .. }));
    assert!(error.to_string().contains("binfmt_misc"), "{error}");
    // A stage with a platform of its own, where its line says so.
    place.write(
        "Dockerfile",
        "FROM --platform=linux/mips64le scratch\nCOPY Dockerfile /\nRUN true\n",
    );
    let error = place.build(|_| {}).unwrap_err();
    assert_eq!(error.diagnostic().unwrap().span.line, 3, "{error}");
}

#[test]
fn an_image_of_another_platform_is_no_base() {
    let Some(place) = Place::new(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]) else {
        return;
    };
    let base = |request: &mut BuildRequest| {
        request.platforms = vec!["linux/s390x".into()];
        request.tags = vec!["base".into()];
    };
    place.build(base).unwrap();
    place.write("Dockerfile", "FROM base\nCOPY Dockerfile /again\n");
    let error = place
        .build(|request| request.pull = PullPolicy::Never)
        .unwrap_err();
    assert!(error.to_string().contains("linux/s390x"), "{error}");
    let built = place.build(|request| {
        request.pull = PullPolicy::Never;
        request.platforms = vec!["linux/s390x".into()];
    });
    assert_eq!(built.unwrap().executed, 1);
}

#[test]
fn outputs_of_several_platforms() {
    let Some(place) = place() else {
        return;
    };
    let out = place.dir.path().join("out");
    let build = |output: Output| {
        place.build(|request| {
            both(request);
            request.outputs = vec![output];
        })
    };
    build(Output::Local(out.clone())).unwrap();
    assert_eq!(text(&out.join("linux_arm64/own")), "b");
    let refused = build(Output::Docker(out.join("x.tar")))
        .unwrap_err()
        .to_string();
    assert!(refused.contains("type=docker"), "{refused}");
    build(Output::Tar(out.join("files.tar"))).unwrap();
    let files = members(&out.join("files.tar"));
    assert_eq!(files["linux_arm64/own"], b"b");
    assert_eq!(files["linux_amd64/own"], b"a");
    build(Output::Oci(out.join("oci.tar"))).unwrap();
    let Some(other) = self::place() else {
        return;
    };
    let archive = std::fs::File::open(out.join("oci.tar")).unwrap();
    other.images.load(archive, &quiet).unwrap();
    assert_eq!(
        file(&for_platform(&other, "app:1", "linux/arm64"), "own"),
        "b"
    );
}

/// The files of an archive.
fn members(archive: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut archive = ::tar::Archive::new(std::fs::File::open(archive).unwrap());
    let read = |entry: std::io::Result<::tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        (entry.path().unwrap().display().to_string(), content)
    };
    archive.entries().unwrap().map(read).collect()
}

#[test]
fn archives_need_no_name_and_their_digest_is_told() {
    let Some(place) = place() else {
        return;
    };
    let archive = place.dir.path().join("oci.tar");
    for platforms in [&["linux/amd64", "linux/arm64"][..], &["linux/amd64"]] {
        let outcome = place.build(|request| {
            request.platforms = platforms.iter().map(|name| (*name).to_owned()).collect();
            request.outputs = vec![Output::Oci(archive.clone())];
        });
        let outcome = outcome.unwrap();
        let index: serde_json::Value =
            serde_json::from_slice(&members(&archive)["index.json"]).unwrap();
        let entries = index["manifests"].as_array().unwrap();
        assert_eq!(entries.len(), 1, "{index}");
        let metadata = &outcome.metadata;
        assert_eq!(metadata["containerimage.digest"], entries[0]["digest"]);
        assert_eq!(metadata["containerimage.descriptor"], entries[0]);
        let config = metadata["containerimage.config.digest"].as_str();
        assert_eq!(config, outcome.image_id.as_deref());
        assert_eq!(metadata.get("image.name"), None);
        let Some(other) = self::place() else {
            return;
        };
        let file = std::fs::File::open(&archive).unwrap();
        let loaded = other.images.load(file, &quiet).unwrap();
        assert_eq!(loaded.len(), 1);
    }
    let named = place.build(|request| {
        both(request);
        request.outputs = vec![Output::Oci(archive.clone())];
    });
    assert_eq!(named.unwrap().metadata["image.name"], "app:1");
    // An archive is no reason to give an image of the store a name.
    assert!(place.images.resolve("app:1").is_err());
}

#[test]
fn an_image_with_a_name_of_its_own_stays_with_the_others() {
    let Some(place) = place() else {
        return;
    };
    place.build(both).unwrap();
    let foreign = if ImagePlatform::host().architecture == "arm64" {
        "linux/amd64"
    } else {
        "linux/arm64"
    };
    let other = for_platform(&place, "app:1", foreign);
    let alone = Reference::parse("alone").unwrap();
    place.images.tag(&other.id, &alone).unwrap();
    let none = crate::image::Roots::default();
    // Neither name takes the image away from the other one.
    place.images.remove("alone", false, &none).unwrap();
    assert_eq!(for_platform(&place, "app:1", foreign).id, other.id);
    place.images.tag(&other.id, &alone).unwrap();
    place.images.remove("app:1", false, &none).unwrap();
    assert_eq!(place.images.resolve("alone").unwrap().id, other.id);
    let (removed, _) = place.images.prune(true, &none, &|_| false).unwrap();
    assert_eq!(removed.len(), 2, "{removed:?}");
}
