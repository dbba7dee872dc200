//! The last step: a tree that holds only right values, into the model's types, through serde.
//!
//! `x-` keys of an element travel under [`EXTENSIONS`]. Texts become numbers and booleans where
//! the model has those, as docker compose does; what does not fit is reported at its place.

use std::fmt;

use serde::de::value::MapDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use super::diagnostic::Diagnostic;
use super::short::number;
use super::source::Span;
use super::trail::Trail;
use super::tree::{Map, Node, Value};
use crate::model::{EXTENSIONS, SCALAR};

/// Decodes a tree; the error is a problem at the value that does not fit.
pub fn decode<'de, T: Deserialize<'de>>(node: &'de Node) -> Result<T, Box<Diagnostic>> {
    T::deserialize(De(node)).map_err(|e| {
        let path = path_of(node, e.span, &Trail::ROOT).unwrap_or_default();
        let message = format!("`{path}`: {}", e.message);
        Box::new(
            Diagnostic::error("bad-type", e.span, message)
                .at(path)
                .help("write such a value, or remove the key"),
        )
    })
}

/// Decodes a tree whatever it takes: what does not fit is reported and taken out, one value after
/// the other. `None` when that does not end.
pub fn decode_what_fits<T: for<'de> Deserialize<'de>>(
    root: &mut Node,
    problems: &mut Vec<Diagnostic>,
) -> Option<T> {
    const MOST: usize = 100;
    for _ in 0..MOST {
        let problem = match decode(root) {
            Ok(value) => return Some(value),
            Err(problem) => *problem,
        };
        let removed = take_out(root, problem.span);
        problems.push(problem);
        if !removed {
            break;
        }
    }
    None
}

/// Removes the innermost value at a place; whether there is one.
fn take_out(node: &mut Node, place: Span) -> bool {
    match &mut node.value {
        Value::Map(map) => {
            if map.values_mut().any(|child| take_out(child, place)) {
                return true;
            }
            let at = map.values().position(|child| child.place() == place);
            at.and_then(|at| map.shift_remove_index(at)).is_some()
        }
        Value::Seq(items) => {
            if items.iter_mut().any(|child| take_out(child, place)) {
                return true;
            }
            let at = items.iter().position(|child| child.place() == place);
            at.map(|at| items.remove(at)).is_some()
        }
        _ => false,
    }
}

/// The path of the innermost value at a place.
fn path_of(node: &Node, place: Span, at: &Trail<'_>) -> Option<String> {
    let inside = match &node.value {
        Value::Map(map) => map
            .iter()
            .find_map(|(key, child)| path_of(child, place, &at.key(key))),
        Value::Seq(items) => items
            .iter()
            .enumerate()
            .find_map(|(i, child)| path_of(child, place, &at.index(i))),
        _ => None,
    };
    inside.or_else(|| (node.place() == place).then(|| at.to_string()))
}

#[derive(Debug)]
struct DecodeError {
    message: String,
    span: Span,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DecodeError {}

impl serde::de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            message: message.to_string(),
            span: Span::NONE,
        }
    }
}

#[derive(Clone, Copy)]
struct De<'de>(&'de Node);

impl De<'_> {
    fn place(self, mut error: DecodeError) -> DecodeError {
        error.span = error.span.or(self.0.place());
        error
    }

    fn unfit(self, wanted: &str) -> DecodeError {
        DecodeError {
            message: format!("expected {wanted}, got `{}`", self.0.value),
            span: self.0.place(),
        }
    }
}

macro_rules! integer {
    ($($method:ident $visit:ident $type:ty),*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            let number: i128 = match &self.0.value {
                Value::Int(n) => *n,
                Value::Float(v) => *v as i128,
                // As docker compose, whose unsigned numbers take no texts.
                Value::Str(text) if <$type>::MIN != 0 => {
                    text.parse().map_err(|_| self.unfit("an integer"))?
                }
                Value::Null => 0,
                _ => return Err(self.unfit("an integer")),
            };
            let number = <$type>::try_from(number).map_err(|_| {
                self.unfit(match (<$type>::MIN, <$type>::BITS) {
                    (0, 16) => "a whole number from 0 to 65535",
                    (0, _) => "a whole number that is not negative, nor too large",
                    _ => "a whole number that is not too large",
                })
            })?;
            visitor.$visit(number).map_err(|e| self.place(e))
        }
    )* };
}

