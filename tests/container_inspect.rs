//! What `container inspect`, `ls` and `commit` tell of a container, beside what Docker tells of the same one.

mod support;

use support::Sandbox;

/// What a template prints of a container.
#[track_caller]
fn inspect(sandbox: &Sandbox, name: &str, template: &str) -> String {
    let args = ["container", "inspect", "-f", template, name];
    sandbox.ok(&args).stdout().trim_end().to_owned()
}

/// What a template prints of an image.
#[track_caller]
fn image(sandbox: &Sandbox, name: &str, template: &str) -> String {
    let args = ["image", "inspect", "-f", template, name];
    sandbox.ok(&args).stdout().trim_end().to_owned()
}

/// What a template prints of the containers that a filter leaves, the last made first.
#[track_caller]
fn list(sandbox: &Sandbox, filter: &str, template: &str) -> Vec<String> {
    let args = ["container", "ls", "-a", "-f", filter, "--format", template];
    let text = sandbox.ok(&args).stdout();
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn create(sandbox: &Sandbox, name: &str, options: &[&str], rest: &[&str]) {
    let command = ["container", "create", "--name", name];
    sandbox.ok(&[&command, options, rest].concat());
}

#[test]
fn a_template_may_ask_for_what_docker_leaves_out() {
    need_kernel!();
    let sandbox = Sandbox::new();
    create(&sandbox, "plain", &["--label", "a=b"], &["host", "true"]);
    for (template, expected) in [
        (
            "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}",
            "none",
        ),
        (
            "{{with .State.Health}}{{.Status}}{{else}}none{{end}}",
            "none",
        ),
        ("{{if .Config.Healthcheck}}yes{{end}}", ""),
        (
            "[{{.Config.StopSignal}}] {{.Config.StopTimeout}}",
            "[] <nil>",
        ),
        ("{{.SizeRw}} {{json .HostConfig.Mounts}}", "<nil> null"),
        ("{{.HostConfig.Mounts}} {{.HostConfig.Tmpfs}}", "[] map[]"),
        (
            "{{.Config.Labels.nope}} {{.Config.Labels}}",
            "<no value> map[a:b]",
        ),
        (
            "{{.State}}",
            "{created false false false false false 0 0  0001-01-01T00:00:00Z 0001-01-01T00:00:00Z <nil>}",
        ),
        ("{{eq .ID .Id}}", "true"),
    ] {
        assert_eq!(inspect(&sandbox, "plain", template), expected, "{template}");
    }
    let state = inspect(&sandbox, "plain", "{{json .State}}");
    assert!(!state.contains("Health"), "{state}");
    let host = inspect(&sandbox, "plain", "{{json .HostConfig}}");
    for absent in ["Annotations", "Init", "\"Mounts", "Sysctls", "Tmpfs"] {
        assert!(!host.contains(absent), "{absent}: {host}");
    }
    for wrong in ["{{.Nope}}", "{{.Config.Nope}}", "{{.State.Health.Status}}"] {
        let args = ["container", "inspect", "-f", wrong, "plain"];
        sandbox
            .run(&args)
            .expect_code(2)
            .expect_stderr(&["there is no field"]);
    }
    assert_eq!(list(&sandbox, "name=plain", "{{.Platform}}"), ["<nil>"]);
    sandbox.finish();
}

#[test]
fn what_the_image_says_is_told_of_its_containers_and_goes_into_a_commit() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let text = "FROM host\nHEALTHCHECK --interval=5s CMD true\nSTOPSIGNAL SIGINT\nVOLUME /iv\n";
    sandbox.write("Dockerfile", text);
    sandbox.ok(&["image", "build", "-q", "-t", "probed", "."]);
    create(&sandbox, "as-it-is", &[], &["probed", "true"]);
    let options = ["--health-retries", "2", "--stop-signal", "TERM"];
    create(&sandbox, "changed", &options, &["probed", "true"]);
    create(
        &sandbox,
        "without",
        &["--no-healthcheck"],
        &["probed", "true"],
    );
    let told = "{{json .Config.Healthcheck}} {{.Config.StopSignal}} {{json .Config.Volumes}}";
    for (name, expected) in [
        (
            "as-it-is",
            r#"{"Test":["CMD-SHELL","true"],"Interval":5000000000} SIGINT {"/iv":{}}"#,
        ),
        (
            "changed",
            r#"{"Test":["CMD-SHELL","true"],"Interval":5000000000,"Retries":2} TERM {"/iv":{}}"#,
        ),
        (
            "without",
            r#"{"Test":["NONE"],"Interval":5000000000} SIGINT {"/iv":{}}"#,
        ),
    ] {
        assert_eq!(inspect(&sandbox, name, told), expected, "{name}");
    }

    let options = ["--health-cmd", "echo x", "-v", "/vv"];
    create(&sandbox, "given", &options, &["probed", "true"]);
    sandbox.ok(&["container", "commit", "given", "committed"]);
    assert_eq!(
        image(
            &sandbox,
            "committed",
            "{{json .Config.Healthcheck}} {{json .Config.Volumes}}"
        ),
        r#"{"Test":["CMD-SHELL","echo x"],"Interval":5000000000} {"/iv":{},"/vv":{}}"#
    );
    sandbox.finish();
}

