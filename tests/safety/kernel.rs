//! Files of the kernel that a container could change or read the machine by.

use std::fs;

use crate::support::Sandbox;

/// Files that would take what they are told, from any root: each gets what it has already.
const SWITCHES: &[&str] = &[
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/panic",
    "/proc/sys/vm/swappiness",
    "/proc/irq/default_smp_affinity",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel/profiling",
    "/sys/module/kernel/parameters/panic",
];

/// Files that tell of the machine.
const SECRETS: &[&str] = &[
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/interrupts",
];

#[test]
fn the_kernel_is_neither_changed_nor_read_from_inside() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let there = |paths: &[&str]| -> String {
        let there = paths.iter().filter(|path| fs::metadata(path).is_ok());
        there.copied().collect::<Vec<_>>().join(" ")
    };
    let script = format!(
        "for f in {}; do v=$(cat $f 2>/dev/null); v=${{v##*[}}; v=${{v%%]*}}
           if echo \"$v\" 2>/dev/null > $f; then echo \"changed $f\"; fi; done
         # `h` shows help in the kernel's log, and does nothing else.
         if echo h 2>/dev/null > /proc/sysrq-trigger; then echo 'pressed sysrq'; fi
         for f in {}; do if [ -n \"$(head -c1 $f 2>/dev/null | tr '\\0' x)\" ]; then echo \"read $f\"; fi; done
         for d in /sys/firmware /proc/scsi /proc/acpi; do if [ -n \"$(ls $d 2>/dev/null)\" ]; then echo \"listed $d\"; fi; done
         echo looked",
        there(SWITCHES),
        there(SECRETS),
    );
    for flags in [&[][..], &["--security-opt", "seccomp=unconfined"]] {
        let mut args = vec!["container", "run", "--rm"];
        args.extend(flags);
        args.extend(["host", "bash", "-c", &script]);
        assert_eq!(sandbox.ok(&args).stdout(), "looked\n", "{flags:?}");
    }
    sandbox.finish();
}

/// What is hidden or read-only stays so: with the filter of system calls, and by its missing rights alone.
#[test]
fn what_is_closed_cannot_be_opened_from_inside() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let script = "
        for m in /proc/sys /proc/irq /sys /sys/fs/cgroup; do
            mount -o remount,rw $m && echo \"remounted $m\"
            mount -o remount,bind,rw $m && echo \"rebound $m\"
            umount $m && echo \"unmounted $m\"
        done 2>/dev/null
        for m in /proc/kcore /proc/keys /sys/firmware /proc; do umount -l $m && echo \"unmounted $m\"; done 2>/dev/null
        mkdir -p /tmp/at
        mount -t proc proc /tmp/at 2>/dev/null && echo 'a second proc'
        mount -t sysfs sysfs /tmp/at 2>/dev/null && echo 'a second sysfs'
        mount --bind / /tmp/at 2>/dev/null && echo 'bound'
        unshare -m true 2>/dev/null && echo 'unshared'
        echo tried";
    for flags in [&[][..], &["--security-opt", "seccomp=unconfined"]] {
        let mut args = vec!["container", "run", "--rm"];
        args.extend(flags);
        args.extend(["host", "sh", "-c", script]);
        assert_eq!(sandbox.ok(&args).stdout(), "tried\n", "{flags:?}");
    }
    sandbox.finish();
}

/// A node of the machine's own disk, brought by an image, is only a file.
#[test]
fn a_device_of_an_image_opens_nothing() {
    need_kernel!();
    need_program!("busybox");
    let sandbox = Sandbox::new();
    let tree = sandbox.project().join("tree");
    crate::images::shell(&tree);
    let disk = fs::read_to_string("/proc/partitions").expect("partitions");
    let numbers = disk.lines().skip(2).find_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    });
    let Some((major, minor)) = numbers else {
        eprintln!("skipped: the machine has no disk");
        return;
    };
    for (name, kind, device) in [
        (
            "disk",
            rustix::fs::FileType::BlockDevice,
            rustix::fs::makedev(major, minor),
        ),
        (
            "kmsg",
            rustix::fs::FileType::CharacterDevice,
            rustix::fs::makedev(1, 11),
        ),
    ] {
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(rustix::fs::CWD, tree.join(name), kind, mode, device).expect("made");
    }
    crate::images::import(&sandbox, &tree, "nodes", &[]);
    let script = "for n in disk kmsg; do true < /$n && echo opened $n; true >> /$n && echo opened $n; done; echo tried";
    let run = |flags: &[&str]| {
        let args = [
            &["container", "run", "--rm"],
            flags,
            &["nodes", "sh", "-c", script],
        ]
        .concat();
        sandbox.ok(&args).stdout()
    };
    assert_eq!(run(&[]), "tried\n");
    assert_eq!(run(&["--security-opt", "seccomp=unconfined"]), "tried\n");
    sandbox.finish();
}
