//! The cache key of a `COPY` or `ADD`: the step before, its words, and the content of what it takes.

use std::io;
use std::os::unix::ffi::OsStrExt;

use super::source::Item;
use super::words::{Flags, Words};
use crate::build::digest::{Fields, Hash};
use crate::build::explain::{Ingredients, STEP_BEFORE};
use crate::build::ignore::Patterns;
use crate::build::select::{self, Selected};
use crate::build::stage::Stage;
use crate::build::tree::Tree;

/// A tree that is copied from, with the key of its layers when it is made of layers.
pub(in crate::build) struct Origin<'t> {
    pub(in crate::build) tree: &'t Tree,
    pub(in crate::build) stack: Option<Hash>,
}

/// The key; what goes into it is noted in `ingredients` too.
pub(super) fn of(
    stage: &Stage<'_, '_>,
    flags: &Flags<'_>,
    words: &Words,
    from: &Origin<'_>,
    items: &[Item],
    ingredients: &mut Ingredients,
) -> io::Result<Hash> {
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let (chown, chmod) = (or_empty(&words.chown), or_empty(&words.chmod));
    let switches = [
        u8::from(flags.link),
        u8::from(flags.parents),
        match flags.unpack {
            None => 0,
            Some(false) => 1,
            Some(true) => 2,
        },
    ];
    ingredients
        .add(STEP_BEFORE, &stage.result.key)
        .add("the destination", words.dest.as_bytes())
        .add("--chown", chown.as_bytes())
        .add("--chmod", chmod.as_bytes())
        .add("--exclude", words.exclude.texts.join("\n").as_bytes())
        .add("--link, --parents or --unpack", &switches);
    let mut fields = Fields::new(if flags.add { "add" } else { "copy" });
    fields
        .add(&stage.result.key)
        .add(words.dest.as_bytes())
        .add(chown.as_bytes())
        .add(chmod.as_bytes())
        .add(&switches)
        .list(&words.exclude.texts);
    for item in items {
        match item {
            Item::Files { selected, skip } => {
                fields.add(b"files").add(&skip.to_le_bytes());
                for selected in selected {
                    let (exclude, parents) = (&words.exclude, flags.parents.then_some(*skip));
                    let (hash, notes) = digest(stage, from, selected, exclude, parents)?;
                    fields.add(&hash);
                    let below = selected.path.to_string_lossy();
                    if from.stack.is_none() && selected.entry.is_none() {
                        ingredients.files(&below, notes);
                    } else {
                        ingredients.add(format!("`/{below}`"), &hash);
                    }
                }
            }
            other => add(other, flags, &mut fields, ingredients),
        }
    }
    Ok(fields.finish())
}

/// Adds what is not from a tree.
fn add(item: &Item, flags: &Flags<'_>, fields: &mut Fields, ingredients: &mut Ingredients) {
    match item {
        Item::Files { .. } => {}
        Item::Text { name, content } => {
            ingredients.add(format!("the text of `{name}`"), content.as_bytes());
            fields
                .add(b"text")
                .add(name.as_bytes())
                .add(content.as_bytes());
        }
        Item::Url(download) => {
            ingredients.add(format!("`{}`", download.name), &download.digest);
            fields
                .add(b"url")
                .add(download.name.as_bytes())
                .add(&download.digest)
                .add(&download.mtime.unwrap_or(0).to_le_bytes());
        }
        Item::Git { commit, git } => {
            ingredients.add("the commit", commit.as_bytes());
            fields
                .add(b"git")
                .add(commit.as_bytes())
                .add(git.subdir.as_deref().unwrap_or_default().as_bytes())
                .add(&[u8::from(flags.keep_git_dir || git.keep_git_dir)])
                .add(&[u8::from(git.submodules)]);
        }
    }
}

/// The digest of one selection, and those of its files. Files of layers never change, so theirs are
/// remembered, and not told apart.
pub(in crate::build) fn digest(
    stage: &Stage<'_, '_>,
    from: &Origin<'_>,
    selected: &Selected,
    exclude: &Patterns,
    parents: Option<usize>,
) -> io::Result<(Hash, Vec<(String, Hash)>)> {
    let compute = || {
        let mut fields = Fields::new("selection");
        select::add_digest(&mut fields, from.tree, selected, exclude, parents)?;
        let notes = fields.take_notes();
        Ok::<_, io::Error>((fields.finish(), notes))
    };
    let Some(stack) = &from.stack else {
        return compute();
    };
    let mut question = Fields::new("selection of layers");
    question
        .add(stack)
        .add(selected.path.as_bytes())
        .add(selected.named.as_bytes());
    let skipped = parents.map_or(-1, |skipped| skipped as i64);
    question.list(&exclude.texts).add(&skipped.to_le_bytes());
    let question = question.finish();
    if let Some(known) = stage.solver.cache.digest(&question) {
        return Ok((known, Vec::new()));
    }
    let (digest, _) = compute()?;
    stage.solver.cache.put_digest(&question, &digest);
    Ok((digest, Vec::new()))
}
