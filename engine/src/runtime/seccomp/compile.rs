//! Rules for system calls into classic BPF.
//!
//! For each architecture the numbers are cut into ranges with one verdict, and the ranges become the leaves of a balanced
//! tree. The kernel runs the filter once for every number at load (its bitmap of constant verdicts), so size and
//! depth decide what loading costs.

use std::collections::BTreeMap;

use crate::sys::seccomp::Instruction;

use super::table::Arch;

/// `SECCOMP_RET_*` with its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Action(pub(super) u32);

/// What an unknown architecture gets.
const KILL_PROCESS: Action = Action(0x8000_0000);
/// `SECCOMP_RET_ERRNO` with ENOSYS.
const NO_SUCH_CALL: Action = Action(0x0005_0000 | libc::ENOSYS as u32);
/// Numbers from here on are the architecture's own (ARM), not the next new call.
const PRIVATE: u32 = 0xf_0000;
/// The kernel's limit (BPF_MAXINSNS).
const LIMIT: usize = 4096;

/// What is done when all checks hold. The first rule that fits decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) checks: Vec<Check>,
    pub(super) action: Action,
}

/// A condition on an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) index: u8,
    pub(super) operator: Operator,
    pub(super) value: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    MaskedEqual { mask: u64 },
}

/// The calls that share an `AUDIT_ARCH_*`: one architecture, or x86_64 and x32.
pub(super) struct Section {
    pub(super) audit: u32,
    narrow: bool,
    rules: BTreeMap<u32, Vec<Rule>>,
    /// For each architecture its mark and its newest call in the rules.
    newest: Vec<(u32, u32)>,
}

impl Section {
    pub(super) fn new(arch: Arch, rules: BTreeMap<u32, Vec<Rule>>) -> Self {
        let mut section = Self {
            audit: arch.audit(),
            narrow: arch.is_narrow(),
            rules: BTreeMap::new(),
            newest: Vec::new(),
        };
        section.add(arch, rules);
        section
    }

    /// Adds an architecture with the same number for the kernel.
    pub(super) fn add(&mut self, arch: Arch, mut rules: BTreeMap<u32, Vec<Rule>>) {
        let newest = rules
            .keys()
            .copied()
            .filter(|number| number & !arch.mark() < PRIVATE)
            .max()
            .unwrap_or(arch.mark());
        self.newest.push((arch.mark(), newest));
        self.rules.append(&mut rules);
    }

