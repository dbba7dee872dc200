//! What translation found, shown where the user wrote it.
//!
//! The model knows no places, so the files are loaded once more: only the way to a message pays
//! for that.

use std::io::Write as _;

use crate::cli::global::Global;
use crate::cli::session;
use crate::loader::{self, Diagnostics, Loaded, Severity, Span};
use crate::lower::Finding;

/// Refused attributes as errors, with file, line, excerpt and remedy.
#[must_use]
pub fn errors(global: &Global, findings: &[Finding]) -> String {
    render(global, Severity::Error, "unsupported", findings)
}

/// Prints attributes without effect as warnings.
pub fn warn(global: &Global, findings: &[Finding]) {
    if !findings.is_empty() {
        let text = render(global, Severity::Warning, "no-effect", findings);
        // Nobody is left to tell when standard error is closed.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

/// The project once more, with its places.
pub(super) fn load(global: &Global) -> Option<Loaded> {
    loader::load(&session::options(global).ok()?).ok()
}

fn render(global: &Global, severity: Severity, code: &'static str, findings: &[Finding]) -> String {
    let loaded = load(global);
    diagnostics(loaded.as_ref(), severity, code, findings).render(session::colour(global))
}

/// Findings with the places of a load. Without one (its files have changed since) they have
/// only names.
fn diagnostics(
    loaded: Option<&Loaded>,
    severity: Severity,
    code: &'static str,
    findings: &[Finding],
) -> Diagnostics {
    let mut all = Diagnostics::default();
    if let Some(loaded) = loaded {
        all.sources = loaded.warnings.sources.clone();
    }
    for Finding {
        path,
        message,
        help,
    } in findings
    {
        let problem = match loaded {
            Some(loaded) => loaded.problem(severity, code, path, message),
            None => loader::Diagnostic {
                severity,
                ..loader::Diagnostic::error(code, Span::NONE, format!("{path}: {message}"))
            },
        };
        let advice = loaded.and_then(|loaded| loader::words::advice(&loaded.tree, path));
        all.push(problem.help(advice.as_ref().unwrap_or(help)));
    }
    all.sort();
    all
}
