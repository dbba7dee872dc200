//! Who the process is: ids, capabilities, limits, names.

use gantry_engine::runtime::{Exit, RuntimeError, defaults};
use oci_spec::runtime::{Capability, PosixRlimitBuilder, PosixRlimitType};

use super::Case;
use super::fixture::container;

pub const CASES: &[Case] = &[
    ("identity::dockers_capabilities_and_no_more", capabilities),
    ("identity::a_user_has_no_capabilities", user_capabilities),
    ("identity::names_come_from_the_containers_files", names),
    ("identity::an_unknown_user_is_named", unknown_user),
    (
        "identity::privileges_do_not_grow_on_request",
        no_new_privileges,
    ),
    ("identity::limits_are_clamped_with_a_warning", ulimits),
    ("identity::host_name_and_pid_one", host),
    (
        "identity::not_found_is_127_and_not_executable_126",
        exit_codes,
    ),
    (
        "identity::a_missing_working_directory_is_made",
        working_directory,
    ),
    (
        "identity::a_working_directory_through_a_descriptor_is_refused",
        leaked_directory,
    ),
];

/// The lines of /proc/self/status that begin so.
fn status(text: &str, key: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(key));
    let line = line.unwrap_or_else(|| panic!("no {key} in {text}"));
    line[key.len()..].trim_start_matches(':').trim().to_owned()
}

fn capabilities() {
    let text = container(&["cat", "/proc/self/status"]).output();
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(status(&text, set), "00000000a80425fb", "{set}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(status(&text, set), "0000000000000000", "{set}");
    }
    assert_eq!(status(&text, "NoNewPrivs"), "0");
    assert_eq!(status(&text, "SigBlk"), "0000000000000000");
    assert_eq!(status(&text, "SigIgn"), "0000000000000000");
    assert_eq!(status(&text, "Seccomp:"), "2");
}

fn user_capabilities() {
    let mut container = container(&["cat", "/proc/self/status"]);
    container.user = Some("1234:2345".to_owned());
    container.groups = vec!["3456".to_owned()];
    let text = container.output();
    assert_eq!(status(&text, "Uid"), "1234\t1234\t1234\t1234");
    assert_eq!(status(&text, "Gid"), "2345\t2345\t2345\t2345");
    // The primary group too, as Docker: otherwise dropping it would pass checks made for it (CVE-2022-36109).
    assert_eq!(status(&text, "Groups"), "2345 3456");
    for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        assert_eq!(status(&text, set), "0000000000000000", "{set}");
    }
}

fn names() {
    let mut container = container(&["sh", "-c", "id -u; id -G; echo $HOME"]);
    let etc = container.scratch.path().join("mask/etc");
    std::fs::create_dir(&etc).expect("made");
    std::fs::write(etc.join("passwd"), "me:x:777:778::/home/me:/bin/sh\n").expect("written");
    std::fs::write(etc.join("group"), "mine:x:900:me\nother:x:901:\n").expect("written");
    container.user = Some("me".to_owned());
    container.groups = vec!["other".to_owned()];
    assert_eq!(container.output(), "777\n778 900 901\n/home/me\n");
}

fn unknown_user() {
    let mut container = container(&["true"]);
    container.user = Some("nobody-of-that-name".to_owned());
    let error = container.run().err().expect("refused");
    assert!(
        matches!(&error, RuntimeError::NoSuchUser { name, .. } if name == "nobody-of-that-name")
    );
    assert_eq!(error.exit_code(), 125);
}

fn no_new_privileges() {
    let mut container = container(&["cat", "/proc/self/status"]);
    container.process().set_no_new_privileges(Some(true));
    let text = container.output();
    assert_eq!(status(&text, "NoNewPrivs"), "1");
    assert_eq!(status(&text, "Seccomp:"), "2");
    assert_eq!(status(&text, "CapEff"), "00000000a80425fb");
}

fn ulimits() {
    let limit = |typ, soft: u64, hard: u64| {
        let limit = PosixRlimitBuilder::default();
        limit.typ(typ).soft(soft).hard(hard).build().expect("valid")
    };
    let mut container = container(&["sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -c"]);
    container.process().set_rlimits(Some(vec![
        limit(PosixRlimitType::RlimitNofile, 100, 200),
        limit(PosixRlimitType::RlimitCore, 0, 0),
    ]));
    assert_eq!(container.output(), "100\n200\n0\n");

    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let mut wanting = super::fixture::container(&["sh", "-c", "ulimit -Hn"]);
    let above = most.unwrap_or(u64::MAX - 2) + 1;
    let nofile = limit(PosixRlimitType::RlimitNofile, 100, above);
    wanting.process().set_rlimits(Some(vec![nofile]));
    let output = wanting.run().expect("clamped");
    let raised = output.stdout.trim() == above.to_string();
    let warned = output.warnings.iter().any(|w| w.what == "ulimit nofile");
    assert!(raised != warned, "{} {:?}", output.stdout, output.warnings);
}

fn host() {
    let container = container(&["sh", "-c", "cat /proc/sys/kernel/hostname; echo $$"]);
    assert_eq!(container.output(), "box\n1\n");
}

fn exit_codes() {
    for (command, code) in [
        ("no-such-program", 127),
        ("/no/such/program", 127),
        ("/etc/passwd", 126),
        ("/etc", 126),
        ("", 127),
    ] {
        let error = container(&[command]).run().err().expect("refused");
        assert_eq!(error.exit_code(), code, "{command}: {error}");
    }
    let own = container(&["sh", "-c", "exit 7"]).run().expect("runs");
    assert_eq!(own.exit, Exit::Code(7));
    let killed = container(&["sh", "-c", "sh -c 'kill -9 $$'"])
        .run()
        .expect("runs");
    assert_eq!(killed.exit.code(), 137);
}

fn working_directory() {
    let mut container = container(&["pwd"]);
    container.process().set_cwd("/made/for/me".into());
    assert_eq!(container.output(), "/made/for/me\n");
    assert!(container.upper().join("made/for/me").is_dir());
}

fn leaked_directory() {
    let outside = rustix::fs::open(
        "/tmp",
        rustix::fs::OFlags::DIRECTORY,
        rustix::fs::Mode::empty(),
    )
    .expect("opens");
    for fd in 3..12 {
        let mut container = container(&["cat", "/proc/self/status"]);
        container
            .process()
            .set_cwd(format!("/proc/self/fd/{fd}").into());
        // Either it is no directory inside, or it is refused; it never is the host's.
        if let Ok(output) = container.run() {
            panic!("descriptor {fd} led somewhere: {}", output.stdout);
        }
    }
    drop(outside);
    let mut privileged = container(&["cat", "/proc/self/status"]);
    let all = defaults::all_capabilities();
    privileged
        .process()
        .set_capabilities(Some(defaults::capability_sets(&all)));
    let text = privileged.output();
    let effective = u64::from_str_radix(&status(&text, "CapEff"), 16).expect("hexadecimal");
    assert_ne!(effective & 1 << 21, 0, "{:?}", Capability::SysAdmin);
}
