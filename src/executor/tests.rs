use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::backend::fake::{Behaviour, Fake};
use crate::lower::{Overrides, Stack, lower};
use crate::model::{self, Dependency, Project, Service};
use crate::plan::Observed;
use crate::plan::down::{DownOptions, Volumes, down};
use crate::plan::up::{
    Anonymous, ChangedVolumes, Dependencies, Orphans, Recreate, Start, UpOptions, up,
};

/// Services as `name <- dependency:condition[?]…`; a `?` makes the dependency optional.
fn project(services: &[(&str, &[&str])]) -> Project {
    let mut project = Project {
        name: "t".to_owned(),
        ..Project::default()
    };
    for (name, dependencies) in services {
        let mut service = Service {
            image: "host".to_owned(),
            ..Service::default()
        };
        for text in *dependencies {
            let (on, condition) = text.split_once(':').unwrap_or((text, "started"));
            let dependency = Dependency {
                condition: match condition.trim_end_matches('?') {
                    "healthy" => model::Condition::Healthy,
                    "completed" => model::Condition::CompletedSuccessfully,
                    _ => model::Condition::Started,
                },
                required: model::Always(!condition.ends_with('?')),
                ..Dependency::default()
            };
            service.depends_on.insert((*on).to_owned(), dependency);
        }
        project.services.insert((*name).to_owned(), service);
    }
    project
}

fn stack(project: Project) -> Stack {
    let (stack, findings) = lower(project, &Overrides::default());
    assert_eq!(findings.refused, []);
    stack
}

fn options() -> UpOptions {
    UpOptions {
        around: None,
        services: Vec::new(),
        dependencies: Dependencies::Included,
        recreate: Recreate::Diverged,
        recreate_dependencies: Recreate::Diverged,
        anonymous: Anonymous::Inherited,
        changed_volumes: ChangedVolumes::Kept,
        orphans: Orphans::Reported,
        start: Start::Yes,
        timeout: None,
    }
}

fn observe(fake: &Fake) -> Observed {
    let label = [(labels::PROJECT, "t")];
    let networks = fake.networks(&label).expect("networks");
    let volumes = fake.volumes(&label).expect("volumes");
    Observed {
        containers: fake.containers(&label).expect("containers"),
        networks: networks.into_iter().map(|n| (n.name.clone(), n)).collect(),
        volumes: volumes.into_iter().map(|v| (v.name.clone(), v)).collect(),
    }
}

fn run(fake: &Fake, stack: &Stack, plan: &Plan) -> (Result<Done, ExecuteError>, Vec<Event>) {
    let events = Mutex::new(Vec::new());
    let cancel = Cancel::default();
    let sink = |event| events.lock().expect("no panic").push(event);
    let execution = Execution {
        backend: fake,
        project: "t",
        stack: Some(stack),
        events: &sink,
        parallel: Some(4),
        cancel: &cancel,
        lock: None,
    };
    let result = execute(&execution, plan);
    (result, events.into_inner().expect("no panic"))
}

fn bring_up(fake: &Fake, stack: &Stack) -> (Result<Done, ExecuteError>, Vec<Event>) {
    let plan = up(&stack.desired, &observe(fake), &options()).expect("a plan");
    run(fake, stack, &plan)
}

fn failures(result: Result<Done, ExecuteError>) -> Vec<Failure> {
    match result {
        Err(ExecuteError::Failed(failures)) => failures,
        other => panic!("expected failures, not {other:?}"),
    }
}

fn position(calls: &[String], call: &str) -> usize {
    calls
        .iter()
        .position(|c| c == call)
        .unwrap_or_else(|| panic!("`{call}` is not in {calls:?}"))
}

#[test]
fn all_are_prepared_before_conditions_hold_and_started_in_order() {
    let fake = Fake::default();
    fake.behave("db", Behaviour::Healthy);
    fake.behave("init", Behaviour::Ends(0));
    let stack = stack(project(&[
        ("web", &["db:healthy", "init:completed"]),
        ("init", &["db:healthy"]),
        ("db", &[]),
    ]));
    bring_up(&fake, &stack).0.expect("up");
    let calls = fake.calls();
    let web = position(&calls, "start t-web-1");
    assert!(position(&calls, "start t-db-1") < position(&calls, "start t-init-1"));
    assert!(position(&calls, "start t-init-1") < web);
    for name in ["db", "init", "web"] {
        assert!(position(&calls, &format!("prepare t-{name}-1")) < web);
    }
}

