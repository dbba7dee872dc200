//! `COPY` and `ADD`: their words, what their flags may say, and sources that the ignore file hides.

use super::Subject;
use super::rules::COPY_IGNORED_FILE;
use super::walk::{Checked, Walk};
use crate::build::checks::{self, Source, Verb};
use crate::build::parse::{AddFlags, CopyFlags, Instruction, SourcesAndDest};
use crate::build::values;

/// What both have in common.
pub(super) struct Flags<'f> {
    verb: Verb,
    from: Option<&'f str>,
    chown: Option<&'f str>,
    chmod: Option<&'f str>,
    checksum: Option<&'f str>,
}

impl<'f> Flags<'f> {
    pub(super) fn of_copy(flags: &'f CopyFlags) -> Self {
        Self {
            verb: Verb::Copy,
            from: flags.from.as_deref().filter(|from| !from.is_empty()),
            chown: flags.chown.as_deref(),
            chmod: flags.chmod.as_deref(),
            checksum: None,
        }
    }

    pub(super) fn of_add(flags: &'f AddFlags) -> Self {
        Self {
            verb: Verb::Add,
            from: None,
            chown: flags.chown.as_deref(),
            chmod: flags.chmod.as_deref(),
            checksum: flags.checksum.as_deref(),
        }
    }
}

impl Walk<'_, '_, '_> {
    pub(super) fn copy(
        &mut self,
        instruction: &Instruction,
        flags: &Flags<'_>,
        words: &SourcesAndDest,
    ) -> Checked<()> {
        self.word(instruction, flags.chown.unwrap_or_default())?;
        let chmod = self.word(instruction, flags.chmod.unwrap_or_default())?;
        let checksum = self.word(instruction, flags.checksum.unwrap_or_default())?;
        let mut sources = Vec::with_capacity(words.sources.len());
        for source in &words.sources {
            sources.push(self.word(instruction, source)?);
        }
        self.word(instruction, &words.dest)?;
        for file in words.files.iter().filter(|file| file.expand) {
            self.expand(instruction, &file.content, '\\', true)?;
        }
        if !chmod.is_empty() {
            checks::chmod(&chmod).map_err(|bad| self.wrong(instruction, bad.message, bad.help))?;
        }
        if !checksum.is_empty() && words.sources.len() != 1 {
            let message = "--checksum is for one source";
            return Err(self.wrong(instruction, message, None));
        }
        for source in &sources {
            self.source(instruction, flags, source, &checksum)?;
        }
        Ok(())
    }

    fn source(
        &mut self,
        instruction: &Instruction,
        flags: &Flags<'_>,
        source: &str,
        checksum: &str,
    ) -> Checked<()> {
        let found = checks::source(source, flags.verb, !checksum.is_empty())
            .map_err(|bad| self.wrong(instruction, bad.message, bad.help))?;
        let path = values::clean(source);
        let is_of_context = matches!(found, Source::Files) && flags.from.is_none();
        if is_of_context && is_ignored(self.subject, &path) {
            let verb = match flags.verb {
                Verb::Copy => "Copy",
                Verb::Add => "Add",
            };
            let message =
                format!("Attempting to {verb} file {path:?} that is excluded by .dockerignore");
            self.add(COPY_IGNORED_FILE, instruction, message);
        }
        Ok(())
    }
}

/// Whether the context's ignore file hides a source. Not said where exceptions could bring part of it back.
fn is_ignored(subject: &Subject<'_>, path: &str) -> bool {
    let ignore = subject.ignore;
    if ignore.is_empty() || ignore.texts.iter().any(|text| text.starts_with('!')) {
        return false;
    }
    let everything = |text: &String| ["*", "**", "**/*"].contains(&text.as_str());
    match path {
        "." | "/" => ignore.texts.iter().any(everything),
        path => ignore.excludes(path),
    }
}
