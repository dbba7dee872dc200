//! `COPY` and `ADD`: their words, what their flags may say, and sources that the ignore file hides.

use super::Subject;
use super::rules::COPY_IGNORED_FILE;
use super::walk::{Checked, Walk};
use crate::build::chmod::Change;
use crate::build::git::GitRef;
use crate::build::parse::{AddFlags, CopyFlags, Instruction, SourcesAndDest};
use crate::build::values;

/// What both have in common.
pub(super) struct Flags<'f> {
    verb: &'static str,
    from: Option<&'f str>,
    chown: Option<&'f str>,
    chmod: Option<&'f str>,
    checksum: Option<&'f str>,
}

impl<'f> Flags<'f> {
    pub(super) fn of_copy(flags: &'f CopyFlags) -> Self {
        Self {
            verb: "Copy",
            from: flags.from.as_deref().filter(|from| !from.is_empty()),
            chown: flags.chown.as_deref(),
            chmod: flags.chmod.as_deref(),
            checksum: None,
        }
    }

    pub(super) fn of_add(flags: &'f AddFlags) -> Self {
        Self {
            verb: "Add",
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
        if !chmod.is_empty() && Change::parse(&chmod).is_none() {
            let message = format!("invalid value `{chmod}` for --chmod");
            let help = "an octal mode from 0 to 07777, or a symbolic one as u=rwX,go=rX";
            return Err(self.wrong(instruction, message, Some(help)));
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
        let remote = if GitRef::parse(source).is_some() {
            Some("a git repository")
        } else if source.starts_with("http://") || source.starts_with("https://") {
            Some("a URL")
        } else {
            None
        };
        match remote {
            Some(what) if flags.verb == "Copy" => {
                let message = format!("COPY cannot take {what}: `{source}`");
                return Err(self.wrong(instruction, message, Some("use ADD")));
            }
            None if !checksum.is_empty() => {
                let message = "--checksum is for URLs and git repositories only";
                return Err(self.wrong(instruction, message, None));
            }
            _ => {}
        }
        let path = values::clean(source);
        if remote.is_none() && flags.from.is_none() && is_ignored(self.subject, &path) {
            let verb = flags.verb;
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