#[test]
fn a_second_up_does_nothing() {
    let fake = Fake::default();
    let stack = stack(project(&[("web", &["db"]), ("db", &[])]));
    bring_up(&fake, &stack).0.expect("up");
    fake.forget();
    // The fake names images by reference.
    bring_up(&fake, &stack).0.expect("up again");
    assert_eq!(fake.calls(), Vec::<String>::new());
}

#[test]
fn an_unhealthy_dependency_is_reported_once_with_everything() {
    let fake = Fake::default();
    fake.behave("db", Behaviour::Unhealthy);
    let stack = stack(project(&[
        ("web", &["db:healthy"]),
        ("worker", &["db:healthy"]),
        ("front", &["web"]),
        ("other", &[]),
        ("db", &[]),
    ]));
    let failures = failures(bring_up(&fake, &stack).0);
    assert_eq!(failures.len(), 1);
    let failure = &failures[0];
    assert_eq!(failure.service.as_deref(), Some("db"));
    assert_eq!(failure.waiting, ["web", "front", "worker"]);
    assert_eq!(
        failure.render(&str::to_owned),
        "error: service `db` is unhealthy after 3 failed probes
  probe, exit code 1:
    probe says so
  last lines of `t-db-1`:
    last words of t-db-1
  waiting for it: `web`, `front`, `worker`
"
    );
    let calls = fake.calls();
    assert!(calls.contains(&"start t-other-1".to_owned()));
    assert!(!calls.contains(&"start t-front-1".to_owned()));
}

#[test]
fn a_failed_one_shot_says_its_code() {
    let fake = Fake::default();
    fake.behave("migrate", Behaviour::Ends(3));
    let stack = stack(project(&[
        ("web", &["migrate:completed"]),
        ("migrate", &[]),
    ]));
    let failures = failures(bring_up(&fake, &stack).0);
    assert_eq!(
        failures[0].summary(),
        "service `migrate` didn't complete successfully: exited with code 3"
    );
}

#[test]
fn waiting_for_health_without_a_probe_is_an_error_with_a_hint() {
    let fake = Fake::default();
    let stack = stack(project(&[("web", &["db:healthy"]), ("db", &[])]));
    let failures = failures(bring_up(&fake, &stack).0);
    let text = failures[0].render(&str::to_owned);
    assert!(text.contains("has no healthcheck configured"), "{text}");
    assert!(text.contains("hint: give `db` a `healthcheck`"), "{text}");
}

#[test]
fn an_optional_dependency_may_fail() {
    let fake = Fake::default();
    fake.behave("cache", Behaviour::Unhealthy);
    fake.behave("mail", Behaviour::FailsToStart);
    let stack = stack(project(&[("web", &["cache:healthy?"]), ("cache", &[])]));
    let (result, events) = bring_up(&fake, &stack);
    result.expect("goes on");
    assert!(events.iter().any(|event| matches!(
        event,
        Event::Warning(text) if text.contains("optional dependency `cache` of `web`")
    )));
}

#[test]
fn a_container_that_cannot_start_stops_its_dependents_only() {
    let fake = Fake::default();
    fake.behave("db", Behaviour::FailsToStart);
    let stack = stack(project(&[("web", &["db"]), ("db", &[]), ("other", &[])]));
    let failures = failures(bring_up(&fake, &stack).0);
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].waiting, ["web"]);
    assert!(fake.calls().contains(&"start t-other-1".to_owned()));
}

#[test]
fn recreation_moves_aside_creates_and_removes_in_that_order() {
    let fake = Fake::default();
    let before = stack(project(&[("web", &[])]));
    bring_up(&fake, &before).0.expect("up");
    let mut changed = project(&[("web", &[])]);
    if let Some(web) = changed.services.get_mut("web") {
        web.hostname = "other".to_owned();
    }
    fake.forget();
    let after = stack(changed);
    bring_up(&fake, &after).0.expect("up");
    assert_eq!(
        fake.calls(),
        [
            "stop t-web-1",
            "rename t-web-1",
            "create t-web-1",
            "remove 000000000001_t-web-1",
            "prepare t-web-1",
            "start t-web-1",
        ]
    );
}

