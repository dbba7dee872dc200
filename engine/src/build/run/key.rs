//! The cache key of a `RUN`: the step before, the command and its surroundings, and the files its mounts show.

use super::command::Command;
use super::mounts::{Source, one_source, with_tree};
use crate::build::copy::{self, Origin};
use crate::build::digest::{Fields, Hash};
use crate::build::explain::{Ingredients, STEP_BEFORE};
use crate::build::ignore::Patterns;
use crate::build::origin::Files;
use crate::build::parse::mount::MountType;
use crate::build::stage::Stage;

/// The key; what goes into it is noted in `ingredients` too.
pub(super) fn of(
    stage: &Stage<'_, '_>,
    command: &Command,
    ingredients: &mut Ingredients,
) -> Result<Hash, String> {
    let config = &stage.result.config.config;
    let network = format!("{:?}", command.network);
    let hosts = stage.solver.request.extra_hosts.iter();
    let hosts: Vec<String> = hosts
        .map(|host| format!("{} {:?}", host.name, host.address))
        .collect();
    let request = stage.solver.request;
    let limits = format!("{:?} {:?}", request.shm_size, request.ulimits);
    let script = command.script.as_ref();
    let script = script
        .map(|script| script.text.as_bytes())
        .unwrap_or_default();
    let mut fields = Fields::new("run");
    fields
        .add(&stage.result.key)
        .list(&command.argv)
        .list(&command.env)
        .add(config.working_dir.as_bytes())
        .add(config.user.as_bytes())
        .add(network.as_bytes())
        .add(&[u8::from(command.insecure)])
        .list(&hosts)
        .add(limits.as_bytes())
        .add(script);
    ingredients
        .add(STEP_BEFORE, &stage.result.key)
        .add("the command", command.argv.join("\0").as_bytes())
        .add("the working directory", config.working_dir.as_bytes())
        .add("the user", config.user.as_bytes())
        .add("the network", network.as_bytes())
        .add("the security", &[u8::from(command.insecure)])
        .add("the hosts", hosts.join("\n").as_bytes())
        .add("the limits", limits.as_bytes())
        .add("the script", script)
        .variables(&command.env);
    for source in &command.mounts {
        add_mount(stage, &mut fields, source, ingredients)?;
    }
    Ok(fields.finish())
}

/// What a mount adds to the key: what the command can see of it, not what it is called or what a cache holds.
fn add_mount(
    stage: &Stage<'_, '_>,
    fields: &mut Fields,
    source: &Source,
    ingredients: &mut Ingredients,
) -> Result<(), String> {
    let mount = &source.mount;
    fields
        .add(format!("{:?}", mount.kind).as_bytes())
        .add(source.target.as_bytes())
        .add(&[u8::from(mount.read_only)]);
    let attributes = (
        mount.size,
        mount.mode,
        mount.uid,
        mount.gid,
        &mount.env,
        mount.required,
    );
    let attributes = format!("{attributes:?}");
    fields.add(attributes.as_bytes());
    let options = format!("{:?} {} {attributes}", mount.kind, mount.read_only);
    ingredients.add(
        format!("the mount of `{}`", source.target),
        options.as_bytes(),
    );
    if let (MountType::Bind, Some(files)) = (mount.kind, &source.files) {
        let digest = content(stage, files, &mount.source)?;
        ingredients.add(format!("what is mounted on `{}`", source.target), &digest);
        fields.add(&digest);
    }
    Ok(())
}

/// The digest of what a bind mount shows.
fn content(stage: &Stage<'_, '_>, files: &Files, source: &str) -> Result<Hash, String> {
    with_tree(stage, files, |tree, stack| {
        let selected = one_source(tree, source)?;
        let from = Origin {
            tree,
            stack: stack.copied(),
        };
        copy::digest(stage, &from, &selected, &Patterns::default(), None)
            .map(|(digest, _)| digest)
            .map_err(|e| e.to_string())
    })
}
