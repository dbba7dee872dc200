//! `COPY` and `ADD`: what they take, and the key of it. The doing is in `copy_job`.

use std::os::unix::ffi::OsStrExt;

use super::chmod::Change;
use super::copy_job::Job;
use super::copy_memory::Memory;
use super::copy_source::{Item, find};
use super::diagnostic::Span;
use super::digest::{Fields, Hash};
use super::error::BuildError;
use super::explain::Ingredients;
use super::file_step::Canvas;
use super::former::Tracker;
use super::ignore::Patterns;
use super::origin::Files;
use super::parse::{self, AddFlags, CopyFlags, Instruction, SourcesAndDest};
use super::select::{self, Selected};
use super::stage::{Stage, stack_key};
use super::tree::Tree;
use super::values;
use crate::error::ErrorKind;

/// The flags of both.
pub(super) struct Flags<'f> {
    pub(super) add: bool,
    pub(super) from: Option<&'f str>,
    pub(super) chown: Option<&'f str>,
    pub(super) chmod: Option<&'f str>,
    pub(super) link: bool,
    pub(super) parents: bool,
    pub(super) exclude: &'f [String],
    pub(super) checksum: Option<&'f str>,
    pub(super) keep_git_dir: bool,
    pub(super) unpack: Option<bool>,
}

impl<'f> Flags<'f> {
    pub(super) fn of_copy(flags: &'f CopyFlags) -> Self {
        Self {
            add: false,
            from: flags.from.as_deref(),
            chown: flags.chown.as_deref(),
            chmod: flags.chmod.as_deref(),
            link: flags.link,
            parents: flags.parents,
            exclude: &flags.exclude,
            checksum: None,
            keep_git_dir: false,
            unpack: None,
        }
    }

    pub(super) fn of_add(flags: &'f AddFlags) -> Self {
        Self {
            add: true,
            from: None,
            chown: flags.chown.as_deref(),
            chmod: flags.chmod.as_deref(),
            link: flags.link,
            parents: false,
            exclude: &flags.exclude,
            checksum: flags.checksum.as_deref(),
            keep_git_dir: flags.keep_git_dir,
            unpack: flags.unpack,
        }
    }
}

/// The words of the instruction, expanded.
struct Words {
    sources: Vec<String>,
    /// Absolute.
    dest: String,
    chown: Option<String>,
    chmod: Option<String>,
    /// What `chmod` says.
    mode: Option<Change>,
    checksum: Option<String>,
    exclude: Patterns,
}

impl Words {
    fn expand(
        stage: &Stage<'_, '_>,
        span: Span,
        flags: &Flags<'_>,
        words: &SourcesAndDest,
    ) -> Result<Self, BuildError> {
        let dest = stage.expand(span, &words.dest)?;
        let dest = values::absolute(
            &stage.result.config.config.working_dir,
            if dest.is_empty() { "." } else { &dest },
        );
        let given = |text: Option<&str>| -> Result<Option<String>, BuildError> {
            let text = text.map(|text| stage.expand(span, text)).transpose()?;
            Ok(text.filter(|text| !text.is_empty()))
        };
        let chmod = given(flags.chmod)?;
        let mode = match &chmod {
            None => None,
            Some(text) => Some(Change::parse(text).ok_or_else(|| {
                let help = "an octal mode from 0 to 07777, or a symbolic one as u=rwX,go=rX";
                stage.wrong(
                    span,
                    format!("invalid value `{text}` for --chmod"),
                    Some(help),
                )
            })?),
        };
        let each = |texts: &[String]| -> Result<Vec<String>, BuildError> {
            texts.iter().map(|text| stage.expand(span, text)).collect()
        };
        let exclude = Patterns::from_flags(&each(flags.exclude)?).map_err(|bad| {
            stage.wrong(
                span,
                format!("invalid --exclude `{}`: {}", bad.pattern, bad.reason),
                None,
            )
        })?;
        Ok(Self {
            sources: each(&words.sources)?,
            dest,
            chown: given(flags.chown)?,
            chmod,
            mode,
            checksum: given(flags.checksum)?,
            exclude,
        })
    }
}

