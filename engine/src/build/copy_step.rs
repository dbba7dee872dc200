//! `COPY` and `ADD`: what they take, its cache key, and the doing.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use super::chmod::Change;
use super::copy::{Attributes, Copier};
use super::digest::{Fields, hex};
use super::error::BuildError;
use super::fetch::{self, Download};
use super::git::GitRef;
use super::ignore::Patterns;
use super::parse::{self, AddFlags, CopyFlags, Instruction, SourcesAndDest};
use super::select::{self, Selected};
use super::stage::{Files, Stage, stack_key};
use super::tree::{self, Tree};
use super::{context, owner, untar, values};
use crate::error::ErrorKind;

/// The flags of both.
pub(super) struct Flags<'f> {
    add: bool,
    from: Option<&'f str>,
    chown: Option<&'f str>,
    chmod: Option<&'f str>,
    link: bool,
    parents: bool,
    exclude: &'f [String],
    checksum: Option<&'f str>,
    keep_git_dir: bool,
    unpack: Option<bool>,
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

/// One source, found.
enum Item {
    /// Files of the tree.
    Files {
        selected: Vec<Selected>,
        skip: usize,
    },
    /// A heredoc.
    Text { name: String, content: String },
    /// A fetched file.
    Url(Download),
    /// Files of a repository.
    Git { commit: String, git: GitRef },
}

/// Does the instruction.
pub(super) fn run(
    stage: &mut Stage<'_, '_>,
    instruction: &Instruction,
    flags: Flags<'_>,
    words: &SourcesAndDest,
) -> Result<(), BuildError> {
    let span = instruction.span;
    let keyword = instruction.keyword.to_uppercase();
    let name = stage.vertex_name(&format!("{keyword} {}", instruction.text));

    let dest = stage.expand(span, &words.dest)?;
    let dest = values::absolute(
        &stage.result.config.config.working_dir,
        if dest.is_empty() { "." } else { &dest },
    );
    let expand = |text: Option<&str>| text.map(|text| stage.expand(span, text)).transpose();
    let chown = expand(flags.chown)?.filter(|text| !text.is_empty());
    let chmod = expand(flags.chmod)?.filter(|text| !text.is_empty());
    let checksum = expand(flags.checksum)?.filter(|text| !text.is_empty());
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
    let mut exclude = Vec::new();
    for pattern in flags.exclude {
        exclude.push(stage.expand(span, pattern)?);
    }
    let exclude = Patterns::from_flags(&exclude).map_err(|bad| {
        stage.wrong(
            span,
            format!("invalid --exclude `{}`: {}", bad.pattern, bad.reason),
            None,
        )
    })?;
    let mut sources = Vec::new();
    for source in &words.sources {
        sources.push(stage.expand(span, source)?);
    }

    let files = stage.files(span, flags.from)?;
    let opened;
    let (tree, stack_key): (&Tree, _) = match &files {
        Files::Context(context) => (&context.tree, None),
        Files::Stack(stack) => {
            opened = stage.open(stack)?;
            (&opened, Some(stack_key(stack)))
        }
    };
    let mut items = Vec::new();
    for source in &sources {
        items.push(find(
            stage,
            span,
            &name,
            tree,
            source,
            &flags,
            checksum.as_deref(),
        )?);
    }
    for file in &words.files {
        let content = if file.chomp {
            parse::chomp(&file.content)
        } else {
            file.content.clone()
        };
        let content = if file.expand {
            stage.expand_body(span, &content)?
        } else {
            content
        };
        items.push(Item::Text {
            name: file.name.clone(),
            content,
        });
    }

    let failed = |error: std::io::Error| {
        stage.solver.step_error(
            &name,
            &stage.source,
            span,
            ErrorKind::Internal,
            format!("cannot read the sources: {error}"),
            None,
        )
    };
    let mut fields = Fields::new(if flags.add { "add" } else { "copy" });
    fields.add(&stage.result.key).add(dest.as_bytes());
    fields.add(chown.as_deref().unwrap_or_default().as_bytes());
    fields.add(chmod.as_deref().unwrap_or_default().as_bytes());
    fields.add(&[
        u8::from(flags.link),
        u8::from(flags.parents),
        u8::from(flags.unpack.unwrap_or(true)),
    ]);
    fields.list(&exclude.texts);
    for item in &items {
        match item {
            Item::Files { selected, skip } => {
                fields.add(b"files").add(&skip.to_le_bytes());
                for selected in selected {
                    fields.add(
                        &digest(
                            stage,
                            tree,
                            stack_key.as_ref(),
                            selected,
                            &exclude,
                            flags.parents,
                        )
                        .map_err(failed)?,
                    );
                }
            }
            Item::Text { name, content } => {
                fields
                    .add(b"text")
                    .add(name.as_bytes())
                    .add(content.as_bytes());
            }
            Item::Url(download) => {
                fields
                    .add(b"url")
                    .add(download.name.as_bytes())
                    .add(&download.digest);
                fields.add(&download.mtime.unwrap_or(0).to_le_bytes());
            }
            Item::Git { commit, git } => {
                fields.add(b"git").add(commit.as_bytes());
                fields.add(git.subdir.as_deref().unwrap_or_default().as_bytes());
                fields.add(&[u8::from(flags.keep_git_dir)]);
            }
        }
    }
    let key = fields.finish();
    let count: usize = items
        .iter()
        .map(|item| match item {
            Item::Files { selected, .. } => selected.len(),
            _ => 1,
        })
        .sum();
    let job = Job {
        dest: &dest,
        // Several sources need a directory.
        into: dest.ends_with('/') || count > 1,
        flags: &flags,
        exclude: &exclude,
        mode,
        chown: chown.as_deref(),
    };
    // An own layer; with --chmod the reference makes a plain copy of it.
    let alone = flags.link && chmod.is_none();
    let (layer, created) = stage.file_vertex(span, &name, key, alone, &mut |stage, to| {
        job.write(stage, tree, to, &items)
    })?;
    let text = format!("{keyword} {}", instruction.text);
    stage.push(key, layer, created, &text);
    if let Some(index) = &tree.index {
        index.save();
    }
    Ok(())
}

