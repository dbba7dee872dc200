//! Profiles in Docker's JSON format, and which of their rules apply.

use std::collections::BTreeMap;

use oci_spec::runtime::LinuxSeccomp;
use serde::Deserialize;

use crate::sys::seccomp::Instruction;

use super::SeccompError;
use super::compile::{Action, Check, Operator, Rule, Section, compile};
use super::table::{Arch, Table};
use crate::runtime::caps;

/// A profile in Docker's JSON format. A member that is not of the format is refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Vec<String>,
    #[serde(default)]
    arch_map: Vec<ArchMap>,
    #[serde(default)]
    syscalls: Vec<Group>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    flags: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArchMap {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

/// A rule for several calls.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Group {
    #[serde(default)]
    names: Vec<String>,
    /// One name: the format's first version.
    name: Option<String>,
    action: String,
    errno_ret: Option<u32>,
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
    /// For people.
    #[serde(default, rename = "comment")]
    _comment: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Argument {
    index: u32,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filter {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// What the filter is compiled for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// Major and minor version of the kernel.
    pub(super) kernel: (u32, u32),
    /// Whether it has x32 calls.
    pub(super) x32: bool,
}

/// Whom the rules are for.
struct Subject {
    bounding: u64,
    kernel: (u32, u32),
    arch: Arch,
}

fn refuse(what: impl Into<String>) -> SeccompError {
    SeccompError::Profile { what: what.into() }
}

impl Profile {
    /// Reads a profile and checks all of it, also what does not apply here.
    pub fn parse(text: &str) -> Result<Self, SeccompError> {
        let profile: Self = serde_json::from_str(text)?;
        if profile.listener_path.is_some() || profile.listener_metadata.is_some() {
            return Err(refuse(
                "`listenerPath` (user notification) is not supported",
            ));
        }
        for flag in profile.flags.iter().flatten() {
            if !FLAGS.contains(&flag.as_str()) {
                return Err(refuse(format!("flag `{flag}` is not supported")));
            }
        }
        if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
            return Err(refuse("use either `architectures` or `archMap`"));
        }
        action(&profile.default_action, profile.default_errno_ret)?;
        for group in &profile.syscalls {
            action(&group.action, group.errno_ret)?;
            for argument in group.args.iter().flatten() {
                check(argument)?;
            }
            for filter in [&group.includes, &group.excludes].into_iter().flatten() {
                if let Some(text) = &filter.min_kernel {
                    version(text)
                        .ok_or_else(|| refuse(format!("`minKernel` `{text}` is not a version")))?;
                }
            }
        }
        Ok(profile)
    }

    /// The filter for a process with this bounding set on this kernel.
    pub(super) fn compile(
        &self,
        bounding: u64,
        machine: Machine,
    ) -> Result<Vec<Instruction>, SeccompError> {
        let arch = Arch::native().ok_or_else(|| {
            refuse("no filters for this machine's architecture; use `unconfined`")
        })?;
        let subject = Subject {
            bounding,
            kernel: machine.kernel,
            arch,
        };
        let table = Table::new();
        let default = action(&self.default_action, self.default_errno_ret)?;
        let groups = self
            .syscalls
            .iter()
            .filter(|group| group.applies(&subject))
            .map(Group::rules)
            .collect::<Result<Vec<_>, _>>()?;
        let mut sections: Vec<Section> = Vec::new();
        for arch in self.arches(arch) {
            // Nearly no kernel has x32, and its numbers would double the tree.
            if arch == Arch::X32 && !machine.x32 {
                continue;
            }
            let mut rules: BTreeMap<u32, Vec<Rule>> = BTreeMap::new();
            for (names, group) in &groups {
                for name in names {
                    if let Some(number) = table.number(name, arch) {
                        rules
                            .entry(number)
                            .or_default()
                            .extend(group.iter().cloned());
                    }
                }
            }
            match sections.iter_mut().find(|s| s.audit == arch.audit()) {
                Some(section) => section.add(arch, rules),
                None => sections.push(Section::new(arch, rules)),
            }
        }
        compile(&sections, default)
            .ok_or_else(|| refuse("it compiles to more than the kernel's 4096 instructions"))
    }

    /// The rules that apply to a process with this bounding set on this kernel, in the specification's form.
    pub(super) fn specification(
        &self,
        bounding: u64,
        machine: Machine,
    ) -> Result<LinuxSeccomp, SeccompError> {
        let arch = Arch::native().ok_or_else(|| {
            refuse("no filters for this machine's architecture; use `unconfined`")
        })?;
        let subject = Subject {
            bounding,
            kernel: machine.kernel,
            arch,
        };
        let rules: Vec<serde_json::Value> = self
            .syscalls
            .iter()
            .filter(|group| group.applies(&subject))
            .map(Group::specification)
            .collect();
        let of_native = |map: &&ArchMap| Arch::from_name(&map.architecture) == Some(arch);
        let mut architectures = self.architectures.clone();
        for map in self.arch_map.iter().filter(of_native) {
            architectures.push(map.architecture.clone());
            architectures.extend(map.sub_architectures.iter().flatten().cloned());
        }
        let mut whole = serde_json::json!({
            "defaultAction": self.default_action,
            "architectures": architectures,
            "syscalls": rules,
        });
        if let Some(errno) = self.default_errno_ret {
            whole["defaultErrnoRet"] = errno.into();
        }
        Ok(serde_json::from_value(whole)?)
    }

    /// The names of calls that no architecture of ours has; libseccomp skips those too.
    pub fn unknown_names(&self) -> Vec<&str> {
        let table = Table::new();
        let names = self.syscalls.iter().flat_map(Group::all_names);
        names.filter(|name| !table.knows(name)).collect()
    }

    /// Ours and those that belong to it.
    fn arches(&self, native: Arch) -> Vec<Arch> {
        let known = |names: &[String]| -> Vec<Arch> {
            names
                .iter()
                .filter_map(|name| Arch::from_name(name))
                .collect()
        };
        let mut arches = vec![native];
        arches.extend(known(&self.architectures));
        for map in &self.arch_map {
            if Arch::from_name(&map.architecture) == Some(native) {
                arches.extend(known(map.sub_architectures.as_deref().unwrap_or_default()));
            }
        }
        // Only what this machine can execute.
        arches.retain(|arch| match native {
            Arch::X86_64 => matches!(arch, Arch::X86_64 | Arch::I386 | Arch::X32),
            _ => matches!(arch, Arch::Aarch64 | Arch::Arm),
        });
        let mut seen = Vec::new();
        arches.retain(|arch| {
            !seen.contains(arch) && {
                seen.push(*arch);
                true
            }
        });
        arches
    }
}

impl Group {
    fn all_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().chain(&self.name).map(String::as_str)
    }

    fn specification(&self) -> serde_json::Value {
        let names: Vec<&str> = self.all_names().collect();
        let mut rule = serde_json::json!({ "names": names, "action": self.action });
        if let Some(errno) = self.errno_ret {
            rule["errnoRet"] = errno.into();
        }
        if let Some(arguments) = &self.args {
            let check = |one: &Argument| {
                serde_json::json!({
                    "index": one.index, "value": one.value, "valueTwo": one.value_two, "op": one.op,
                })
            };
            rule["args"] = arguments.iter().map(check).collect();
        }
        rule
    }

    fn applies(&self, subject: &Subject) -> bool {
        let includes = self.includes.as_ref().is_none_or(|f| f.includes(subject));
        let excludes = self.excludes.as_ref().is_some_and(|f| f.excludes(subject));
        includes && !excludes
    }

    /// The names, and what is done with each of them.
    fn rules(&self) -> Result<(Vec<&str>, Vec<Rule>), SeccompError> {
        let names = self.all_names().collect();
        let action = action(&self.action, self.errno_ret)?;
        let arguments = self.args.as_deref().unwrap_or_default();
        let checks = arguments.iter().map(check).collect::<Result<Vec<_>, _>>()?;
        let twice = |check: &Check| checks.iter().filter(|c| c.index == check.index).count() > 1;
        // Several checks of one argument are alternatives, of different arguments conditions: as runc reads them.
        let rules = if checks.iter().any(twice) {
            checks
                .into_iter()
                .map(|check| Rule {
                    checks: vec![check],
                    action,
                })
                .collect()
        } else {
            vec![Rule { checks, action }]
        };
        Ok((names, rules))
    }
}