    /// Ranges of numbers by their first, each with its verdict.
    fn ranges(&self, default: Action) -> Vec<(u32, Verdict<'_>)> {
        let mut newest = self.newest.clone();
        newest.sort_unstable();
        let mut starts: BTreeMap<u32, Verdict<'_>> = BTreeMap::new();
        for (at, &(mark, last)) in newest.iter().enumerate() {
            starts.insert(mark, Verdict::Always(default));
            let end = newest.get(at + 1).map_or(u32::MAX, |next| next.0 - 1);
            if last < end {
                // Calls younger than the profile do not exist for it: with EPERM, programs would not
                // fall back to the older call they know.
                starts.insert(last + 1, Verdict::Always(after_newest(default)));
            }
        }
        for (&number, rules) in &self.rules {
            let after = number.wrapping_add(1);
            if after != 0 && !starts.contains_key(&after) {
                let inherited = starts.range(..=number).next_back().map(|(_, v)| *v);
                starts.insert(after, inherited.unwrap_or(Verdict::Always(default)));
            }
            starts.insert(number, Verdict::of(rules, default));
        }
        let mut ranges: Vec<(u32, Verdict<'_>)> = Vec::with_capacity(starts.len());
        for (start, verdict) in starts {
            if ranges.last().is_none_or(|(_, last)| *last != verdict) {
                ranges.push((start, verdict));
            }
        }
        // Marked numbers exist only where their architecture is allowed.
        if self.audit == Arch::X32.audit() && newest.len() == 1 {
            let mark = Arch::X32.mark();
            ranges.retain(|(start, _)| *start < mark);
            ranges.push((mark, Verdict::Always(NO_SUCH_CALL)));
        }
        ranges
    }
}

/// ENOSYS instead of a refusal; a profile that allows, logs or kills by default keeps its word.
fn after_newest(default: Action) -> Action {
    match default.0 & 0xffff_0000 {
        0x0005_0000 => NO_SUCH_CALL,
        _ => default,
    }
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict<'a> {
    Always(Action),
    /// Rules in order, then the default.
    Depends(&'a [Rule], Action),
}

impl<'a> Verdict<'a> {
    fn of(rules: &'a [Rule], default: Action) -> Self {
        let end = rules.iter().position(|rule| rule.checks.is_empty());
        let (rules, default) = match end {
            Some(end) => (&rules[..end], rules[end].action),
            None => (rules, default),
        };
        if rules.iter().all(|rule| rule.action == default) {
            Self::Always(default)
        } else {
            Self::Depends(rules, default)
        }
    }
}

// Operations (include/uapi/linux/bpf_common.h).
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

fn op(code: u16, k: u32) -> Instruction {
    Instruction {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

/// The whole filter, if it is not too long for the kernel.
pub(super) fn compile(sections: &[Section], default: Action) -> Option<Vec<Instruction>> {
    let mut program = vec![op(LOAD, ARCH)];
    for section in sections {
        let mut body = vec![op(LOAD, NUMBER)];
        tree(&section.ranges(default), section.narrow, &mut body);
        // A long jump over the section: the short ones reach 255 instructions.
        program.push(jump(JUMP_EQUAL, section.audit, 1, 0));
        program.push(op(JUMP, body.len() as u32));
        program.append(&mut body);
    }
    program.push(op(RETURN, KILL_PROCESS.0));
    (program.len() <= LIMIT).then_some(program)
}

/// The tree over these ranges.
fn tree(ranges: &[(u32, Verdict<'_>)], narrow: bool, program: &mut Vec<Instruction>) {
    match ranges {
        [] => {}
        [(_, Verdict::Always(action))] => program.push(op(RETURN, action.0)),
        [(_, Verdict::Depends(rules, default))] => {
            for rule in *rules {
                rule_block(rule, narrow, program);
            }
            program.push(op(RETURN, default.0));
        }
        _ => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let mut left = Vec::new();
            tree(low, narrow, &mut left);
            let start = high[0].0;
            match u8::try_from(left.len()) {
                Ok(length) => program.push(jump(JUMP_GREATER_OR_EQUAL, start, length, 0)),
                Err(_) => {
                    program.push(jump(JUMP_GREATER_OR_EQUAL, start, 0, 1));
                    program.push(op(JUMP, left.len() as u32));
                }
            }
            program.append(&mut left);
            tree(high, narrow, program);
        }
    }
}

/// Where a step of a check leads.
#[derive(Clone, Copy)]
enum Next {
    /// The next step.
    Go,
    /// Past this check: it holds.
    Holds,
    /// Past this rule.
    Fails,
}

struct Step {
    code: u16,
    k: u32,
    yes: Next,
    no: Next,
}

/// One rule: its checks, its verdict. A check that fails jumps behind the verdict.
fn rule_block(rule: &Rule, narrow: bool, program: &mut Vec<Instruction>) {
    let checks: Vec<Vec<Step>> = rule.checks.iter().map(|c| steps(c, narrow)).collect();
    let total: usize = checks.iter().map(Vec::len).sum();
    let mut at = 0;
    for check in checks {
        let end = at + check.len();
        for step in check {
            at += 1;
            // At most six checks of six steps each: every distance fits.
            let distance = |next| match next {
                Next::Go => 0,
                Next::Holds => (end - at) as u8,
                Next::Fails => (total + 1 - at) as u8,
            };
            program.push(match step.code {
                LOAD | AND => op(step.code, step.k),
                code => jump(code, step.k, distance(step.yes), distance(step.no)),
            });
        }
    }
    program.push(op(RETURN, rule.action.0));
}

/// A comparison of a 64-bit argument in two halves; of a 32-bit architecture only the low one exists.
fn steps(check: &Check, narrow: bool) -> Vec<Step> {
    use Next::{Fails, Go, Holds};
    use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, MaskedEqual, NotEqual};
    let step = |code, k, yes, no| Step { code, k, yes, no };
    let offset = ARGUMENTS + 8 * u32::from(check.index);
    let (low_at, high_at) = if cfg!(target_endian = "little") {
        (offset, offset + 4)
    } else {
        (offset + 4, offset)
    };
    let halves = |value: u64| (value as u32, (value >> 32) as u32);
    let (low, high) = halves(check.value);
    let mut steps = Vec::new();
    if !narrow {
        steps.push(step(LOAD, high_at, Go, Go));
        match check.operator {
            Equal => steps.push(step(JUMP_EQUAL, high, Go, Fails)),
            NotEqual => steps.push(step(JUMP_EQUAL, high, Go, Holds)),
            Greater | GreaterOrEqual => {
                steps.push(step(JUMP_GREATER, high, Holds, Go));
                steps.push(step(JUMP_EQUAL, high, Go, Fails));
            }
            Less | LessOrEqual => {
                steps.push(step(JUMP_GREATER_OR_EQUAL, high, Go, Holds));
                steps.push(step(JUMP_EQUAL, high, Go, Fails));
            }
            MaskedEqual { mask } => {
                steps.push(step(AND, halves(mask).1, Go, Go));
                steps.push(step(JUMP_EQUAL, high, Go, Fails));
            }
        }
    }
    steps.push(step(LOAD, low_at, Go, Go));
    match check.operator {
        Equal => steps.push(step(JUMP_EQUAL, low, Go, Fails)),
        NotEqual => steps.push(step(JUMP_EQUAL, low, Fails, Go)),
        Greater => steps.push(step(JUMP_GREATER, low, Go, Fails)),
        GreaterOrEqual => steps.push(step(JUMP_GREATER_OR_EQUAL, low, Go, Fails)),
        Less => steps.push(step(JUMP_GREATER_OR_EQUAL, low, Fails, Go)),
        LessOrEqual => steps.push(step(JUMP_GREATER, low, Fails, Go)),
        MaskedEqual { mask } => {
            steps.push(step(AND, halves(mask).0, Go, Go));
            steps.push(step(JUMP_EQUAL, low, Go, Fails));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::super::profile::{Machine, Profile};
    use super::super::table::Table;
    use super::*;
    use crate::runtime::{caps, defaults};
    use proptest::prelude::*;

    const ALLOW: u32 = 0x7fff_0000;
    const EPERM: u32 = 0x0005_0001;
    const ENOSYS: u32 = NO_SUCH_CALL.0;

    /// Runs a filter as the kernel would.
    fn run(program: &[Instruction], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let load = |offset: u32| match offset {
            NUMBER => number,
            ARCH => arch,
            _ => {
                let word = (offset - ARGUMENTS) / 4;
                (arguments[word as usize / 2] >> (word % 2 * 32)) as u32
            }
        };
        let (mut a, mut at) = (0, 0);
        loop {
            let i = program[at];
            at += 1;
            let yes = match i.code {
                LOAD => {
                    a = load(i.k);
                    continue;
                }
                AND => {
                    a &= i.k;
                    continue;
                }
                JUMP => {
                    at += i.k as usize;
                    continue;
                }
                RETURN => return i.k,
                JUMP_EQUAL => a == i.k,
                JUMP_GREATER => a > i.k,
                JUMP_GREATER_OR_EQUAL => a >= i.k,
                other => panic!("unknown operation {other:#x}"),
            };
            at += usize::from(if yes { i.jt } else { i.jf });
        }
    }

    fn default_filter(capabilities: u64) -> Vec<Instruction> {
        let profile = Profile::parse(super::super::DEFAULT).expect("valid");
        let machine = Machine {
            kernel: (6, 18),
            x32: true,
        };
        profile.compile(capabilities, machine).expect("compiles")
    }

    fn docker() -> Vec<Instruction> {
        default_filter(caps::bits(Some(&defaults::capabilities())))
    }

    #[track_caller]
    fn check(filter: &[Instruction], arch: Arch, name: &str, arguments: &[u64], expected: u32) {
        let number = Table::new().number(name, arch).expect("exists");
        let mut six = [0; 6];
        six[..arguments.len()].copy_from_slice(arguments);
        let verdict = run(filter, arch.audit(), number, six);
        assert_eq!(verdict, expected, "{name} {arguments:?} on {arch:?}");
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn dockers_verdicts() {
        let filter = docker();
        for arch in [Arch::X86_64, Arch::X32, Arch::I386] {
            check(&filter, arch, "read", &[], ALLOW);
            check(&filter, arch, "keyctl", &[], EPERM);
            check(&filter, arch, "clone3", &[], ENOSYS);
            check(&filter, arch, "clone", &[0x11], ALLOW);
            check(&filter, arch, "clone", &[0x1000_0011], EPERM);
            check(&filter, arch, "mount", &[], EPERM);
            check(&filter, arch, "chroot", &[], ALLOW);
            check(&filter, arch, "personality", &[0xffff_ffff], ALLOW);
            check(&filter, arch, "personality", &[0x8], ALLOW);
            check(&filter, arch, "personality", &[0x40000], EPERM);
        }
        check(
            &filter,
            Arch::X86_64,
            "personality",
            &[0x1_0000_0008],
            EPERM,
        );
        check(&filter, Arch::X86_64, "socket", &[2], ALLOW);
        check(&filter, Arch::X86_64, "socket", &[38], EPERM);
        check(&filter, Arch::X86_64, "socket", &[39], ALLOW);
        check(&filter, Arch::X86_64, "socket", &[40], EPERM);
        check(&filter, Arch::X86_64, "socket", &[0x1_0000_0000], ALLOW);
        let verdict = |number| run(&filter, Arch::X86_64.audit(), number, [0; 6]);
        assert_eq!(verdict(2000), ENOSYS);
        assert_eq!(verdict(0x4000_0000 | 2000), ENOSYS);
        assert_eq!(verdict(u32::MAX), ENOSYS);
        assert_eq!(run(&filter, 0x1234, 0, [0; 6]), KILL_PROCESS.0);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn capabilities_open_what_they_are_for() {
        let all = default_filter(u64::MAX);
        check(&all, Arch::X86_64, "mount", &[], ALLOW);
        check(&all, Arch::X86_64, "clone", &[0x1000_0011], ALLOW);
        check(&all, Arch::X86_64, "clone3", &[], ALLOW);
        check(&all, Arch::X86_64, "keyctl", &[], EPERM);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_default_is_small() {
        let profile = Profile::parse(super::super::DEFAULT).expect("valid");
        let machine = Machine {
            kernel: (6, 18),
            x32: false,
        };
        let bounding = caps::bits(Some(&defaults::capabilities()));
        let filter = profile.compile(bounding, machine).expect("compiles");
        assert!(filter.len() < 500, "{} instructions", filter.len());
        assert!(docker().len() < 800, "{} instructions", docker().len());
        // Without x32 its numbers do not exist.
        let read = Arch::X32.mark();
        assert_eq!(run(&filter, Arch::X32.audit(), read, [0; 6]), ENOSYS);
    }

    /// The verdict by the rules' own words.
    fn expected(rules: &[Rule], default: Action, arguments: [u64; 6], narrow: bool) -> u32 {
        let holds = |check: &Check| {
            let cut = |v: u64| if narrow { v & 0xffff_ffff } else { v };
            let (a, v) = (cut(arguments[usize::from(check.index)]), cut(check.value));
            match check.operator {
                Operator::NotEqual => a != v,
                Operator::Less => a < v,
                Operator::LessOrEqual => a <= v,
                Operator::Equal => a == v,
                Operator::GreaterOrEqual => a >= v,
                Operator::Greater => a > v,
                Operator::MaskedEqual { mask } => a & cut(mask) == v,
            }
        };
        let fits = |rule: &&Rule| rule.checks.iter().all(holds);
        rules.iter().find(fits).map_or(default.0, |r| r.action.0)
    }

    fn interesting() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..4u64,
            Just(u64::MAX),
            Just(1 << 32),
            Just((1 << 32) - 1),
            any::<u64>()
        ]
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let operator = prop_oneof![
            Just(Operator::NotEqual),
            Just(Operator::Less),
            Just(Operator::LessOrEqual),
            Just(Operator::Equal),
            Just(Operator::GreaterOrEqual),
            Just(Operator::Greater),
            interesting().prop_map(|mask| Operator::MaskedEqual { mask }),
        ];
        let check = (0..6u8, operator, interesting()).prop_map(|(index, operator, value)| Check {
            index,
            operator,
            value,
        });
        (prop::collection::vec(check, 0..4), 0..4u32).prop_map(|(checks, action)| Rule {
            checks,
            action: Action(0x0005_0000 | action),
        })
    }

    proptest! {
        #[test]
        fn the_tree_says_what_the_rules_say(
            rules in prop::collection::btree_map(0..60u32, prop::collection::vec(any_rule(), 1..4), 1..20),
            numbers in prop::collection::vec((0..64u32, prop::array::uniform6(interesting())), 40),
            narrow in any::<bool>(),
        ) {
            let arch = if narrow { Arch::I386 } else { Arch::X86_64 };
            let default = Action(0x0005_0000 | 9);
            let newest = *rules.keys().max().expect("not empty");
            let filter = compile(&[Section::new(arch, rules.clone())], default).expect("short");
            for (number, arguments) in numbers {
                let expected = match rules.get(&number) {
                    Some(rules) => expected(rules, default, arguments, narrow),
                    None if number > newest => ENOSYS,
                    None => default.0,
                };
                prop_assert_eq!(run(&filter, arch.audit(), number, arguments), expected);
            }
        }
    }
}
