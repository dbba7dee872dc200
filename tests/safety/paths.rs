//! Paths inside a container that lead elsewhere, or begin to while they are looked up.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::Sandbox;
use crate::{names, until_up};

/// A volume at `/dev` with something else in the place of the nothing that hides paths.
#[test]
fn what_lies_in_a_containers_dev_is_not_trusted() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let dev = sandbox.project().join("dev");
    let run = |script: &str| {
        let volume = format!("{}:/dev", dev.display());
        sandbox.run(&[
            "container",
            "run",
            "--rm",
            "-v",
            &volume,
            "host",
            "sh",
            "-c",
            script,
        ])
    };
    // A file of the container's in the place of /dev/null would be what hidden files show, and could be written.
    fs::create_dir(&dev).expect("folder");
    fs::write(dev.join("null"), "owned\n").expect("file");
    let ran = run("cat /proc/keys /proc/timer_list; :");
    assert!(
        ran.code() != 0 && !ran.stdout().contains("owned"),
        "{}",
        ran.stdout()
    );
    ran.expect_stderr(&["/proc/"]);
    // And so would one that is reached by a link.
    fs::rename(dev.join("null"), dev.join("other")).expect("renamed");
    symlink("other", dev.join("null")).expect("link");
    let ran = run("cat /proc/keys /proc/timer_list; :");
    assert!(
        ran.code() != 0 && !ran.stdout().contains("owned"),
        "{}",
        ran.stdout()
    );
    sandbox.finish();
}

/// Paths that a container swaps for links to the host while others look them up.
#[test]
fn swapped_links_do_not_lead_out_of_a_volume_or_a_copy() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let outside = sandbox.project().join("outside");
    fs::create_dir(&outside).expect("folder");
    let script = format!(
        "mkdir -p /data/real /work/real; ln -s {0} /data/link; ln -s {0} /work/link; echo up; \
         while :; do for d in /data /work; do ln -sfn link $d/swap; ln -sfn real $d/swap; done; done",
        outside.display()
    );
    until_up(&sandbox, &["-v", "data:/data"], &["sh", "-c", &script]);
    sandbox.write("file", "content");
    let mount = format!("{}:/data/swap/in", sandbox.project().join("file").display());
    for _ in 0..12 {
        // Either may fail; neither may end up outside.
        sandbox.run(&["container", "cp", "file", "one:/work/swap/copied"]);
        sandbox.run(&[
            "container",
            "run",
            "--rm",
            "--network",
            "none",
            "-v",
            "data:/data",
            "-v",
            &mount,
            "host",
            "true",
        ]);
    }
    assert_eq!(names(&outside), [""; 0]);
    sandbox.finish();
}

/// A link in the place of what we make ourselves.
#[test]
fn a_console_is_not_made_through_a_link() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let (dev, outside) = (
        sandbox.project().join("dev"),
        sandbox.project().join("outside"),
    );
    fs::create_dir(&outside).expect("folder");
    fs::create_dir(&dev).expect("folder");
    let volume = format!("{}:/dev", dev.display());
    let run = || {
        let terminals = ["-v", &volume, "-v", "/dev/pts:/dev/pts"];
        let mut args = vec!["container", "run", "--rm", "-t"];
        args.extend(terminals);
        args.extend(["host", "sh", "-c", "echo written > /dev/console"]);
        sandbox.run(&args)
    };
    run().expect_code(0).expect_stdout(&["written"]);
    fs::remove_file(dev.join("console")).expect("removed");
    for target in [outside.join("made"), "../outside/made".into()] {
        symlink(target, dev.join("console")).expect("link");
        run().expect_code(125).expect_stderr(&["/dev/console"]);
        assert_eq!(names(&outside), [""; 0]);
        fs::remove_file(dev.join("console")).expect("removed");
    }
    sandbox.finish();
}