/// The digest of one selection. Files of layers never change, so theirs are remembered.
pub(super) fn digest(
    stage: &Stage<'_, '_>,
    tree: &Tree,
    stack: Option<&[u8; 32]>,
    selected: &Selected,
    exclude: &Patterns,
    parents: bool,
) -> std::io::Result<[u8; 32]> {
    let compute = || {
        let mut fields = Fields::new("selection");
        select::add_digest(&mut fields, tree, selected, exclude, parents)?;
        Ok::<_, std::io::Error>(fields.finish())
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
        return Ok(known);
    }
    let digest = compute()?;
    stage.solver.cache.put_digest(&question, &digest);
    Ok(digest)
}

/// Finds what one source word names.
fn find(
    stage: &Stage<'_, '_>,
    span: super::diagnostic::Span,
    step: &str,
    tree: &Tree,
    source: &str,
    flags: &Flags<'_>,
    checksum: Option<&str>,
) -> Result<Item, BuildError> {
    let failed = |kind, message: String, help: Option<String>| {
        stage
            .solver
            .step_error(step, &stage.source, span, kind, message, help)
    };
    let git = GitRef::parse(source);
    let url = source.starts_with("http://") || source.starts_with("https://");
    if !flags.add && (git.is_some() || url) {
        let what = if git.is_some() {
            "a git repository"
        } else {
            "a URL"
        };
        return Err(stage.wrong(
            span,
            format!("COPY cannot take {what}: `{source}`"),
            Some("use ADD"),
        ));
    }
    if checksum.is_some() && git.is_none() && !url {
        return Err(stage.wrong(
            span,
            "--checksum is for URLs and git repositories only",
            None,
        ));
    }
    if let Some(git) = git {
        let commit = git
            .resolve()
            .map_err(|reason| failed(ErrorKind::NotFound, reason, None))?;
        if let Some(checksum) = checksum
            && (checksum.len() < 7 || !commit.starts_with(&checksum.to_ascii_lowercase()))
        {
            let message = format!("checksum `{checksum}` does not match the commit `{commit}`");
            return Err(failed(ErrorKind::Invalid, message, None));
        }
        return Ok(Item::Git { commit, git });
    }
    if url {
        let download = fetch::file(stage.solver, source)
            .map_err(|(kind, reason)| failed(kind, reason, None))?;
        if let Some(checksum) = checksum {
            let found = format!("sha256:{}", hex(&download.digest));
            let well_formed = checksum
                .strip_prefix("sha256:")
                .is_some_and(|hex| hex.len() == 64);
            if !well_formed {
                return Err(stage.wrong(
                    span,
                    format!("invalid --checksum `{checksum}`"),
                    Some("write sha256:<64 hex digits>"),
                ));
            }
            if found != checksum.to_ascii_lowercase() {
                let message = format!(
                    "checksum mismatch of `{source}`: its digest is {found}, --checksum says {checksum}"
                );
                return Err(failed(ErrorKind::Invalid, message, None));
            }
        }
        return Ok(Item::Url(download));
    }
    // The part after `/./` is kept below the destination.
    let (word, skip) = match flags.parents {
        true => {
            let trimmed = source.trim_start_matches("./");
            match trimmed.find("/./") {
                Some(at) => {
                    let base = values::clean(&format!("/{}", &trimmed[..at]));
                    (
                        trimmed.to_owned(),
                        base.split('/').filter(|part| !part.is_empty()).count(),
                    )
                }
                None => (trimmed.to_owned(), 0),
            }
        }
        false => (source.to_owned(), 0),
    };
    match select::select(tree, &word, flags.parents) {
        Ok(Some(selected)) => Ok(Item::Files { selected, skip }),
        Ok(None) => {
            let shown = values::clean(&format!("/{source}"));
            let hidden = tree::exists(tree, &shown);
            let help = match (flags.from, hidden) {
                (None, true) => {
                    Some("an ignore file excludes it; add an exception `!` for it".to_owned())
                }
                (None, false) => Some("paths are relative to the build context".to_owned()),
                (Some(_), _) => Some("paths are relative to the root of the source".to_owned()),
            };
            Err(failed(
                ErrorKind::NotFound,
                format!("`{shown}` not found"),
                help,
            ))
        }
        Err(error) => Err(failed(
            ErrorKind::Invalid,
            format!("cannot use source `{source}`: {error}"),
            None,
        )),
    }
}