#[test]
fn a_commit_may_name_a_user_whom_the_image_does_not_know() {
    need_kernel!();
    let sandbox = Sandbox::new();
    create(&sandbox, "plain", &[], &["host", "true"]);
    let changes = ["-c", "USER nobody-here", "-c", "WORKDIR /new"];
    sandbox.ok(&[
        &["container", "commit"],
        &changes[..],
        &["plain", "changed"],
    ]
    .concat());
    assert_eq!(
        image(
            &sandbox,
            "changed",
            "{{.Config.User}} {{.Config.WorkingDir}}"
        ),
        "nobody-here /new"
    );
    sandbox.finish();
}

#[test]
fn sizes_are_those_of_the_files_contents() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let run = ["container", "run", "--network", "none", "--name"];
    sandbox.ok(&[&run[..], &["untouched", "host", "true"]].concat());
    let script = "echo hello > /f; ln /f /g; mkdir /d; ln -s /f /l";
    sandbox.ok(&[&run[..], &["written", "host", "sh", "-c", script]].concat());
    for (name, bytes, shown) in [
        ("untouched", "0", "0B (virtual"),
        ("written", "8", "8B (virtual"),
    ] {
        let args = ["container", "inspect", "-s", "-f", "{{.SizeRw}}", name];
        assert_eq!(sandbox.ok(&args).stdout().trim(), bytes, "{name}");
        // A template that names the size has it without being asked for it.
        let listed = list(&sandbox, &format!("name={name}"), "{{.Size}}").concat();
        assert!(listed.starts_with(shown), "{listed}");
    }
    sandbox
        .ok(&["container", "prune", "-f"])
        .expect_stdout(&["Total reclaimed space: 8B"]);
    sandbox.finish();
}

#[test]
fn columns_have_dockers_titles() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let titles = |noun: &[&str], columns: &str| {
        let format = format!("table {columns}");
        let text = sandbox
            .ok(&[noun, &["--format", &format]].concat())
            .stdout();
        let words = text.lines().next().unwrap_or_default().split("  ");
        let words = words.map(str::trim).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("|")
    };
    assert_eq!(
        titles(
            &["container", "ls"],
            "{{.ID}}\t{{.RunningFor}}\t{{.Label \"a.b-c\"}}\t{{upper .Names}}"
        ),
        "CONTAINER ID|CREATED|b c|NAMES"
    );
    let stats = ["container", "stats", "--no-stream"];
    assert_eq!(
        titles(
            &stats,
            "{{.ID}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}"
        ),
        "CONTAINER ID|CPU %|MEM USAGE / LIMIT|MEM %|NET I/O|BLOCK I/O|PIDS"
    );
    sandbox.finish();
}

#[test]
fn capabilities_and_mounts_are_told_in_dockers_words() {
    need_kernel!();
    let sandbox = Sandbox::new();
    let added = [
        "--cap-add",
        "sys_ptrace",
        "--cap-add",
        "CAP_net_admin",
        "--cap-add",
        "NET_ADMIN",
    ];
    let mounted = [
        "--cap-drop",
        "mknod",
        "--tmpfs",
        "/t:size=1m",
        "-v",
        "/usr:/u:ro",
    ];
    let image = ["--mount", "type=image,source=host,target=/i"];
    let options = [&added[..], &mounted, &image].concat();
    create(&sandbox, "all", &options, &["host", "true"]);
    for (template, expected) in [
        (
            "{{json .HostConfig.CapAdd}} {{json .HostConfig.CapDrop}}",
            r#"["CAP_NET_ADMIN","CAP_SYS_PTRACE"] ["CAP_MKNOD"]"#,
        ),
        (
            "{{json .HostConfig.Binds}} {{json .HostConfig.Tmpfs}}",
            r#"["/usr:/u:ro"] {"/t":"size=1048576"}"#,
        ),
        (
            "{{range .HostConfig.Mounts}}{{.Type}} {{.Source}} {{.Target}}{{end}}",
            "image host /i",
        ),
        ("{{range .Mounts}}{{.Destination}} {{end}}", "/u /i "),
    ] {
        assert_eq!(
            inspect(&sandbox, "all", template),
            expected.trim_end(),
            "{template}"
        );
    }
    sandbox.finish();
}

