//! `system df` of what the builder keeps.

mod support;

use support::Sandbox;

/// The line of the build cache: total, active, size, reclaimable.
fn usage(sandbox: &Sandbox) -> [String; 4] {
    let format = "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}|{{.Reclaimable}}";
    let text = sandbox.ok(&["system", "df", "--format", format]).stdout();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Build Cache|"))
        .expect("a line of the build cache");
    let words: Vec<String> = line.split('|').map(str::to_owned).collect();
    words.try_into().expect("four columns")
}

#[test]
fn the_build_cache_is_counted() {
    need_kernel!();
    let sandbox = Sandbox::new();
    assert_eq!(usage(&sandbox), ["0", "0", "0B", "0B"]);
    sandbox.write("a", &"x".repeat(5000));
    sandbox.write(
        "Dockerfile",
        "FROM host\nCOPY a /a\nRUN --mount=type=cache,target=/kept head -c 3000 /dev/zero > /kept/f\n",
    );
    sandbox.ok(&["image", "build", "-q", "-t", "it", "."]);
    // The layers are the image's; the cache mount is nobody's.
    let [total, active, size, reclaimable] = usage(&sandbox);
    assert_eq!((total.as_str(), active.as_str()), ("3", "0"));
    let kilobytes = |text: &str| -> f64 {
        let number = text.split("kB").next().expect("a number");
        number
            .parse()
            .unwrap_or_else(|_| panic!("kilobytes: {text}"))
    };
    let mount = kilobytes(&size);
    assert!(reclaimable.ends_with("(100%)"), "{reclaimable}");
    let verbose = sandbox.ok(&["system", "df", "-v"]);
    verbose.expect_stdout(&[
        "Build cache usage: ",
        "exec.cachemount",
        "regular",
        "COPY a /a",
        "true",
    ]);

    // A use is counted.
    sandbox.ok(&["image", "build", "-q", "-t", "it", "."]);
    let verbose = sandbox.ok(&["system", "df", "-v"]).stdout();
    let copied = verbose.lines().find(|line| line.contains("COPY a /a"));
    let words: Vec<&str> = copied.expect("the step").split_ascii_whitespace().collect();
    assert!(
        words.windows(2).any(|two| two == ["2", "true"]),
        "{words:?}"
    );

    // Without the image all of it is the cache's own.
    sandbox.ok(&["image", "rm", "it"]);
    let [total, _, size, _] = usage(&sandbox);
    assert_eq!(total, "3");
    assert!(kilobytes(&size) > mount + 4.9, "{size}, {mount}");
    // What a build is at counts as active.
    sandbox.write(
        "slow/Dockerfile",
        "FROM scratch\nCOPY Dockerfile /\nFROM host\nCOPY --from=0 /Dockerfile /\nRUN sleep 3\n",
    );
    let build = sandbox.spawn(&["image", "build", "-q", "slow"]);
    let busy = support::wait_for(std::time::Duration::from_secs(10), || {
        (usage(&sandbox)[1] != "0").then_some(())
    });
    assert!(busy.is_some(), "{:?}", usage(&sandbox));
    let output = build.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(usage(&sandbox)[1], "0");
    sandbox.ok(&["system", "prune", "-af"]);
    assert_eq!(usage(&sandbox)[0], "0");
    sandbox.finish();
}

#[test]
fn an_archive_leaves_no_image_behind() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let to_archive = [
        "image",
        "build",
        "-o",
        "type=oci,dest=it.tar",
        "-t",
        "it",
        ".",
    ];
    sandbox.ok(&to_archive);
    assert_eq!(sandbox.ok(&["image", "ls", "-aq"]).stdout(), "");
    let loaded = sandbox.ok(&["image", "load", "-i", "it.tar"]);
    loaded.expect_stdout(&["it:latest"]);
    // What was there before stays.
    sandbox.ok(&["image", "rm", "it"]);
    sandbox.ok(&["image", "build", "-q", "."]);
    let id = sandbox.ok(&["image", "ls", "-aq"]).stdout();
    sandbox.ok(&to_archive);
    assert_eq!(sandbox.ok(&["image", "ls", "-aq"]).stdout(), id);
    sandbox.finish();
}

/// Has everything below a folder of the builder's look two days old.
fn age(sandbox: &Sandbox, folder: &str) {
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 24 * 3600);
    let entries = std::fs::read_dir(sandbox.root().join("build").join(folder));
    for entry in entries.expect("a folder of the builder's") {
        let entry = std::fs::File::open(entry.expect("an entry").path()).expect("opened");
        entry.set_modified(then).expect("aged");
    }
}

#[test]
fn a_cache_mount_in_daily_use_stays() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write(
        "Dockerfile",
        "FROM host\nARG N\nRUN --mount=type=cache,target=/kept echo $N >> /kept/f; cp /kept/f /f\n",
    );
    let built = |number: &str, expected: &str| {
        let number = format!("N={number}");
        sandbox.ok(&[
            "image",
            "build",
            "--build-arg",
            &number,
            "-q",
            "-t",
            "it",
            ".",
        ]);
        sandbox
            .ok(&["container", "run", "--rm", "it", "cat", "/f"])
            .expect_stdout(&[expected]);
        sandbox.ok(&["image", "rm", "it"]);
        sandbox.ok(&["system", "prune", "-af", "--filter", "until=24h"]);
    };
    built("1", "1\n");
    age(&sandbox, "mounts");
    built("2", "1\n2\n");
    built("3", "1\n2\n3\n");
    // One that is not used goes.
    age(&sandbox, "mounts");
    sandbox.ok(&["system", "prune", "-af", "--filter", "until=24h"]);
    built("4", "4\n");
    sandbox.ok(&["system", "prune", "-af"]);
    sandbox.finish();
}