/// The doing, once it is known that it must be done.
struct Job<'j> {
    dest: &'j str,
    into: bool,
    flags: &'j Flags<'j>,
    exclude: &'j Patterns,
    mode: Option<Change>,
    chown: Option<&'j str>,
}

impl Job<'_> {
    fn write(
        &self,
        stage: &Stage<'_, '_>,
        from: &Tree,
        to: &Tree,
        items: &[Item],
    ) -> Result<(), String> {
        let owner = self
            .chown
            .map(|text| owner::resolve(to, text))
            .transpose()?;
        let attributes = Attributes {
            owner,
            mode: self.mode.clone(),
            created: stage.solver.epoch,
        };
        let text = |error: super::copy::CopyError| error.to_string();
        for item in items {
            // Hard links are kept inside one source only.
            let mut copier = Copier::new(to, &attributes);
            match item {
                Item::Files { selected, skip } => {
                    for selected in selected {
                        self.files(&mut copier, from, selected, *skip)?;
                    }
                }
                Item::Text { name, content } => copier
                    .write(name, 0o644, None, self.dest, self.into, &mut |file| {
                        file.write_all(content.as_bytes())
                    })
                    .map_err(text)?,
                Item::Url(download) => self.url(&mut copier, to, download)?,
                Item::Git { commit, git } => {
                    let part = stage
                        .solver
                        .scratch
                        .directory()
                        .map_err(|error| error.to_string())?;
                    git.checkout(commit, part.path(), self.flags.keep_git_dir)?;
                    let checkout = context::filled(part, "").map_err(|error| error.to_string())?;
                    let subdir = git.subdir.clone().unwrap_or_default();
                    let found = select::select(&checkout.tree, &subdir, false)
                        .map_err(|error| error.to_string())?;
                    let found = found.ok_or_else(|| {
                        format!("the git repository has no `{subdir}` at {commit}")
                    })?;
                    for selected in found {
                        copier
                            .copy(
                                &checkout.tree,
                                &selected,
                                self.dest,
                                self.into,
                                self.exclude,
                            )
                            .map_err(text)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn files(
        &self,
        copier: &mut Copier<'_>,
        from: &Tree,
        selected: &Selected,
        skip: usize,
    ) -> Result<(), String> {
        if self.flags.add
            && self.flags.unpack != Some(false)
            && let Some(entry) = &selected.entry
            && entry.kind() == rustix::fs::FileType::RegularFile
        {
            let file = tree::open_file(selected.dir.as_fd(), &entry.name)
                .map_err(|error| error.to_string())?;
            if let Some(archive) = untar::open(file).map_err(|error| error.to_string())? {
                return self.unpack(copier, archive);
            }
        }
        if self.flags.parents {
            return copier
                .copy_with_parents(from, selected, skip, self.dest, self.exclude)
                .map_err(|error| error.to_string());
        }
        copier
            .copy(from, selected, self.dest, self.into, self.exclude)
            .map_err(|error| error.to_string())
    }

    fn unpack(
        &self,
        copier: &mut Copier<'_>,
        archive: Box<dyn std::io::Read>,
    ) -> Result<(), String> {
        let dir = copier
            .make_directory(self.dest)
            .map_err(|error| error.to_string())?;
        untar::unpack(archive, dir, copier.attributes.owner).map_err(|error| error.to_string())
    }

    fn url(&self, copier: &mut Copier<'_>, _to: &Tree, download: &Download) -> Result<(), String> {
        let open = || std::fs::File::open(&download.path).map_err(|error| error.to_string());
        if self.flags.unpack == Some(true)
            && let Some(archive) = untar::open(open()?).map_err(|error| error.to_string())?
        {
            return self.unpack(copier, archive);
        }
        let mut body = open()?;
        copier
            .write(
                &download.name,
                0o600,
                Some(download.mtime.unwrap_or(0)),
                self.dest,
                self.into,
                &mut |file| std::io::copy(&mut body, file).map(drop),
            )
            .map_err(|error| error.to_string())
    }
}
