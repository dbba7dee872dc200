//! `COPY` and `ADD`: their words (`words`), what those name (`source`), the cache key (`key`), and the doing (`job`),
//! over what the step did before where that saves work (`memory`).

mod job;
mod key;
mod memory;
mod source;
mod words;

pub(super) use key::{Origin, digest};
pub(super) use words::Flags;

use super::diagnostic::Span;
use super::digest::Hash;
use super::error::BuildError;
use super::explain::Ingredients;
use super::file_step::Canvas;
use super::former::Tracker;
use super::origin::Files;
use super::parse::{self, Instruction, SourcesAndDest};
use super::stage::{Stage, stack_key};
use super::tree::Tree;
use super::vertex::Made;
use crate::error::ErrorKind;
use job::Job;
use memory::Memory;
use source::{Finder, Item};
use words::Words;

/// Does the instruction.
pub(super) fn run(
    stage: &mut Stage<'_, '_>,
    instruction: &Instruction,
    flags: Flags<'_>,
    written: &SourcesAndDest,
) -> Result<(), BuildError> {
    let span = instruction.span;
    let text = format!(
        "{} {}",
        instruction.keyword.to_uppercase(),
        instruction.text
    );
    let name = stage.vertex_name(&text);
    let words = Words::expand(stage, span, &flags, written)?;
    let files = stage.files(span, flags.from)?;
    let opened;
    let from = match &files {
        Files::Context(context) => Origin {
            tree: &context.tree,
            stack: None,
        },
        Files::Stack(stack) => {
            opened = stage.open(stack)?;
            Origin {
                tree: &opened,
                stack: Some(stack_key(stack)),
            }
        }
    };
    let mut items = Finder {
        stage,
        span,
        step: &name,
        tree: from.tree,
        flags: &flags,
        checksum: words.checksum.as_deref(),
    }
    .all(&words.sources)?;
    items.extend(texts(stage, span, written)?);
    let mut ingredients = Ingredients::default();
    let key = key::of(stage, &flags, &words, &from, &items, &mut ingredients).map_err(|error| {
        let message = format!("cannot read the sources: {error}");
        let kind = ErrorKind::Internal;
        stage
            .solver
            .step_error(&name, &stage.source, span, kind, message, None)
    })?;
    let job = Job {
        dest: &words.dest,
        // Of several sources for one file the last stays.
        into: words.dest.ends_with('/'),
        flags: &flags,
        exclude: &words.exclude,
        mode: words.mode.clone(),
        chown: words.chown.as_deref(),
        chmod: words.chmod.as_deref(),
    };
    let made = make(stage, span, &name, key, &job, from.tree, &items)?;
    stage.explain(&name, &text, &made, &ingredients);
    let history = words.history(&flags, written);
    stage.push(key, made, history);
    if let Some(index) = &from.tree.index {
        index.save();
    }
    Ok(())
}

/// The layer: from the cache, written over the step's former layer, or written from nothing.
fn make(
    stage: &Stage<'_, '_>,
    span: Span,
    name: &str,
    key: Hash,
    job: &Job<'_>,
    from: &Tree,
    items: &[Item],
) -> Result<Made, BuildError> {
    let memory = Memory::of(stage, job, from, items);
    let former = match &memory {
        Some(memory) if !stage.knows(&key) => memory.former(stage),
        _ => None,
    };
    let canvas = match &former {
        // With --chmod the reference makes a plain copy of it.
        _ if job.flags.link && job.chmod.is_none() => Canvas::Alone,
        Some((_, layer)) => Canvas::Over(layer),
        None => Canvas::Root,
    };
    let mut noted = None;
    let mut write = |stage: &Stage<'_, '_>, to: &Tree, canvas: Canvas<'_>| {
        let known = former
            .as_ref()
            .filter(|_| matches!(canvas, Canvas::Over(_)))
            .map(|(former, _)| former);
        let mut tracker = memory.as_ref().map(|_| Tracker::new(known));
        job.write(stage, from, to, items, tracker.as_mut())?;
        if let Some(tracker) = tracker {
            tracker.take_away_rest(to, &stage.result.stack.lower())?;
            noted = Some(tracker.finish());
        }
        Ok(())
    };
    let made = stage.file_vertex(span, name, key, canvas, &mut write)?;
    if let (Some(memory), Some(noted)) = (&memory, noted) {
        memory.keep(&made.layer, &noted);
    }
    Ok(made)
}

/// The heredocs as files.
fn texts(
    stage: &Stage<'_, '_>,
    span: Span,
    written: &SourcesAndDest,
) -> Result<Vec<Item>, BuildError> {
    let mut items = Vec::with_capacity(written.files.len());
    for file in &written.files {
        let mut content = file.content.clone();
        if file.chomp {
            content = parse::chomp(&content);
        }
        if file.expand {
            content = stage.expand_body(span, &content)?;
        }
        items.push(Item::Text {
            name: file.name.clone(),
            content,
        });
    }
    Ok(items)
}
