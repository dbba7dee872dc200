//! Documents as YAML text. Every string reads back as that string, in any YAML 1.1 or 1.2 reader.

use serde_json::{Map, Value};

use super::tree;
use super::yaml;

/// A document as YAML.
pub fn yaml(document: &Value) -> String {
    let mut out = String::new();
    match document {
        Value::Object(map) if !map.is_empty() => mapping(map, 0, &mut out),
        other => {
            out.push_str(&scalar(other));
            out.push('\n');
        }
    }
    out
}

fn mapping(map: &Map<String, Value>, indent: usize, out: &mut String) {
    for (key, value) in map {
        pad(indent, out);
        out.push_str(&text(key));
        out.push(':');
        nested(value, indent + 1, out);
    }
}

/// What follows `key:`.
fn nested(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            mapping(map, indent, out);
        }
        Value::Array(list) if !list.is_empty() => {
            out.push('\n');
            sequence(list, indent, out);
        }
        other => {
            out.push(' ');
            out.push_str(&scalar(other));
            out.push('\n');
        }
    }
}

fn sequence(list: &[Value], indent: usize, out: &mut String) {
    for item in list {
        pad(indent, out);
        out.push('-');
        match item {
            Value::Object(map) if !map.is_empty() => {
                // The first key stands on the line of the dash.
                let mut block = String::new();
                mapping(map, indent + 1, &mut block);
                out.push(' ');
                out.push_str(block.trim_start());
            }
            Value::Array(inner) if !inner.is_empty() => {
                let mut block = String::new();
                sequence(inner, indent + 1, &mut block);
                out.push(' ');
                out.push_str(block.trim_start());
            }
            other => {
                out.push(' ');
                out.push_str(&scalar(other));
                out.push('\n');
            }
        }
    }
}

fn pad(indent: usize, out: &mut String) {
    for _ in 0..indent {
        out.push_str("  ");
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => match n.as_f64() {
            Some(v) if n.is_f64() => tree::go_float(v),
            _ => n.to_string(),
        },
        Value::String(s) => text(s),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
    }
}

/// A string, quoted when a reader could take it for something else.
fn text(s: &str) -> String {
    let quoted = || Value::String(s.to_owned()).to_string();
    let is_string = matches!(yaml::resolve(s), tree::Value::Str(_));
    if !is_string
        || s.contains(|c: char| {
            c.is_control() || c == '\u{2028}' || c == '\u{2029}' || c == '\u{feff}'
        })
    {
        return quoted();
    }
    match serde_yaml::to_string(s) {
        Ok(plain) if !plain.trim_end().contains('\n') => plain.trim_end().to_owned(),
        _ => quoted(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_read_back() {
        for s in [
            "a",
            "",
            "yes",
            "1",
            "0755",
            "1_000",
            "2024-01-02",
            "a: b",
            "#x",
            "a #b",
            "x\ny",
            "'",
            "\"",
            "*a",
            "!b",
            "-",
            "~",
            "1e3",
            " x",
            "x ",
            "é",
            "\t",
        ] {
            let document = serde_json::json!({ "k": s, "l": [s, [s], {"m": s}] });
            let printed = yaml(&document);
            let mut problems = Vec::new();
            let documents = yaml::parse(&printed, crate::loader::FileId(0), &mut problems);
            assert!(problems.is_empty(), "{printed}: {problems:?}");
            let root = &documents[0].root;
            for path in [&["k"][..], &["l", "0"], &["l", "1", "0"], &["l", "2", "m"]] {
                assert_eq!(
                    root.find(path).and_then(tree::Node::as_str),
                    Some(s),
                    "{printed}"
                );
            }
        }
    }
}
