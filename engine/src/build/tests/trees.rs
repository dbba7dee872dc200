//! Any tree of files comes out of a build, an archive and a registry as it went in.

use std::collections::BTreeMap;
use std::os::unix::fs::chown;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::image::{Image, quiet};
use crate::layer::tests::{Planned, Step, build as make, describe, steps, without_whiteouts};
use crate::layer::{Kin, TarOptions, write_tar};
use crate::registry::tests::real::Registry;
use crate::registry::tests::{block, options};
use crate::registry::{pull, push};

/// The steps without what only layers have.
fn plain(steps: &[Planned]) -> Vec<Planned> {
    let mut steps = steps.to_vec();
    steps.retain(|(_, step, ..)| !matches!(step, Step::Whiteout));
    for (_, step, ..) in &mut steps {
        if let Step::Folder(opaque) = step {
            *opaque = false;
        }
    }
    steps
}

/// Makes a tree in an empty directory.
fn tree(place: &Place, name: &str, steps: &[Planned]) -> PathBuf {
    let root = place.dir.path().join(name);
    std::fs::create_dir(&root).unwrap();
    chown(&root, Some(0), Some(0)).unwrap();
    make(&root, steps);
    root
}

/// The layers of an image, as they lie on disk.
fn layers(image: &Image) -> Vec<BTreeMap<PathBuf, String>> {
    let each = image.layers.iter();
    each.map(|layer| without_whiteouts(describe(&layer.dir)))
        .collect()
}

/// An image of two layers: the tree `below` by way of `ADD` and `COPY`, and on it what `above` does to it.
fn image(place: &Place, below: &[Planned], above: &[Planned]) -> Image {
    let root = tree(place, "tree", below);
    let archive = std::fs::File::create(place.context().join("tree.tar")).unwrap();
    write_tar(&root, archive, &TarOptions::default()).unwrap();
    let built = place.build(|_| {}).unwrap();
    let image = place
        .images
        .resolve(built.image_id.as_deref().unwrap())
        .unwrap();
    assert_eq!(layers(&image), [describe(&root)], "what was built");

    let upper = tree(place, "root/upper", above);
    let top = image.chain().unwrap();
    let layer = place
        .images
        .layers()
        .commit(&upper, Some(&top), &[], Kin::None, &|_| Ok(()));
    let layer = layer.unwrap();
    let mut config = image.config.clone();
    config.rootfs.diff_ids.push(layer.diff_id);
    let both = place.images.add(&config, &[top, layer.chain_id]).unwrap();
    place
        .images
        .tag(&both.id, &Reference::parse("trees").unwrap())
        .unwrap();
    both
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_survives_building_saving_loading_pushing_and_pulling(
        below in steps(),
        above in steps(),
    ) {
        let dockerfile = "FROM scratch AS added\nADD tree.tar /\nFROM scratch\nCOPY --from=added / /\n";
        let files = [("Dockerfile", dockerfile)];
        let (Some(from), Some(loaded), Some(pulled)) = (Place::new(&files), Place::new(&[]), Place::new(&[])) else {
            return Ok(());
        };
        let below = plain(&below);
        // An archive of nothing is no archive for `ADD`.
        let has_files = |steps: &[Planned]| steps.iter().any(|(_, step, ..)| !matches!(step, Step::Whiteout));
        prop_assume!(has_files(&below) && has_files(&above));
        let made = image(&from, &below, &above);

        let mut archive = Vec::new();
        from.images.save(&["trees".to_owned()], None, &mut archive).unwrap();
        let told = loaded.images.load(archive.as_slice(), &quiet).unwrap();
        prop_assert_eq!(told[0].id, made.id);
        prop_assert_eq!(layers(&loaded.images.get(&made.id).unwrap()), layers(&made));

        let Some(registry) = Registry::start(false) else { return Ok(()) };
        let name = registry.reference("trees");
        from.images.tag(&made.id, &name).unwrap();
        block(push(&from.images, &name, &options(&from.images), &quiet)).unwrap();
        let there = block(pull(&pulled.images, &name, &options(&pulled.images), &quiet)).unwrap();
        prop_assert_eq!(there.image.id, made.id);
        prop_assert_eq!(layers(&there.image), layers(&made));
    }
}
