//! `--format` templates: the part of Go's text/template that people use with Docker.
//!
//! Fields (`{{.Name}}`, `{{.State.Status}}`), pipes, `{{range}}`, `{{if}}`/`{{else}}`,
//! `{{with}}`, variables of `range`, and the functions json, index, join, split, upper,
//! lower, title, len, println, print, printf (%s %d %v %q), truncate, pad, eq, ne, not,
//! and, or. Anything else is refused by name.
//!
//! A document is JSON, and may come with a [`Shape`] that says what it is in Go.

mod eval;
mod parse;
mod printf;
mod shape;

use serde_json::Value;

pub use shape::Shape;

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
    titles: &'static [(&'static str, &'static str)],
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When the text is no template, with the place.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Ok(Self {
            nodes: parse::parse(&unescape(text))?,
            titles: &[],
        })
    }

    /// Fills it in.
    ///
    /// # Errors
    /// When a field or function does not exist.
    pub fn render(&self, value: &Value) -> Result<String, TemplateError> {
        self.render_as(value, Shape::Any)
    }

    /// Fills it in with a value of which more is known than it shows.
    ///
    /// # Errors
    /// When a field or function does not exist.
    pub fn render_as(&self, value: &Value, shape: Shape) -> Result<String, TemplateError> {
        eval::render(&self.nodes, value, shape)
    }

    /// The titles of a `table` template's columns, as Docker prints them: its fields' names in capitals with blanks
    /// where the words meet, or words of Docker's own.
    pub fn titles(&self) -> String {
        parse::titles(&self.nodes, self.titles)
    }

    /// Whether it names a field.
    pub fn names(&self, field: &str) -> bool {
        parse::names(&self.nodes, field)
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

    /// With titles that fields have in this kind of list: an `ID` is one of a container or of an image.
    #[must_use]
    pub fn titled(self, titles: &'static [(&'static str, &'static str)]) -> Self {
        match self {
            Self::Columns(template) => Self::Columns(Template { titles, ..template }),
            other => other,
        }
    }

    /// Whether a template names a field.
    pub fn names(&self, field: &str) -> bool {
        match self {
            Self::Table | Self::Json => false,
            Self::Columns(template) | Self::Template(template) => template.names(field),
        }
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
        check("{{.Nothing}} {{.Nothing.Of.It}}", "<nil> <no value>");
    }

    const STATE: Shape = Shape::Struct(&[
        ("Status", Shape::Text),
        ("Running", Shape::Bool),
        ("Pid", Shape::Number),
        ("Health", Shape::Pointer(&HEALTH)),
    ]);
    const HEALTH: Shape = Shape::Struct(&[("Status", Shape::Text)]);
    const SHAPE: Shape = Shape::Struct(&[
        ("Tags", Shape::Spelled("Labels")),
        ("State", STATE),
        ("Labels", Shape::Map(&Shape::Text)),
        ("Mounts", Shape::List(&STATE)),
        ("Size", Shape::Pointer(&Shape::Number)),
        ("Signal", Shape::Text),
    ]);

    #[test]
    fn what_a_struct_leaves_out_is_there_and_empty() {
        let value = json!({ "State": {"Running": true, "Status": "up"}, "Labels": {"a": "b"} });
        for (template, expected) in [
            (
                "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}",
                "none",
            ),
            ("{{with .State.Health}}x{{end}}{{.State.Health}}", "<nil>"),
            (
                "{{json .State}}{{json .State.Health}}{{json .Size}}",
                r#"{"Running":true,"Status":"up"}nullnull"#,
            ),
            (
                "{{.Size}} {{.Mounts}} {{len .Mounts}} [{{.Signal}}]",
                "<nil> [] 0 []",
            ),
            (
                "{{.Labels.nope}} {{.Labels.nope.more}} {{.Labels}}",
                "<no value> <no value> map[a:b]",
            ),
            (
                "[{{index .Labels \"nope\"}}]{{if .Labels.nope}}x{{end}}",
                "[]",
            ),
            (
                "{{printf \"%v\" .Labels.nope}} {{.State}}",
                "<nil> {up true 0 <nil>}",
            ),
            ("{{.Tags.a}} {{.Tags.nope}}", "b <no value>"),
            (
                "{{eq .State.Health nil}} {{range $k, $v := .Labels}}{{$k}}{{$v}}{{end}}",
                "true ab",
            ),
            (
                "{{with .State}}{{.Pid}}{{end}}{{range .Mounts}}x{{else}}no{{end}}",
                "0no",
            ),
        ] {
            let found = Template::parse(template).and_then(|t| t.render_as(&value, SHAPE));
            assert_eq!(found.as_deref(), Ok(expected), "{template}");
        }
        for wrong in ["{{.Nope}}", "{{.State.Nope}}", "{{.State.Health.Status}}"] {
            let found = Template::parse(wrong).and_then(|t| t.render_as(&value, SHAPE));
            assert!(
                matches!(found, Err(TemplateError::UnknownField { .. })),
                "{wrong}"
            );
        }
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
        let titles = |text: &str| match Format::parse(text).map(|f| f.titled(&[("ID", "OF ME")])) {
            Ok(Format::Columns(template)) => template.titles(),
            other => panic!("{other:?}"),
        };
        for (template, expected) in [
            (
                "{{.Name}}\t{{.RunningFor}}\t{{json .ID}}",
                "NAME\tCREATED\tOF ME",
            ),
            (
                "{{.LocalVolumes}} {{.CPUPerc}} {{.PIDs}}",
                "LOCAL VOLUMES CPU % PIDS",
            ),
            (
                "{{.MemUsage}}|{{.NetIO}}|{{.BlockIO}}",
                "MEM USAGE / LIMIT|NET I/O|BLOCK I/O",
            ),
            ("{{.Label \"a.b-c_d\"}}", "b c d"),
            ("{{if .A}}x{{.A}}{{else}}{{.B}}{{end}}", "xA"),
        ] {
            assert_eq!(titles(&format!("table {template}")), expected, "{template}");
        }
    }

    #[test]
    fn a_template_tells_which_fields_it_names() {
        for (template, names) in [
            ("{{.Size}}", true),
            ("table {{.ID}}\t{{upper (print .Size)}}", true),
            ("{{if .A}}{{else}}{{$.Size}}{{end}}", true),
            ("{{with .Size}}{{end}}", true),
            ("{{.ID}} Size", false),
            ("json", false),
        ] {
            let format = Format::parse(template).unwrap();
            assert_eq!(format.names("Size"), names, "{template}");
        }
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
