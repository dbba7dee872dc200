//! Changes that take a problem away, where the problem says which: a name that was meant, a line
//! that has no meaning any more.

use std::collections::HashMap;

use lsp_types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, Diagnostic, NumberOrString, Range, TextEdit,
    WorkspaceEdit,
};

use super::documents::Document;
use super::position::Encoding;

/// The changes for the problems that the client shows at a place.
pub fn of(
    document: &Document,
    problems: Vec<Diagnostic>,
    encoding: Encoding,
) -> Vec<CodeActionOrCommand> {
    problems
        .into_iter()
        .filter(|problem| problem.source.as_deref() == Some("gantry"))
        .filter_map(|problem| {
            let (title, edit) = meant(document, &problem, encoding)
                .or_else(|| without_line(document, &problem, encoding))?;
            let changes = HashMap::from([(document.uri.clone(), vec![edit])]);
            Some(CodeActionOrCommand::CodeAction(CodeAction {
                title,
                kind: Some(CodeActionKind::QUICKFIX),
                edit: Some(WorkspaceEdit::new(changes)),
                is_preferred: Some(true),
                diagnostics: Some(vec![problem]),
                ..CodeAction::default()
            }))
        })
        .collect()
}

/// The name that was meant, in place of the one that was written.
fn meant(
    document: &Document,
    problem: &Diagnostic,
    encoding: Encoding,
) -> Option<(String, TextEdit)> {
    let (_, after) = problem.message.split_once("did you mean `")?;
    let (name, _) = after.split_once("`?")?;
    let offset = |position| document.lines.offset(&document.text, position, encoding);
    let (start, end) = (offset(problem.range.start), offset(problem.range.end));
    let written = document.text.get(start..end)?;
    let inner = written.trim_matches(['"', '\'']);
    // Where more than the name is marked, nobody knows which part is meant.
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+');
    if inner.is_empty() || !inner.chars().all(is_name) || inner == name {
        return None;
    }
    let edit = TextEdit::new(problem.range, written.replacen(inner, name, 1));
    Some((format!("Change to `{name}`"), edit))
}

fn without_line(
    document: &Document,
    problem: &Diagnostic,
    encoding: Encoding,
) -> Option<(String, TextEdit)> {
    if problem.code != Some(NumberOrString::String("obsolete-version".to_owned())) {
        return None;
    }
    let line = problem.range.start.line as usize;
    let range = document.lines.range(&document.text, line);
    let text = document.text.get(range.clone())?;
    if !text.starts_with("version") {
        return None;
    }
    let below = document.lines.range(&document.text, line + 1).start;
    let at = |offset| document.lines.position(&document.text, offset, encoding);
    let edit = TextEdit::new(Range::new(at(range.start), at(below)), String::new());
    Some(("Remove `version`".to_owned(), edit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lsp_types::{Position, Url};

    fn fix(
        text: &str,
        line: u32,
        columns: (u32, u32),
        code: &str,
        message: &str,
    ) -> Option<String> {
        let uri = Url::parse("file:///a/compose.yaml").expect("a URL");
        let mut document = Document::new(uri.clone(), "yaml".to_owned(), 1, text.to_owned());
        let problem = Diagnostic {
            range: Range::new(
                Position::new(line, columns.0),
                Position::new(line, columns.1),
            ),
            code: Some(NumberOrString::String(code.to_owned())),
            source: Some("gantry".to_owned()),
            message: message.to_owned(),
            ..Diagnostic::default()
        };
        let actions = of(&document, vec![problem], Encoding::Utf16);
        let CodeActionOrCommand::CodeAction(action) = actions.into_iter().next()? else {
            return None;
        };
        let edit = action.edit?.changes?.remove(&uri)?.remove(0);
        let change = lsp_types::TextDocumentContentChangeEvent {
            range: Some(edit.range),
            range_length: None,
            text: edit.new_text,
        };
        document.change(2, vec![change], Encoding::Utf16);
        Some(document.text.to_string())
    }

    #[test]
    fn what_was_meant_is_put_in() {
        let help = "no\nhelp: did you mean `image`?";
        assert_eq!(
            fix("a: b\nimaeg: x\n", 1, (0, 5), "unknown-key", help).as_deref(),
            Some("a: b\nimage: x\n")
        );
        assert_eq!(
            fix("a: 'imaeg' # c\n", 0, (3, 10), "bad-value", help).as_deref(),
            Some("a: 'image' # c\n")
        );
        assert_eq!(fix("a: imaeg:ro\n", 0, (3, 11), "bad-value", help), None);
        assert_eq!(fix("a: imaeg\n", 0, (3, 8), "bad-value", "no idea"), None);
        // The text has changed since.
        assert_eq!(fix("", 7, (3, 8), "bad-value", help), None);
    }

    #[test]
    fn version_is_removed_with_its_line() {
        let fixed = fix(
            "version: '3'\nservices:\n",
            0,
            (0, 7),
            "obsolete-version",
            "old",
        );
        assert_eq!(fixed.as_deref(), Some("services:\n"));
        assert_eq!(
            fix("{version: 3}", 0, (1, 8), "obsolete-version", "old"),
            None
        );
    }
}
