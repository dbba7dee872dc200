//! Which devices a container may use: lists in v1, a program in v2.
//!
//! Later rules win. In v2 this becomes a chain of comparisons from the last rule to the first,
//! with "no" at its end, attached to the cgroup.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use rustix::fs::{Mode, OFlags};

use crate::sys::bpf::{Instruction, load_device_program, replace_device_program};

use super::{Cgroup, CgroupError, Version, file_error};

/// Puts the rules in force.
pub(super) fn apply(cgroup: &Cgroup, rules: &[LinuxDeviceCgroup]) -> Result<(), CgroupError> {
    if let Some((Version::V1, directory)) = cgroup.route("devices") {
        let open = |name| {
            let path = directory.join(name);
            match OpenOptions::new().write(true).open(&path) {
                Ok(file) => Ok((path, file)),
                Err(error) => Err(file_error("open", &path, error)),
            }
        };
        let (allowed, denied) = (open("devices.allow")?, open("devices.deny")?);
        for rule in rules {
            let (path, file) = if rule.allow() { &allowed } else { &denied };
            // The kernel takes one rule a write.
            let mut file: &File = file;
            file.write_all(v1_line(rule).as_bytes())
                .map_err(|error| file_error("write a device rule to", path, error))?;
        }
        return Ok(());
    }
    let Some(directory) = cgroup.unified() else {
        return Err(CgroupError::NoController {
            controller: "devices",
            what: "a container",
        });
    };
    let attach = || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let cgroup = rustix::fs::open(&directory, flags, Mode::empty())?;
        let program = load_device_program(&compile(rules))?;
        replace_device_program(cgroup.as_fd(), program.as_fd())
    };
    attach().map_err(|error| file_error("attach the device program to", &directory, error))
}

/// A rule in the words of v1: `c 1:3 rwm`.
fn v1_line(rule: &LinuxDeviceCgroup) -> String {
    let number = |n: Option<i64>| match n {
        Some(n @ 0..) => n.to_string(),
        _ => "*".to_owned(),
    };
    let typ = match rule.typ().unwrap_or_default() {
        LinuxDeviceType::B => "b",
        LinuxDeviceType::C | LinuxDeviceType::U => "c",
        _ => return "a".to_owned(),
    };
    let access = rule.access().as_deref().unwrap_or("rwm");
    format!(
        "{typ} {}:{} {access}",
        number(rule.major()),
        number(rule.minor())
    )
}

// Registers of the program.
const R0: u8 = 0;
const CONTEXT: u8 = 1;
const TYPE: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

// Operations (include/uapi/linux/bpf.h).
const LOAD_WORD: u8 = 0x61;
const SHIFT_RIGHT: u8 = 0x74;
const AND: u8 = 0x54;
const MOVE: u8 = 0xb4;
const MOVE_REGISTER: u8 = 0xbc;
const JUMP_EQUAL: u8 = 0x16;
const JUMP_NOT_EQUAL: u8 = 0x56;
const JUMP_REGISTERS_NOT_EQUAL: u8 = 0x5e;
const EXIT: u8 = 0x95;

fn op(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: source << 4 | destination,
        offset,
        immediate,
    }
}

