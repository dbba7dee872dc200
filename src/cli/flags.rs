//! What several verbs' flags share: booleans as Docker's flag parser takes them
//! (`--build`, `--build=false`), `SERVICE=NUM`, and time limits.

use std::str::FromStr;

use clap::{Arg, ArgAction, Command};

/// `SERVICE=NUM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// The service.
    pub service: String,
    /// How many containers it shall have.
    pub replicas: u32,
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (service, replicas) = text
            .split_once('=')
            .ok_or_else(|| "expected SERVICE=NUM".to_owned())?;
        if service.is_empty() {
            return Err("expected SERVICE=NUM".to_owned());
        }
        let replicas = replicas
            .parse()
            .map_err(|_| format!("`{replicas}` is not a number of containers"))?;
        Ok(Self {
            service: service.to_owned(),
            replicas,
        })
    }
}

/// A time limit.
pub fn whole_seconds(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| "expected a number of seconds".to_owned())
}

/// Lets every switch take `=true` and `=false`, as scripts written for Docker expect.
#[must_use]
pub fn with_boolean_values(command: Command) -> Command {
    command
        .mut_args(|arg| {
            if matches!(arg.get_action(), ArgAction::SetTrue) {
                boolean(arg)
            } else {
                arg
            }
        })
        .mut_subcommands(with_boolean_values)
}

fn boolean(arg: Arg) -> Arg {
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value("false")
        .hide_default_value(true)
        .hide_possible_values(true)
        .value_parser(parse_bool)
}

/// The words of Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_wants_a_service_and_a_number() {
        assert_eq!(
            "web=3".parse(),
            Ok(Scale {
                service: "web".to_owned(),
                replicas: 3
            })
        );
        for bad in ["web", "=3", "web=", "web=-1", "web=x"] {
            assert!(bad.parse::<Scale>().is_err(), "{bad}");
        }
    }
}