#[test]
fn hooks_run_after_start_and_before_stop() {
    let hook = |word: &str| model::Hook {
        command: model::Nullable(Some(vec![word.to_owned()])),
        ..model::Hook::default()
    };
    let mut project = project(&[("web", &[])]);
    if let Some(web) = project.services.get_mut("web") {
        web.post_start = vec![hook("hello")];
        web.pre_stop = vec![hook("false")];
    }
    let fake = Fake::default();
    let stack = stack(project);
    bring_up(&fake, &stack).0.expect("up");
    let options = DownOptions {
        services: Vec::new(),
        volumes: Volumes::Keep,
        images: Vec::new(),
        orphans: false,
        timeout: None,
    };
    let plan = down("t", Some(&stack.desired), &observe(&fake), &options).expect("a plan");
    run(&fake, &stack, &plan)
        .0
        .expect("a broken hook does not keep it up");
    assert_eq!(
        fake.calls(),
        [
            "create t-web-1",
            "prepare t-web-1",
            "start t-web-1",
            "exec [hello] in t-web-1",
            "exec [false] in t-web-1",
            "stop t-web-1",
            "remove t-web-1",
        ]
    );
}

#[test]
fn down_removes_dependents_first() {
    let fake = Fake::default();
    let stack = stack(project(&[("web", &["db"]), ("db", &[])]));
    bring_up(&fake, &stack).0.expect("up");
    fake.forget();
    let options = DownOptions {
        services: Vec::new(),
        volumes: Volumes::Remove,
        images: Vec::new(),
        orphans: false,
        timeout: None,
    };
    // From labels alone.
    let plan = down("t", None, &observe(&fake), &options).expect("a plan");
    run(&fake, &stack, &plan).0.expect("down");
    assert_eq!(
        fake.calls(),
        [
            "stop t-web-1",
            "remove t-web-1",
            "stop t-db-1",
            "remove t-db-1"
        ]
    );
}

#[test]
fn a_cancelled_run_begins_nothing() {
    let fake = Fake::default();
    let stack = stack(project(&[("web", &[])]));
    let plan = up(&stack.desired, &observe(&fake), &options()).expect("a plan");
    let cancel = Cancel::default();
    cancel.cancel();
    let execution = Execution {
        backend: &fake,
        project: "t",
        stack: Some(&stack),
        events: &|_| {},
        parallel: None,
        cancel: &cancel,
        lock: None,
    };
    assert!(matches!(
        execute(&execution, &plan),
        Err(ExecuteError::Cancelled)
    ));
    assert_eq!(fake.calls(), Vec::<String>::new());
}

#[test]
fn waiting_ends_when_ready_when_failed_and_when_time_is_up() {
    let cases: [(Behaviour, Option<&str>); 4] = [
        (Behaviour::Runs, None),
        (Behaviour::Healthy, None),
        (Behaviour::Ends(0), None),
        (Behaviour::Ends(1), Some("service `web` exited with code 1")),
    ];
    for (behaviour, expected) in cases {
        let fake = Fake::default();
        fake.behave("web", behaviour);
        let stack = stack(project(&[("web", &[])]));
        bring_up(&fake, &stack).0.expect("up");
        let execution = Execution {
            backend: &fake,
            project: "t",
            stack: Some(&stack),
            events: &|_| {},
            parallel: None,
            cancel: &Cancel::default(),
            lock: None,
        };
        let limit = Some(Duration::from_secs(5));
        let result = wait::wait(&execution, &stack.desired, &["web".to_owned()], limit);
        assert_eq!(result.err().map(|e| e.to_string()).as_deref(), expected);
    }
}

#[test]
fn labels_are_docker_composes() {
    let fake = Fake::default();
    fake.behave("db", Behaviour::Healthy);
    let stack = stack(project(&[("web", &["db:healthy"]), ("db", &[])]));
    bring_up(&fake, &stack).0.expect("up");
    let containers = fake.containers(&[(labels::SERVICE, "web")]).expect("one");
    let wanted: BTreeMap<_, _> = [
        (labels::PROJECT, "t"),
        (labels::SERVICE, "web"),
        (labels::NUMBER, "1"),
        (labels::ONE_OFF, "False"),
        (labels::DEPENDS_ON, "db:service_healthy:false"),
    ]
    .into();
    for (key, value) in wanted {
        assert_eq!(containers[0].label(key), Some(value), "{key}");
    }
    assert_eq!(
        containers[0].label(labels::CONFIG_HASH).map(str::len),
        Some(64)
    );
}