/// The program for these rules.
fn compile(rules: &[LinuxDeviceCgroup]) -> Vec<Instruction> {
    // struct bpf_cgroup_dev_ctx: the type in the low half of the first word, the access in the high one.
    let mut program = vec![
        op(LOAD_WORD, TYPE, CONTEXT, 0, 0),
        op(MOVE_REGISTER, ACCESS, TYPE, 0, 0),
        op(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        op(AND, TYPE, 0, 0, 0xffff),
        op(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        op(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for rule in rules.iter().rev() {
        program.extend(compile_rule(rule));
        if matches_all(rule) {
            return program;
        }
    }
    program.extend([op(MOVE, R0, 0, 0, 0), op(EXIT, 0, 0, 0, 0)]);
    program
}

fn kind(rule: &LinuxDeviceCgroup) -> Option<i32> {
    match rule.typ().unwrap_or_default() {
        LinuxDeviceType::B => Some(1),
        LinuxDeviceType::C | LinuxDeviceType::U => Some(2),
        _ => None,
    }
}

fn access(rule: &LinuxDeviceCgroup) -> i32 {
    let letters = rule.access().as_deref().unwrap_or("rwm");
    let bit = |letter, bit| if letters.contains(letter) { bit } else { 0 };
    bit('m', 1) | bit('r', 2) | bit('w', 4)
}

/// Nothing after such a rule could be reached, and the kernel refuses programs with dead code.
fn matches_all(rule: &LinuxDeviceCgroup) -> bool {
    let any = |n: Option<i64>| n.is_none_or(|n| n < 0);
    kind(rule).is_none() && access(rule) == 7 && any(rule.major()) && any(rule.minor())
}

fn compile_rule(rule: &LinuxDeviceCgroup) -> Vec<Instruction> {
    // Each test jumps to the next rule when it fails; the distances are filled in below.
    let mut tests = Vec::new();
    if let Some(kind) = kind(rule) {
        tests.push(op(JUMP_NOT_EQUAL, TYPE, 0, 0, kind));
    }
    let mask = access(rule);
    if mask != 7 {
        tests.push(op(MOVE_REGISTER, SCRATCH, ACCESS, 0, 0));
        tests.push(op(AND, SCRATCH, 0, 0, mask));
        tests.push(if rule.allow() {
            // All that is wanted must be allowed.
            op(JUMP_REGISTERS_NOT_EQUAL, SCRATCH, ACCESS, 0, 0)
        } else {
            // One thing that is denied is enough.
            op(JUMP_EQUAL, SCRATCH, 0, 0, 0)
        });
    }
    for (register, number) in [(MAJOR, rule.major()), (MINOR, rule.minor())] {
        if let Some(number @ 0..) = number {
            tests.push(op(JUMP_NOT_EQUAL, register, 0, 0, number as i32));
        }
    }
    let length = tests.len() as i16 + 2;
    for (at, test) in tests.iter_mut().enumerate() {
        if matches!(
            test.code,
            JUMP_EQUAL | JUMP_NOT_EQUAL | JUMP_REGISTERS_NOT_EQUAL
        ) {
            test.offset = length - at as i16 - 1;
        }
    }
    tests.push(op(MOVE, R0, 0, 0, i32::from(rule.allow())));
    tests.push(op(EXIT, 0, 0, 0, 0));
    tests
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxDeviceCgroupBuilder;

    /// Runs a program on a request: type, access bits, major, minor.
    fn run(program: &[Instruction], request: (u32, u32, u32, u32)) -> bool {
        let (typ, access, major, minor) = request;
        let context = [access << 16 | typ, major, minor];
        let mut registers = [0u32; 7];
        let mut at = 0usize;
        loop {
            let i = program[at];
            let (d, s) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
            at += 1;
            let mut jump = |yes: bool| {
                if yes {
                    at = at.checked_add_signed(i.offset.into()).expect("forward");
                }
            };
            match i.code {
                LOAD_WORD => registers[d] = context[i.offset as usize / 4],
                SHIFT_RIGHT => registers[d] >>= i.immediate,
                AND => registers[d] &= i.immediate as u32,
                MOVE => registers[d] = i.immediate as u32,
                MOVE_REGISTER => registers[d] = registers[s],
                JUMP_EQUAL => jump(registers[d] == i.immediate as u32),
                JUMP_NOT_EQUAL => jump(registers[d] != i.immediate as u32),
                JUMP_REGISTERS_NOT_EQUAL => jump(registers[d] != registers[s]),
                EXIT => return registers[0] != 0,
                other => panic!("unknown operation {other:#x}"),
            }
        }
    }

    fn rule(
        allow: bool,
        typ: LinuxDeviceType,
        numbers: (i64, i64),
        access: &str,
    ) -> LinuxDeviceCgroup {
        LinuxDeviceCgroupBuilder::default()
            .allow(allow)
            .typ(typ)
            .major(numbers.0)
            .minor(numbers.1)
            .access(access)
            .build()
            .expect("valid")
    }

    /// Docker's, as far as the cases below need them; -1 is any number.
    fn rules() -> Vec<LinuxDeviceCgroup> {
        use LinuxDeviceType::{A, B, C};
        vec![
            rule(false, A, (-1, -1), "rwm"),
            rule(true, C, (-1, -1), "m"),
            rule(true, B, (-1, -1), "m"),
            rule(true, C, (1, 3), "rwm"),
            rule(true, C, (1, 5), "rwm"),
            rule(true, C, (136, -1), "rwm"),
        ]
    }

    #[test]
    fn the_default_rules() {
        let program = compile(&rules());
        let (block, char, mknod, read, write) = (1, 2, 1, 2, 4);
        for (request, allowed) in [
            ((char, read | write, 1, 3), true),
            ((char, read, 1, 5), true),
            ((char, read, 1, 1), false),
            ((char, mknod, 1, 1), true),
            ((char, mknod | read, 1, 1), false),
            ((block, mknod, 8, 0), true),
            ((block, read, 8, 0), false),
            ((char, read | write, 136, 7), true),
            ((char, read, 10, 200), false),
        ] {
            assert_eq!(run(&program, request), allowed, "{request:?}");
        }
    }

    #[test]
    fn everything_and_partial_denials() {
        let all = rule(true, LinuxDeviceType::A, (-1, -1), "rwm");
        assert!(run(&compile(std::slice::from_ref(&all)), (1, 7, 8, 0)));
        let mut deny = rules()[1].clone();
        deny.set_allow(false).set_access(Some("w".to_owned()));
        let program = compile(&[all, deny]);
        assert!(run(&program, (2, 2, 1, 1)));
        assert!(!run(&program, (2, 6, 1, 1)));
    }

    #[test]
    fn lines_for_v1() {
        let lines: Vec<String> = rules().iter().map(v1_line).collect();
        assert_eq!(lines[..4], ["a", "c *:* m", "b *:* m", "c 1:3 rwm"]);
    }

    #[test]
    fn the_kernel_accepts_the_program() {
        match load_device_program(&compile(&rules())) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                eprintln!("skipped: loading programs needs CAP_BPF");
            }
            Err(error) => panic!("refused: {error}"),
        }
    }
}