#[test]
fn filters_know_descendants_and_sources() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM host\nLABEL a=b\nRUN echo 1 > /x\n");
    sandbox.ok(&["image", "build", "-q", "-t", "base", "."]);
    create(&sandbox, "of-base", &[], &["base", "true"]);
    // No change of a file, so no layer of its own.
    sandbox.write("Dockerfile", "FROM base\nLABEL c=d\n");
    sandbox.ok(&["image", "build", "-q", "-t", "built", "."]);
    sandbox.ok(&["container", "commit", "of-base", "committed"]);
    create(&sandbox, "of-built", &["-v", "/usr:/u"], &["built", "true"]);
    create(
        &sandbox,
        "of-committed",
        &["-v", "data:/u"],
        &["committed", "true"],
    );
    create(&sandbox, "of-host", &["--tmpfs", "/u"], &["host", "true"]);
    for (filter, expected) in [
        (
            "ancestor=base",
            &["of-committed", "of-built", "of-base"][..],
        ),
        ("ancestor=built", &["of-built"]),
        ("ancestor=committed", &["of-committed"]),
        ("ancestor=nothing", &[]),
        (
            "ancestor=host",
            &["of-host", "of-committed", "of-built", "of-base"],
        ),
        ("volume=/u", &["of-committed", "of-built"]),
        ("volume=/usr", &["of-built"]),
        ("volume=data", &["of-committed"]),
        ("is-task=1", &[]),
        (
            "is-task=false",
            &["of-host", "of-committed", "of-built", "of-base"],
        ),
    ] {
        assert_eq!(list(&sandbox, filter, "{{.Names}}"), expected, "{filter}");
    }
    sandbox
        .run(&["container", "ls", "-f", "is-task=x"])
        .expect_code(2)
        .expect_stderr(&["is-task=x"]);
    sandbox.finish();
}

#[test]
fn commands_are_quoted_and_one_without_a_network_has_no_ports() {
    need_kernel!();
    let sandbox = Sandbox::new();
    create(&sandbox, "short", &[], &["host", "sh", "-c", "exit 3"]);
    create(
        &sandbox,
        "long",
        &[],
        &["host", "sh", "-c", "while true; do date; done"],
    );
    let shown = |name: &str| list(&sandbox, &format!("name={name}"), "{{.Command}}").concat();
    assert_eq!(shown("short"), r#""sh -c 'exit 3'""#);
    assert_eq!(shown("long"), r#""sh -c 'while true; …""#);
    sandbox
        .ok(&["container", "ls", "-a", "--no-trunc"])
        .expect_stdout(&[r#""sh -c 'while true; do date; done'""#]);
    sandbox.start_sleeper("alone", &["--network", "none", "--expose", "99"]);
    sandbox.start_sleeper("connected", &["--expose", "99"]);
    let ports = |name: &str| list(&sandbox, &format!("name={name}"), "{{.Ports}}").concat();
    assert_eq!(
        (ports("alone").as_str(), ports("connected").as_str()),
        ("", "99/tcp")
    );
    sandbox.finish();
}

#[test]
fn what_was_asked_of_a_network_is_told() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.ok(&["network", "create", "back"]);
    let network = "name=back,link-local-ip=169.254.8.1,gw-priority=3,\
                   driver-opt=com.docker.network.endpoint.ifname=lan0,\
                   driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1";
    create(&sandbox, "web", &["--network", network], &["host", "true"]);
    let of = |field: &str| {
        let template = format!("{{{{json .NetworkSettings.Networks.back.{field}}}}}");
        inspect(&sandbox, "web", &template)
    };
    assert_eq!(
        of("DriverOpts"),
        r#"{"com.docker.network.endpoint.ifname":"lan0","com.docker.network.endpoint.sysctls":"net.ipv4.conf.IFNAME.log_martians=1"}"#
    );
    assert_eq!(
        of("IPAMConfig"),
        r#"{"IPv4Address":"","IPv6Address":"","LinkLocalIPs":["169.254.8.1"]}"#
    );
    assert_eq!(of("GwPriority"), "3");
    create(&sandbox, "plain", &["--network", "back"], &["host", "true"]);
    let template = "{{json .NetworkSettings.Networks.back.DriverOpts}}";
    assert_eq!(inspect(&sandbox, "plain", template), "null");
    sandbox.finish();
}
