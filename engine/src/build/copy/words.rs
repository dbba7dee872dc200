//! The flags and words of `COPY` and `ADD`.

use crate::build::checks;
use crate::build::chmod::Change;
use crate::build::diagnostic::Span;
use crate::build::error::BuildError;
use crate::build::ignore::Patterns;
use crate::build::parse::{AddFlags, CopyFlags, SourcesAndDest};
use crate::build::stage::Stage;
use crate::build::values;

/// The flags of both.
pub(in crate::build) struct Flags<'f> {
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
    pub(in crate::build) fn of_copy(flags: &'f CopyFlags) -> Self {
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

    pub(in crate::build) fn of_add(flags: &'f AddFlags) -> Self {
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
pub(super) struct Words {
    pub(super) sources: Vec<String>,
    /// As it was written.
    pub(super) written_dest: String,
    /// Absolute.
    pub(super) dest: String,
    pub(super) chown: Option<String>,
    pub(super) chmod: Option<String>,
    /// What `chmod` says.
    pub(super) mode: Option<Change>,
    pub(super) checksum: Option<String>,
    pub(super) exclude: Patterns,
}

impl Words {
    pub(super) fn expand(
        stage: &Stage<'_, '_>,
        span: Span,
        flags: &Flags<'_>,
        words: &SourcesAndDest,
    ) -> Result<Self, BuildError> {
        let written_dest = stage.expand(span, &words.dest)?;
        let dest = values::absolute(
            &stage.result.config.config.working_dir,
            if written_dest.is_empty() {
                "."
            } else {
                &written_dest
            },
        );
        let given = |text: Option<&str>| -> Result<Option<String>, BuildError> {
            let text = text.map(|text| stage.expand(span, text)).transpose()?;
            Ok(text.filter(|text| !text.is_empty()))
        };
        let chmod = given(flags.chmod)?;
        let mode = match &chmod {
            None => None,
            Some(text) => {
                let mode = checks::chmod(text);
                Some(mode.map_err(|bad| stage.wrong(span, bad.message, bad.help))?)
            }
        };
        let each = |texts: &[String]| -> Result<Vec<String>, BuildError> {
            texts.iter().map(|text| stage.expand(span, text)).collect()
        };
        // Not expanded, as BuildKit has it.
        let exclude = Patterns::from_flags(flags.exclude).map_err(|bad| {
            stage.wrong(
                span,
                format!("invalid --exclude `{}`: {}", bad.pattern, bad.reason),
                None,
            )
        })?;
        Ok(Self {
            sources: each(&words.sources)?,
            written_dest,
            dest,
            chown: given(flags.chown)?,
            chmod,
            mode,
            checksum: given(flags.checksum)?,
            exclude,
        })
    }

    /// What the history says: not where the files come from, nor how they are linked.
    pub(super) fn history(&self, flags: &Flags<'_>, words: &SourcesAndDest) -> String {
        let mut text = if flags.add { "ADD" } else { "COPY" }.to_owned();
        if flags.parents {
            text += " --parents";
        }
        for (flag, value) in [("chown", &self.chown), ("chmod", &self.chmod)] {
            if let Some(value) = value {
                text += &format!(" --{flag}={value}");
            }
        }
        for source in &self.sources {
            text += &format!(" {source}");
        }
        for file in &words.files {
            text += &format!(" <<{}", file.name);
        }
        text + &format!(" {} # buildkit", self.written_dest)
    }
}
