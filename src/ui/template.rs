//! `--format` templates: the part of Go's text/template that people use with Docker.
//!
//! Fields (`{{.Name}}`, `{{.State.Status}}`), pipes, `{{range}}`, `{{if}}`/`{{else}}`,
//! `{{with}}`, variables of `range`, and the functions json, index, join, split, upper,
//! lower, title, len, println, print, printf (%s %d %v %q), truncate, pad, eq, ne, not,
//! and, or. Anything else is refused by name.

mod eval;
mod parse;
mod printf;

use serde_json::Value;

/// Why a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The text is no template.
    #[error("template: {message} at character {at}")]
    Syntax {
        /// What is wrong.
        message: String,
        /// From 0.
        at: usize,
    },
    /// A function that is not offered.
    #[error("template: function `{name}` is not supported")]
    UnknownFunction {
        /// Its name.
        name: String,
    },
    /// A field that the thing does not have.
    #[error("template: there is no field `{name}`")]
    UnknownField {
        /// Its name.
        name: String,
    },
    /// A function was given what it cannot work with.
    #[error("template: `{function}` cannot work with {value}")]
    Type {
        /// The function.
        function: String,
        /// The value.
        value: String,
    },
}

/// A template, ready to be used for many values.
#[derive(Clone, Debug)]
pub struct Template {
    nodes: Vec<parse::Node>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When the text is no template, with the place.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self {
            nodes: parse::parse(&unescape(text))?,
        })
    }

    /// Fills it in.
    ///
    /// # Errors
    /// When a field or function does not exist.
    pub fn render(&self, value: &Value) -> Result<String, TemplateError> {
        eval::render(&self.nodes, value)
    }

    /// The titles of a `table` template's columns: its fields' names in capitals with blanks
    /// where the words meet, as Docker prints them.
    pub fn titles(&self) -> String {
        parse::titles(&self.nodes)
    }
}

/// What `--format` asks for.
#[derive(Clone, Debug)]
pub enum Format {
    /// The command's own table.
    Table,
    /// One JSON object a line.
    Json,
    /// `table TEMPLATE`: columns with titles.
    Columns(Template),
    /// One filled-in template a line.
    Template(Template),
}

impl Format {
    /// Reads the flag's value.
    ///
    /// # Errors
    /// When the template is none.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(match text {
            "" | "table" => Self::Table,
            "json" => Self::Json,
            _ => match text.strip_prefix("table ") {
                Some(columns) => Self::Columns(Template::parse(columns)?),
                None => Self::Template(Template::parse(text)?),
            },
        })
    }
}

/// `\t` and `\n` as people type them in a shell.
fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(template: &str, expected: &str) {
        let value = json!({
            "Name": "web-1", "ID": "abc", "Count": 3, "Empty": "", "Labels": {"a.b": "c"},
            "State": {"Status": "running", "Running": true}, "Names": ["x", "y"], "Nothing": null,
            "Ports": {"80/tcp": [{"HostPort": "8080"}]},
        });
        let found = Template::parse(template).and_then(|t| t.render(&value));
        assert_eq!(found.as_deref(), Ok(expected), "{template}");
    }

    #[test]
    fn fields_functions_and_pipes() {
        check("{{.Name}} {{ .State.Status }}", "web-1 running");
        check("{{json .Names}}", r#"["x","y"]"#);
        check("{{.Names | json}}", r#"["x","y"]"#);
        check("{{join .Names \", \"}}", "x, y");
        check("{{upper .Name}}{{lower \"ABC\"}}", "WEB-1abc");
        check("{{index .Labels \"a.b\"}}", "c");
        check("{{(index (index .Ports \"80/tcp\") 0).HostPort}}", "8080");
        check(
            "{{len .Names}} {{printf \"%s=%d\" .Name .Count}}",
            "2 web-1=3",
        );
        check("{{truncate .Name 3}}|{{.Name}}\\t{{.ID}}", "web|web-1\tabc");
        check("{{printf \"%-6s|%03d\" .Name .Count}}", "web-1 |003");
        check("{{slice .Name 0 3}} {{len (slice .Names 1)}}", "web 1");
        check("{{lt .Count 3.5}} {{ge \"a\" \"b\"}}", "true false");
        check(
            "{{$n := .Name}}{{with .State}}{{$n}} {{.Status}}{{end}}",
            "web-1 running",
        );
        check("{{.State}}", "map[Running:true Status:running]");
        check("{{.Nothing}}", "<no value>");
    }

    #[test]
    fn control() {
        check("{{range .Names}}<{{.}}>{{end}}", "<x><y>");
        check("{{range $i, $n := .Names}}{{$i}}{{$n}}{{end}}", "0x1y");
        check("{{range $k, $v := .Labels}}{{$k}}={{$v}}{{end}}", "a.b=c");
        check("{{if .State.Running}}up{{else}}down{{end}}", "up");
        check(
            "{{if eq .Name \"db\"}}1{{else if .Empty}}2{{else}}3{{end}}",
            "3",
        );
        check("{{if and .Name (not .Empty)}}yes{{end}}", "yes");
        check("{{with .State}}{{.Status}}{{end}}", "running");
        check("a {{- .Name -}} b", "aweb-1b");
        check("{{/* silence */}}x{{$.Name}}", "xweb-1");
    }

    #[test]
    fn errors_name_the_thing() {
        let error = |text: &str| {
            Template::parse(text)
                .and_then(|t| t.render(&json!({"A": 1})))
                .unwrap_err()
        };
        assert_eq!(
            error("{{.B}}"),
            TemplateError::UnknownField { name: "B".into() }
        );
        assert_eq!(
            error("{{frob .A}}"),
            TemplateError::UnknownFunction {
                name: "frob".into()
            }
        );
        let hidden = error("{{if .A}}{{$x := 1}}{{end}}{{$x}}");
        assert!(matches!(hidden, TemplateError::UnknownField { .. }));
        for wrong in ["{{slice \"ab\" 3}}", "{{lt .A \"x\"}}", "{{lt 1}}"] {
            assert!(
                matches!(error(wrong), TemplateError::Type { .. }),
                "{wrong}"
            );
        }
        assert!(matches!(error("{{.A"), TemplateError::Syntax { .. }));
        assert!(matches!(error("{{if .A}}"), TemplateError::Syntax { .. }));
        assert!(matches!(error("{{end}}"), TemplateError::Syntax { .. }));
    }

    #[test]
    fn column_titles() {
        let template = Template::parse("{{.Name}}\t{{.RunningFor}}\t{{.ID}}").unwrap();
        assert_eq!(template.titles(), "NAME\tRUNNING FOR\tID");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            if let Ok(template) = Template::parse(&text) {
                let _ = template.render(&json!({"A": [1, {"B": "c"}]}));
            }
        }

        #[test]
        fn any_action_is_read_or_refused(text in "(\\{\\{|\\}\\}|range|if|end|else|with| |\\.|A|B|\\$x|:=|,|\\(|\\)|\\||\"|json|index|1){0,24}") {
            if let Ok(template) = Template::parse(&text) {
                let _ = template.render(&json!({"A": [1, {"B": "c"}]}));
            }
        }
    }
}
