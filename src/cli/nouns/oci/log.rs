//! The log file that callers of an OCI runtime read its errors from.

use std::cell::RefCell;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use jiff::Timestamp;
use serde_json::json;

use crate::cli::error::CliError;
use crate::ui::text::printable;

use super::LogFormat;

/// Where messages go beside standard error.
pub(super) struct Log {
    file: Option<RefCell<File>>,
    format: LogFormat,
    debug: bool,
}

impl Log {
    /// A file is appended to.
    pub(super) fn open(
        path: Option<&Path>,
        format: LogFormat,
        debug: bool,
    ) -> Result<Self, CliError> {
        let open = |path: &Path| {
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .map(RefCell::new)
                .map_err(|source| CliError::Io {
                    what: format!("open the log `{}`", path.display()),
                    source,
                })
        };
        Ok(Self {
            file: path.map(open).transpose()?,
            format,
            debug,
        })
    }

    /// What ended the operation; the caller prints it.
    pub(super) fn error(&self, error: &CliError) {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        self.write("error", &text);
    }

    /// What was asked for and is not so.
    pub(super) fn warn(&self, messages: &[String]) {
        for message in messages {
            eprintln!("warning: {}", printable(message));
            self.write("warning", message);
        }
    }

    /// What is done.
    pub(super) fn debug(&self, message: &str) {
        if self.debug {
            self.write("debug", message);
        }
    }

    fn write(&self, level: &str, message: &str) {
        let Some(file) = &self.file else { return };
        let time = Timestamp::now().to_string();
        let line = match self.format {
            LogFormat::Json => json!({ "level": level, "msg": message, "time": time }).to_string(),
            LogFormat::Text => format!("time={time} level={level} msg={message:?}"),
        };
        // A full disk must not hide what the operation itself had to say.
        let _ = writeln!(file.borrow_mut(), "{line}");
    }
}