/// Does the instruction.
pub(super) fn run(
    stage: &mut Stage<'_, '_>,
    instruction: &Instruction,
    flags: Flags<'_>,
    written: &SourcesAndDest,
) -> Result<(), BuildError> {
    let span = instruction.span;
    let keyword = instruction.keyword.to_uppercase();
    let name = stage.vertex_name(&format!("{keyword} {}", instruction.text));
    let words = Words::expand(stage, span, &flags, written)?;
    let files = stage.files(span, flags.from)?;
    let opened;
    let (tree, stack) = match &files {
        Files::Context(context) => (&context.tree, None),
        Files::Stack(stack) => {
            opened = stage.open(stack)?;
            (&opened, Some(stack_key(stack)))
        }
    };
    let mut items = Vec::new();
    for source in &words.sources {
        let checksum = words.checksum.as_deref();
        items.push(find(stage, span, &name, tree, source, &flags, checksum)?);
    }
    items.extend(texts(stage, span, written)?);
    let mut ingredients = Ingredients::default();
    let key = key(
        stage,
        &flags,
        &words,
        tree,
        stack.as_ref(),
        &items,
        &mut ingredients,
    );
    let key = key.map_err(|error| {
        stage.solver.step_error(
            &name,
            &stage.source,
            span,
            ErrorKind::Internal,
            format!("cannot read the sources: {error}"),
            None,
        )
    })?;
    let count: usize = items.iter().map(Item::count).sum();
    let job = Job {
        dest: &words.dest,
        // Several sources need a directory.
        into: words.dest.ends_with('/') || count > 1,
        flags: &flags,
        exclude: &words.exclude,
        mode: words.mode.clone(),
        chown: words.chown.as_deref(),
    };
    let memory = Memory::of(stage, &job, words.chmod.as_deref(), tree, &items);
    let former = match &memory {
        Some(memory) if !stage.knows(&key) => memory.former(stage),
        _ => None,
    };
    let canvas = match &former {
        // With --chmod the reference makes a plain copy of it.
        _ if flags.link && words.chmod.is_none() => Canvas::Alone,
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
        job.write(stage, tree, to, &items, tracker.as_mut())?;
        if let Some(tracker) = tracker {
            tracker.take_away_rest(to, &stage.result.stack.lower())?;
            noted = Some(tracker.finish());
        }
        Ok(())
    };
    let made = stage.file_vertex(span, &name, key, canvas, &mut write)?;
    if let (Some(memory), Some(noted)) = (&memory, noted) {
        memory.keep(&made.layer, &noted);
    }
    let text = format!("{keyword} {}", instruction.text);
    stage.explain(&name, &text, &made, &ingredients);
    stage.push(key, made, &text);
    if let Some(index) = &tree.index {
        index.save();
    }
    Ok(())
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

/// The step's cache key: what it builds on, its words, and the content of what it takes.
fn key(
    stage: &Stage<'_, '_>,
    flags: &Flags<'_>,
    words: &Words,
    tree: &Tree,
    stack: Option<&Hash>,
    items: &[Item],
    ingredients: &mut Ingredients,
) -> std::io::Result<Hash> {
    ingredients
        .add("the step before", &stage.result.key)
        .add("the destination", words.dest.as_bytes());
    for (name, text) in [("--chown", &words.chown), ("--chmod", &words.chmod)] {
        ingredients.add(name, text.as_deref().unwrap_or_default().as_bytes());
    }
    ingredients.add("--exclude", words.exclude.texts.join("\n").as_bytes());
    let mut fields = Fields::new(if flags.add { "add" } else { "copy" });
    fields.add(&stage.result.key).add(words.dest.as_bytes());
    for text in [&words.chown, &words.chmod] {
        fields.add(text.as_deref().unwrap_or_default().as_bytes());
    }
    fields.add(&[
        u8::from(flags.link),
        u8::from(flags.parents),
        u8::from(flags.unpack.unwrap_or(true)),
    ]);
    fields.list(&words.exclude.texts);
    for item in items {
        match item {
            Item::Files { selected, skip } => {
                fields.add(b"files").add(&skip.to_le_bytes());
                for selected in selected {
                    let (hash, notes) =
                        digest(stage, tree, stack, selected, &words.exclude, flags.parents)?;
                    fields.add(&hash);
                    let below = selected.path.to_string_lossy();
                    if stack.is_none() && selected.entry.is_none() {
                        ingredients.files(&below, notes);
                    } else {
                        ingredients.add(format!("`/{below}`"), &hash);
                    }
                }
            }
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
                    .add(&download.digest);
                fields.add(&download.mtime.unwrap_or(0).to_le_bytes());
            }
            Item::Git { commit, git } => {
                ingredients.add("the commit", commit.as_bytes());
                fields.add(b"git").add(commit.as_bytes());
                fields.add(git.subdir.as_deref().unwrap_or_default().as_bytes());
                fields.add(&[u8::from(flags.keep_git_dir)]);
            }
        }
    }
    Ok(fields.finish())
}

/// The digest of one selection, and those of its files. Files of layers never change, so theirs are
/// remembered, and not told apart.
pub(super) fn digest(
    stage: &Stage<'_, '_>,
    tree: &Tree,
    stack: Option<&[u8; 32]>,
    selected: &Selected,
    exclude: &Patterns,
    parents: bool,
) -> std::io::Result<(Hash, Vec<(String, Hash)>)> {
    let compute = || {
        let mut fields = Fields::new("selection");
        select::add_digest(&mut fields, tree, selected, exclude, parents)?;
        let notes = fields.take_notes();
        Ok::<_, std::io::Error>((fields.finish(), notes))
    };
    let Some(stack) = stack else { return compute() };
    let mut question = Fields::new("selection of layers");
    question
        .add(stack)
        .add(selected.path.as_bytes())
        .add(selected.named.as_bytes());
    question.list(&exclude.texts).add(&[u8::from(parents)]);
    let question = question.finish();
    if let Some(known) = stage.solver.cache.digest(&question) {
        return Ok((known, Vec::new()));
    }
    let (digest, _) = compute()?;
    stage.solver.cache.put_digest(&question, &digest);
    Ok((digest, Vec::new()))
}
