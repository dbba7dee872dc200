//! What a document is in Go. Docker's answers are structs there: a field that JSON leaves out is still
//! there for a template, as nil or as its type's zero, and a key that a map does not have is no error.
//!
//! A document with a [`Shape`] keeps what it prints as JSON, and answers templates as Docker does.

use serde_json::{Value, json};

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Not known: what the document has is all there is.
    Any,
    /// A text, empty when it is left out.
    Text,
    /// A number, 0 when it is left out.
    Number,
    /// Yes or no, no when it is left out.
    Bool,
    /// Something that may be nil.
    Pointer(&'static Shape),
    /// A list of things; nil is printed as an empty one.
    List(&'static Shape),
    /// Things by key; nil is printed as an empty one.
    Map(&'static Shape),
    /// Fields in Go's order, which is that of printing.
    Struct(&'static [(&'static str, Shape)]),
    /// Another name of the field that JSON spells so: Go's `ID` is `Id` there.
    Spelled(&'static str),
}

impl Shape {
    /// The fields, also behind a pointer.
    pub(super) fn fields(self) -> Option<&'static [(&'static str, Self)]> {
        match self {
            Self::Pointer(to) => to.fields(),
            Self::Struct(fields) => Some(fields),
            _ => None,
        }
    }

    /// What a field or a key has, if there can be one of that name.
    pub(super) fn part(self, name: &str) -> Option<Self> {
        match self {
            Self::Map(of) => Some(*of),
            other => {
                let mut fields = other.fields()?.iter();
                fields.find(|(known, _)| *known == name).map(|(_, of)| *of)
            }
        }
    }

    /// What the things in it have.
    pub(super) fn items(self) -> Self {
        match self {
            Self::List(of) | Self::Map(of) => *of,
            _ => Self::Any,
        }
    }

    /// What it is when it is left out.
    pub(super) fn zero(self) -> Value {
        match self {
            Self::Text => json!(""),
            Self::Number => json!(0),
            Self::Bool => json!(false),
            _ => Value::Null,
        }
    }

    /// How Go prints its nil.
    fn nil(self) -> String {
        match self {
            Self::List(_) => "[]".to_owned(),
            Self::Map(_) => "map[]".to_owned(),
            Self::Struct(_) => self.text(&json!({})),
            Self::Any | Self::Pointer(_) | Self::Spelled(_) => "<nil>".to_owned(),
            // A null where a plain value stands is that value left out.
            Self::Text | Self::Number | Self::Bool => self.text(&self.zero()),
        }
    }

    /// Go's `%v`. A struct behind a pointer is shown, where Go shows an address inside of others.
    pub(super) fn text(self, value: &Value) -> String {
        match value {
            Value::Null => self.nil(),
            Value::String(text) => text.clone(),
            Value::Array(list) => {
                let items = list.iter().map(|item| self.items().text(item));
                format!("[{}]", items.collect::<Vec<_>>().join(" "))
            }
            Value::Object(map) => match self.fields() {
                Some(fields) => {
                    let part = |(name, of): &(&str, Self)| match of {
                        Self::Spelled(_) => None,
                        of => Some(of.text(map.get(*name).unwrap_or(&Value::Null))),
                    };
                    let parts: Vec<String> = fields.iter().filter_map(part).collect();
                    format!("{{{}}}", parts.join(" "))
                }
                None => {
                    let mut pairs: Vec<_> = map.iter().collect();
                    pairs.sort_by_key(|(key, _)| *key);
                    let pair = |(key, item): (&String, &Value)| {
                        format!("{key}:{}", self.items().text(item))
                    };
                    let pairs: Vec<String> = pairs.into_iter().map(pair).collect();
                    format!("map[{}]", pairs.join(" "))
                }
            },
            other => other.to_string(),
        }
    }
}
