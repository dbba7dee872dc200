//! The types that attributes take after substitution.

use crate::loader::short::number;
use crate::loader::trail::Trail;
use crate::loader::tree::Value;

/// A type.
#[derive(Clone, Copy)]
pub(super) enum Cast {
    Int,
    Float,
    Bool,
}

impl Cast {
    /// What to write instead of a text that is none.
    pub(super) fn help(self, text: &str) -> &'static str {
        match self {
            Self::Int if text == "unlimited" => "write `-1` for no limit",
            Self::Int => "write a whole number, without a unit",
            Self::Float => "write a number, such as `1` or `0.5`",
            Self::Bool if text == "1" => "write `true`",
            Self::Bool if text == "0" => "write `false`",
            Self::Bool => "write `true` or `false`",
        }
    }

    /// The typed value, and the word when it is a deprecated boolean.
    pub(super) fn apply(self, text: &str) -> Result<(Value, Option<String>), &'static str> {
        match self {
            Self::Int => text
                .parse::<i64>()
                .map(|i| (Value::Int(i.into()), None))
                .map_err(|_| "an integer"),
            Self::Float => number::parse(text)
                .map(|v| (Value::Float(v), None))
                .ok_or("a number"),
            Self::Bool => match text.to_lowercase().as_str() {
                "true" => Ok((Value::Bool(true), None)),
                "false" => Ok((Value::Bool(false), None)),
                "y" | "yes" | "on" => Ok((Value::Bool(true), Some(text.to_owned()))),
                "n" | "no" | "off" => Ok((Value::Bool(false), Some(text.to_owned()))),
                _ => Err("a boolean (`true` or `false`)"),
            },
        }
    }
}

/// The type of the attribute at a path.
pub(super) fn cast_at(path: &Trail<'_>) -> Option<Cast> {
    let mut room = [""; 6];
    Some(match path.parts(&mut room)? {
        ["services", _, rest @ ..] => match rest {
            [
                "cpu_count" | "cpu_period" | "cpu_quota" | "cpu_rt_period" | "cpu_rt_runtime"
                | "cpu_shares" | "oom_score_adj" | "pids_limit" | "scale",
            ] => Cast::Int,
            ["cpu_percent" | "cpus"] => Cast::Float,
            ["init" | "oom_kill_disable" | "privileged" | "read_only" | "stdin_open" | "tty"] => {
                Cast::Bool
            }
            ["deploy", "replicas"]
            | ["deploy", "restart_policy", "max_attempts"]
            | ["deploy", "placement", "max_replicas_per_node"] => Cast::Int,
            ["deploy", "update_config" | "rollback_config", "parallelism"] => Cast::Int,
            [
                "deploy",
                "update_config" | "rollback_config",
                "max_failure_ratio",
            ] => Cast::Float,
            ["healthcheck", "retries"] => Cast::Int,
            ["healthcheck", "disable"] => Cast::Bool,
            ["ports", _, "target"] => Cast::Int,
            ["ulimits", _] | ["ulimits", _, "hard" | "soft"] => Cast::Int,
            ["volumes", _, "read_only"] | ["volumes", _, "volume", "nocopy"] => Cast::Bool,
            _ => return None,
        },
        [
            "networks",
            _,
            "external" | "internal" | "attachable" | "enable_ipv4" | "enable_ipv6",
        ]
        | ["volumes" | "secrets" | "configs", _, "external"] => Cast::Bool,
        _ => return None,
    })
}