impl<'de> Deserializer<'de> for De<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let result = match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Int(n) => match i64::try_from(*n) {
                Ok(n) => visitor.visit_i64(n),
                Err(_) => visitor.visit_u64(u64::try_from(*n).unwrap_or(u64::MAX)),
            },
            Value::Float(v) if v.is_finite() => visitor.visit_f64(*v),
            Value::Float(v) => visitor.visit_map(scalar(infinite(*v).to_owned())),
            Value::Str(text) => visitor.visit_borrowed_str(text),
            Value::Time(text) => visitor.visit_map(scalar(timestamp(text))),
            Value::Seq(items) => visitor.visit_seq(Items(items.iter())),
            Value::Map(map) => visitor.visit_map(Entries {
                iter: map.iter(),
                value: None,
            }),
        };
        result.map_err(|e| self.place(e))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let value = match &self.0.value {
            Value::Bool(b) => *b,
            Value::Str(text) => match text.to_lowercase().as_str() {
                "true" | "y" | "yes" | "on" => true,
                "false" | "n" | "no" | "off" => false,
                _ => return Err(self.unfit("a boolean")),
            },
            Value::Null => false,
            _ => return Err(self.unfit("a boolean")),
        };
        visitor.visit_bool(value).map_err(|e| self.place(e))
    }

    integer!(
        deserialize_i64 visit_i64 i64,
        deserialize_u64 visit_u64 u64,
        deserialize_u32 visit_u32 u32,
        deserialize_u16 visit_u16 u16
    );

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let value = match &self.0.value {
            Value::Int(n) => *n as f64,
            Value::Float(v) => *v,
            Value::Str(text) => number::parse(text).ok_or_else(|| self.unfit("a number"))?,
            _ => return Err(self.unfit("a number")),
        };
        visitor.visit_f64(value).map_err(|e| self.place(e))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.0.value {
            Value::Str(text) => visitor.visit_borrowed_str(text).map_err(|e| self.place(e)),
            Value::Int(n) => visitor
                .visit_string(n.to_string())
                .map_err(|e| self.place(e)),
            Value::Null => visitor.visit_str("").map_err(|e| self.place(e)),
            _ => Err(self.unfit("a string")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.0.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.0.value {
            Value::Seq(items) => visitor.visit_seq(Items(items.iter())),
            Value::Null => visitor.visit_seq(Items([].iter())),
            _ => Err(self.unfit("a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.0.value {
            Value::Map(map) => visitor.visit_map(Entries {
                iter: map.iter(),
                value: None,
            }),
            Value::Null => visitor.visit_map(Entries {
                iter: EMPTY.get_or_init(Map::new).iter(),
                value: None,
            }),
            _ => Err(self.unfit("a mapping")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let map = match &self.0.value {
            Value::Map(map) => map,
            Value::Null => EMPTY.get_or_init(Map::new),
            _ => return Err(self.unfit("a mapping")),
        };
        visitor
            .visit_map(Fields {
                fields: map.iter(),
                value: None,
                extensions: map.iter(),
                state: State::Fields,
            })
            .map_err(|e| self.place(e))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.0.as_str() {
            Some(text) => visitor
                .visit_enum(text.into_deserializer())
                .map_err(|e: DecodeError| self.place(e)),
            None => Err(self.unfit("a word")),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

static EMPTY: std::sync::OnceLock<Map> = std::sync::OnceLock::new();

/// What stands for a scalar that JSON lacks.
fn scalar<'de>(text: String) -> impl MapAccess<'de, Error = DecodeError> {
    MapDeserializer::new(std::iter::once((SCALAR, text)))
}

fn infinite(v: f64) -> &'static str {
    match v {
        f64::INFINITY => ".inf",
        f64::NEG_INFINITY => "-.inf",
        _ => ".nan",
    }
}

/// A date as docker compose writes it: all fields in full, no zeros after the fraction.
fn timestamp(text: &str) -> String {
    let (date, time) = text.split_at(text.find(['T', 't', ' ']).unwrap_or(text.len()));
    let date: Vec<String> = date.split('-').map(|part| format!("{part:0>2}")).collect();
    let time = time.get(1..).unwrap_or_default().trim();
    let (clock, zone) = time.split_at(time.find(['Z', '+', '-']).unwrap_or(time.len()));
    let (clock, fraction) = clock.split_once(['.', ',']).unwrap_or((clock, ""));
    let clock: Vec<String> = clock.split(':').map(|part| format!("{part:0>2}")).collect();
    let clock = if time.is_empty() {
        "00:00:00".to_owned()
    } else {
        clock.join(":")
    };
    // Nanoseconds are the finest.
    let fraction = fraction.get(..9).unwrap_or(fraction).trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{}T{clock}{dot}{fraction}{}", date.join("-"), offset(zone))
}

/// A zone as Go prints it, which reads 60 minutes as one more hour.
fn offset(zone: &str) -> String {
    match zone {
        "" | "Z" | "+00:00" | "-00:00" => return "Z".to_owned(),
        _ => {}
    }
    match zone.split_at(1) {
        (sign, time) if time.ends_with(":60") => {
            let hours = time[..2].parse::<u8>().unwrap_or_default() + 1;
            format!("{sign}{hours:02}:00")
        }
        _ => zone.to_owned(),
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        self.0
            .next()
            .map(|node| seed.deserialize(De(node)))
            .transpose()
    }
}

struct Entries<'de> {
    iter: indexmap::map::Iter<'de, String, Node>,
    value: Option<&'de Node>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        let Some((key, value)) = self.iter.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        seed.deserialize(key.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        match self.value.take() {
            Some(node) => seed.deserialize(De(node)),
            None => Err(serde::de::Error::custom("a value without its key")),
        }
    }
}

enum State {
    Fields,
    Extensions,
    Done,
}

/// The entries of an element: its attributes, then its `x-` keys as one mapping.
struct Fields<'de> {
    fields: indexmap::map::Iter<'de, String, Node>,
    value: Option<&'de Node>,
    extensions: indexmap::map::Iter<'de, String, Node>,
    state: State,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        match self.state {
            State::Fields => {
                for (key, value) in self.fields.by_ref() {
                    if !key.starts_with("x-") {
                        self.value = Some(value);
                        return seed.deserialize(key.as_str().into_deserializer()).map(Some);
                    }
                }
                self.state = State::Extensions;
                if self.extensions.clone().any(|(k, _)| k.starts_with("x-")) {
                    return seed.deserialize(EXTENSIONS.into_deserializer()).map(Some);
                }
                self.state = State::Done;
                Ok(None)
            }
            State::Extensions | State::Done => Ok(None),
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        if let State::Extensions = self.state {
            self.state = State::Done;
            return seed.deserialize(ExtensionMap(self.extensions.clone()));
        }
        match self.value.take() {
            Some(node) => seed.deserialize(De(node)),
            None => Err(serde::de::Error::custom("a value without its key")),
        }
    }
}

struct ExtensionMap<'de>(indexmap::map::Iter<'de, String, Node>);

impl<'de> Deserializer<'de> for ExtensionMap<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_map(ExtensionEntries {
            iter: self.0,
            value: None,
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
    }
}

struct ExtensionEntries<'de> {
    iter: indexmap::map::Iter<'de, String, Node>,
    value: Option<&'de Node>,
}

impl<'de> MapAccess<'de> for ExtensionEntries<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        for (key, value) in self.iter.by_ref() {
            if key.starts_with("x-") {
                self.value = Some(value);
                return seed.deserialize(key.as_str().into_deserializer()).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        match self.value.take() {
            Some(node) => seed.deserialize(De(node)),
            None => Err(serde::de::Error::custom("a value without its key")),
        }
    }
}
