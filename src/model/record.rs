//! How a piece of the model is declared, and when a field is left out of `config`.
//!
//! `record!` declares a plain struct, its serde form (canonical Compose keys, in the order docker
//! compose prints them, which the configuration hash depends on) and its `x-` extensions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `x-` keys of one element.
pub type Extensions = BTreeMap<String, serde_json::Value>;

/// The serde name under which extensions travel; no YAML key can contain a NUL.
pub const EXTENSIONS: &str = "\0x";

/// The only key of a mapping that stands for a scalar of YAML that JSON lacks: a date, an infinite
/// number. Its value is the scalar's text.
pub const SCALAR: &str = "\0scalar";

/// Whether a field's value is the one that `config` does not print.
pub trait Omit {
    /// Empty, zero, false or absent.
    fn omit(&self) -> bool;
}

impl Omit for String {
    fn omit(&self) -> bool {
        self.is_empty()
    }
}

impl Omit for bool {
    fn omit(&self) -> bool {
        !*self
    }
}

impl<T> Omit for Option<T> {
    fn omit(&self) -> bool {
        self.is_none()
    }
}

impl<T> Omit for Vec<T> {
    fn omit(&self) -> bool {
        self.is_empty()
    }
}

impl<K, V> Omit for BTreeMap<K, V> {
    fn omit(&self) -> bool {
        self.is_empty()
    }
}

macro_rules! omit_zero {
    ($($t:ty),*) => { $(impl Omit for $t {
        fn omit(&self) -> bool {
            *self == <$t>::default()
        }
    })* };
}

omit_zero!(i64, u64, u32, u16);

/// A value that `config` prints as `null` when it is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nullable<T>(pub Option<T>);

impl<T> Omit for Nullable<T> {
    fn omit(&self) -> bool {
        false
    }
}

impl<T> std::ops::Deref for Nullable<T> {
    type Target = Option<T>;
    fn deref(&self) -> &Option<T> {
        &self.0
    }
}

/// A part that `config --format json` prints even when it is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Always<T>(pub T);

impl<T> Omit for Always<T> {
    fn omit(&self) -> bool {
        false
    }
}

impl<T> std::ops::Deref for Always<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> std::ops::DerefMut for Always<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

macro_rules! record {
    ($(#[$m:meta])* $name:ident { $( $(#[$fm:meta])* $f:ident : $t:ty, )* }) => {
        $(#[$m])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $(
                $(#[$fm])*
                #[serde(default, skip_serializing_if = "crate::model::record::Omit::omit")]
                pub $f: $t,
            )*
            /// `x-` keys of this element.
            #[serde(
                rename = "\0x",
                default,
                skip_serializing_if = "crate::model::record::Omit::omit"
            )]
            pub extensions: crate::model::record::Extensions,
        }
    };
}
pub(crate) use record;
