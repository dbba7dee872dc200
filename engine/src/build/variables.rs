//! `ARG` and `ENV`: which value a name has at a point of a stage.
//!
//! One ordered list holds both; the later of two settings of a name wins. `ENV` also goes into
//! the image's configuration, which is kept elsewhere.

use std::collections::BTreeMap;

use indexmap::{IndexMap, IndexSet};

use super::parse::Argument;

/// Build arguments that need no `ARG` and never reach a cache key or a history. Their case does not matter.
const PROXIES: [&str; 5] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "all_proxy",
];

/// The variables of a stage.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    values: IndexMap<String, String>,
    /// Declared arguments, in order of declaration.
    arguments: IndexSet<String>,
}

impl Variables {
    /// Begins with the environment of an image.
    pub(super) fn from_env(env: &[String]) -> Self {
        let mut variables = Self::default();
        for entry in env {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            variables.set(name, value);
        }
        variables
    }

    /// `ENV name=value`.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// The value of a name.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }

    /// The names that have a value, in the order they got it first.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// `ARG`, its default expanded already. The caller's value goes first, then the default,
    /// then the value of a global argument of that name. Gives the one that was taken.
    pub(super) fn declare(
        &mut self,
        argument: &Argument,
        given: &IndexMap<String, String>,
        globals: &BTreeMap<String, String>,
    ) -> Option<String> {
        let value = given
            .get(&argument.name)
            .or(argument.default.as_ref())
            .or_else(|| globals.get(&argument.name));
        if let Some(value) = value {
            self.values.insert(argument.name.clone(), value.clone());
        }
        self.arguments.insert(argument.name.clone());
        value.cloned()
    }

    /// Declared arguments and their values of this point, for history.
    pub(super) fn arguments(&self) -> impl Iterator<Item = (&str, &str)> {
        self.arguments.iter().map(|name| {
            let value = self.values.get(name).map_or("", String::as_str);
            (name.as_str(), value)
        })
    }

    /// The environment of a command.
    pub(super) fn environment(&self) -> Vec<String> {
        self.values
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }
}

/// An environment with the proxy settings that were given with the build, each in both spellings that programs look
/// for. They count more than what a stage sets itself.
pub(super) fn with_proxies(
    mut environment: Vec<String>,
    given: &IndexMap<String, String>,
) -> Vec<String> {
    for proxy in PROXIES {
        // Of several spellings the last in the order of their bytes wins, as in the reference.
        let value = given
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(proxy))
            .max_by_key(|(name, _)| name.as_str())
            .map(|(_, value)| value.as_str())
            .unwrap_or_default();
        if value.is_empty() {
            continue;
        }
        for name in [proxy.to_ascii_uppercase(), proxy.to_owned()] {
            let prefix = format!("{name}=");
            environment.retain(|line| !line.starts_with(&prefix));
            environment.push(prefix + value);
        }
    }
    environment
}

/// Whether a build argument has a meaning without being declared.
pub(super) fn is_predefined(name: &str) -> bool {
    PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy))
        || name.starts_with("BUILDKIT_")
        || name == "SOURCE_DATE_EPOCH"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(name: &str, default: Option<&str>) -> Argument {
        Argument {
            name: name.into(),
            default: default.map(str::to_owned),
        }
    }

    #[test]
    fn proxies_have_both_spellings() {
        let check = |given: &[(&str, &str)], expected: &[&str]| {
            let given = given
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let environment = vec!["A=1".into(), "NO_PROXY=own".into()];
            assert_eq!(with_proxies(environment, &given), expected);
        };
        check(
            &[("HTTP_PROXY", "p")],
            &["A=1", "NO_PROXY=own", "HTTP_PROXY=p", "http_proxy=p"],
        );
        check(
            &[("all_proxy", "b"), ("All_Proxy", "a"), ("ftp_proxy", "")],
            &["A=1", "NO_PROXY=own", "ALL_PROXY=b", "all_proxy=b"],
        );
        check(
            &[("no_proxy", "x"), ("OTHER", "y")],
            &["A=1", "NO_PROXY=x", "no_proxy=x"],
        );
        assert!(is_predefined("Https_Proxy") && !is_predefined("PROXY"));
    }

    #[test]
    fn the_later_setting_wins() {
        let given = IndexMap::from([("B".to_owned(), "given".to_owned())]);
        let globals = BTreeMap::from([("G".to_owned(), "global".to_owned())]);
        let mut variables = Variables::from_env(&["A=env".into()]);
        variables.declare(&argument("A", Some("arg")), &given, &globals);
        assert_eq!(variables.get("A").as_deref(), Some("arg"));
        variables.set("A", "env2");
        assert_eq!(variables.get("A").as_deref(), Some("env2"));
        variables.declare(&argument("B", Some("default")), &given, &globals);
        assert_eq!(variables.get("B").as_deref(), Some("given"));
        variables.declare(&argument("G", None), &given, &globals);
        assert_eq!(variables.get("G").as_deref(), Some("global"));
        variables.declare(&argument("U", None), &given, &globals);
        assert_eq!(variables.get("U"), None);
        let arguments: Vec<_> = variables.arguments().collect();
        let expected = [("A", "env2"), ("B", "given"), ("G", "global"), ("U", "")];
        assert_eq!(arguments, expected);
    }
}