impl Filter {
    fn has(subject: &Subject, name: &str) -> bool {
        name.strip_prefix("CAP_")
            .unwrap_or(name)
            .parse()
            .is_ok_and(|capability| subject.bounding >> caps::number(capability) & 1 == 1)
    }

    /// Every condition holds.
    fn includes(&self, subject: &Subject) -> bool {
        let arches = self.arches.as_deref().unwrap_or_default();
        let arch = subject.arch.docker_name();
        let caps = self.caps.as_deref().unwrap_or_default();
        let kernel = self.min_kernel.as_deref().and_then(version);
        (arches.is_empty() || arches.iter().any(|a| a == arch))
            && caps.iter().all(|c| Self::has(subject, c))
            && kernel.is_none_or(|k| subject.kernel >= k)
    }

    /// Any condition holds.
    fn excludes(&self, subject: &Subject) -> bool {
        let arch = subject.arch.docker_name();
        let kernel = self.min_kernel.as_deref().and_then(version);
        self.arches.iter().flatten().any(|a| a == arch)
            || self.caps.iter().flatten().any(|c| Self::has(subject, c))
            || kernel.is_some_and(|k| subject.kernel >= k)
    }
}

/// Major and minor of `4.8` or `6.18.0-rc1`.
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The actions that a rule may have.
pub const ACTIONS: &[&str] = &[
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
    "SCMP_ACT_ALLOW",
];

