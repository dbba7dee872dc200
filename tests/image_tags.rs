//! All tags of a repository at once, and the digests of names, with a real registry.

mod support;

use support::Sandbox;
use support::registry::{Registry, Wants};

#[test]
fn all_tags_go_and_come_at_once() {
    need_kernel!();
    need_program!("docker-registry");
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox.project(), Wants::Nothing);
    let name = format!("{}/team/app", registry.address);
    sandbox.write("Dockerfile", "FROM scratch\nARG N\nCOPY Dockerfile /$N\n");
    let tagged = |tag: &str| format!("{name}:{tag}");
    for tag in ["one", "two"] {
        let (value, tag) = (format!("N={tag}"), tagged(tag));
        sandbox.ok(&[
            "image",
            "build",
            "-q",
            "--build-arg",
            &value,
            "-t",
            &tag,
            ".",
        ]);
    }
    let other = format!("{name}-other:one");
    sandbox.ok(&["image", "tag", &tagged("one"), &other]);
    let pushed = sandbox.ok(&["image", "push", "-a", &name]);
    let pushed = pushed.expect_stdout(&["one: digest: sha256:", "two: digest: sha256:"]);
    assert_eq!(pushed.stdout().lines().count(), 2);
    sandbox
        .run(&["image", "push", "--all-tags", &tagged("one")])
        .expect_code(2)
        .expect_stderr(&["leave out one"]);
    sandbox
        .run(&["image", "push", "--all-tags", "nothing/here"])
        .expect_code(1)
        .expect_stderr(&["nothing/here", "image tag"]);

    let digests = sandbox.ok(&["image", "ls", "--digests"]).stdout();
    assert!(digests.lines().next().expect("titles").contains("DIGEST"));
    let digest_of = |text: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        let mut words = line.expect("a row").split_whitespace();
        words.nth(2).expect("a digest").to_owned()
    };
    assert!(digest_of(&digests).starts_with("sha256:"), "{digests}");
    assert!(
        digests
            .lines()
            .any(|line| line.contains("-other") && line.contains("<none>")),
        "{digests}"
    );

    sandbox.ok(&["image", "prune", "-af"]);
    let pulled = sandbox.ok(&["image", "pull", "-a", "-q", &name]).stdout();
    assert_eq!(pulled, format!("{}\n{}\n", tagged("one"), tagged("two")));
    let list = ["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"];
    let mut here: Vec<String> = sandbox
        .ok(&list)
        .stdout()
        .lines()
        .map(str::to_owned)
        .collect();
    here.sort();
    assert_eq!(here, [tagged("one"), tagged("two")]);
    sandbox
        .run(&[
            "image",
            "pull",
            "-a",
            &format!("{}/nobody/has", registry.address),
        ])
        .expect_code(1)
        .expect_stderr(&["nobody/has"]);
    drop(registry);
    sandbox.finish();
}

#[test]
fn a_build_is_pushed_at_once() {
    need_kernel!();
    need_program!("docker-registry");
    let sandbox = Sandbox::new();
    let registry = Registry::start(&sandbox.project(), Wants::Nothing);
    let name = format!("{}/built:1", registry.address);
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    sandbox
        .run(&["image", "build", "--push", "."])
        .expect_code(2)
        .expect_stderr(&["--tag"]);
    sandbox.ok(&["image", "build", "--push", "-t", &name, "."]);
    sandbox.ok(&["image", "rm", &name]);
    sandbox.ok(&["image", "pull", &name]);
    sandbox.ok(&["image", "build", "--load", "-o", "out", "-t", "kept", "."]);
    sandbox.ok(&["image", "inspect", "kept"]);
    assert!(sandbox.project().join("out/Dockerfile").is_file());
    drop(registry);
    sandbox.finish();
}

#[test]
fn search_is_refused_by_name() {
    let sandbox = Sandbox::new();
    for verb in [&["search"][..], &["image", "search"]] {
        let typed = [verb, &["--limit", "3", "nginx"]].concat();
        let name = format!("`{}` is not supported", verb.join(" "));
        sandbox
            .run(&typed)
            .expect_code(1)
            .expect_stderr(&[&name, "registry's site"]);
    }
}

#[test]
fn an_image_of_yesterday_is_pulled_again_where_daily_is_asked_for() {
    need_kernel!();
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    sandbox.ok(&["image", "build", "-q", "-t", "app:1", "."]);
    sandbox.write(
        "compose.yaml",
        "services: {web: {image: 'app:1', pull_policy: daily}}\n",
    );
    let plan = || sandbox.ok(&["up", "-d", "--dry-run"]).stdout();
    assert!(!plan().contains("image app:1 pull"));
    let tag = sandbox.root().join("refs/docker.io/library/app/_tags/1");
    let tag = std::fs::File::open(tag).expect("the tag");
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 3600);
    tag.set_modified(then).expect("aged");
    assert!(plan().contains("image app:1 pull"));
    // What names it again makes it new.
    sandbox.ok(&["image", "tag", "app:1", "app:1"]);
    assert!(!plan().contains("image app:1 pull"));
    sandbox
        .ok(&[
            "image",
            "inspect",
            "-f",
            "{{.Metadata.LastTagTime}}",
            "app:1",
        ])
        .expect_stdout(&[&jiff::Timestamp::now().to_string()[..10]]);
    sandbox.ok(&["system", "prune", "-af"]);
    sandbox.finish();
}