/// The comparisons that a rule may make.
pub const OPERATORS: &[&str] = &[
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

/// Flags that may be asked for: always set, or about synchronisation that one thread does not need.
pub const FLAGS: &[&str] = &[
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_TSYNC",
];

fn action(name: &str, errno: Option<u32>) -> Result<Action, SeccompError> {
    const EPERM: u32 = 1;
    const MAX_ERRNO: u32 = 4095;
    let value = match errno.unwrap_or(EPERM) {
        value @ 0..=MAX_ERRNO => value,
        value => return Err(refuse(format!("errno {value} does not exist"))),
    };
    Ok(Action(match name {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => 0x8000_0000,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_ERRNO" => 0x0005_0000 | value,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | value,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        "SCMP_ACT_NOTIFY" => {
            return Err(refuse("`SCMP_ACT_NOTIFY` is not supported"));
        }
        other => return Err(refuse(format!("unknown action `{other}`"))),
    }))
}

fn check(argument: &Argument) -> Result<Check, SeccompError> {
    let operator = match argument.op.as_str() {
        "SCMP_CMP_NE" => Operator::NotEqual,
        "SCMP_CMP_LT" => Operator::Less,
        "SCMP_CMP_LE" => Operator::LessOrEqual,
        "SCMP_CMP_EQ" => Operator::Equal,
        "SCMP_CMP_GE" => Operator::GreaterOrEqual,
        "SCMP_CMP_GT" => Operator::Greater,
        "SCMP_CMP_MASKED_EQ" => Operator::MaskedEqual {
            mask: argument.value,
        },
        other => return Err(refuse(format!("unknown comparison `{other}`"))),
    };
    if argument.index > 5 {
        return Err(refuse(format!(
            "a system call has no argument {}",
            argument.index
        )));
    }
    Ok(Check {
        index: argument.index as u8,
        value: match operator {
            Operator::MaskedEqual { .. } => argument.value_two,
            _ => argument.value,
        },
        operator,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version("4.8"), Some((4, 8)));
        assert_eq!(version("6.18.0-rc1"), Some((6, 18)));
        assert_eq!(version("6"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn the_default_names_only_calls_that_exist() {
        let profile = Profile::parse(super::super::DEFAULT).expect("valid");
        assert_eq!(profile.unknown_names(), [""; 0]);
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        let refused = |text: &str| Profile::parse(text).expect_err("refused").to_string();
        for (text, word) in [
            (r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#, "NOTIFY"),
            (r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#, "MAYBE"),
            (
                r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5000}"#,
                "5000",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x"}"#,
                "listenerPath",
            ),
            (r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["X"]}"#, "`X`"),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],
                    "action":"SCMP_ACT_ALLOW","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#,
                "argument 6",
            ),
        ] {
            assert!(refused(text).contains(word), "{text}");
        }
        assert!(Profile::parse(r#"{"defaultAction":"SCMP_ACT_ALLOW","extra":1}"#).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_answered(text in ".*") {
            let _ = Profile::parse(&text);
        }
    }
}
