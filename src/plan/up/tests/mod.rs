mod resources;
mod ties;

use std::time::SystemTime;

use indexmap::IndexMap;

use super::super::desired::{Condition, Dependency, Resource};
use super::*;
use crate::backend::{Ended, Endpoint, Mounted, Network, State, Volume};
use crate::plan::labels;

fn options() -> UpOptions {
    UpOptions {
        services: Vec::new(),
        dependencies: Dependencies::Included,
        around: None,
        recreate: Recreate::Diverged,
        recreate_dependencies: Recreate::Diverged,
        anonymous: Anonymous::Inherited,
        changed_volumes: ChangedVolumes::Kept,
        orphans: Orphans::Reported,
        start: Start::Yes,
        timeout: None,
    }
}

/// `web -> db`, one network, one volume of `db`.
fn project() -> Desired {
    let mut services = IndexMap::new();
    services.insert("web".to_owned(), service("w1"));
    services.insert("db".to_owned(), service("d1"));
    depend(&mut services["web"], "db", Condition::Healthy, false);
    services["db"].volumes.push("data".to_owned());
    Desired {
        project: "blog".to_owned(),
        separator: '-',
        services,
        networks: resource("default", "blog_default"),
        volumes: resource("data", "blog_data"),
        ..Desired::default()
    }
}

fn resource(key: &str, name: &str) -> IndexMap<String, Resource> {
    IndexMap::from([(
        key.to_owned(),
        Resource {
            name: name.to_owned(),
            external: false,
            config_hash: "h".to_owned(),
        },
    )])
}

fn service(hash: &str) -> Service {
    Service {
        replicas: 1,
        config_hash: hash.to_owned(),
        image_id: Some("img".to_owned()),
        networks: vec!["default".to_owned()],
        ..Service::default()
    }
}

fn depend(service: &mut Service, on: &str, condition: Condition, restart: bool) {
    let dependency = Dependency {
        condition,
        required: true,
        restart,
    };
    service.depends_on.insert(on.to_owned(), dependency);
}

fn container(service: &str, number: u32, hash: &str) -> Container {
    let labels = [
        (labels::PROJECT, "blog".to_owned()),
        (labels::SERVICE, service.to_owned()),
        (labels::NUMBER, number.to_string()),
        (labels::CONFIG_HASH, hash.to_owned()),
        (labels::ONE_OFF, "False".to_owned()),
    ];
    let volume = Mounted {
        target: "/data".to_owned(),
        source: MountedSource::Volume("blog_data".to_owned()),
    };
    Container {
        id: ContainerId(format!("{service}{number}")),
        name: format!("blog-{service}-{number}"),
        image: "img".to_owned(),
        image_id: "img".to_owned(),
        command: Vec::new(),
        labels: labels.map(|(k, v)| (k.to_owned(), v)).into(),
        created: SystemTime::UNIX_EPOCH,
        state: State::Running,
        started: None,
        finished: None,
        health: None,
        ports: Vec::new(),
        networks: vec![Endpoint {
            network: "blog_default".to_owned(),
            address: None,
            aliases: Vec::new(),
        }],
        mounts: if service == "db" {
            vec![volume]
        } else {
            Vec::new()
        },
        joined: Vec::new(),
        tty: false,
        pid: None,
    }
}

fn observed(containers: impl IntoIterator<Item = Container>) -> Observed {
    let labels = |key: &str, value: &str| {
        [
            (labels::PROJECT, "blog"),
            (key, value),
            (labels::CONFIG_HASH, "h"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into()
    };
    let network = Network {
        name: "blog_default".to_owned(),
        id: "n".to_owned(),
        driver: "bridge".to_owned(),
        labels: labels(labels::NETWORK, "default"),
    };
    let volume = Volume {
        name: "blog_data".to_owned(),
        driver: "local".to_owned(),
        labels: labels(labels::VOLUME, "data"),
        mountpoint: "/v".into(),
    };
    Observed {
        containers: containers.into_iter().collect(),
        networks: [(network.name.clone(), network)].into(),
        volumes: [(volume.name.clone(), volume)].into(),
    }
}

fn running() -> [Container; 2] {
    [container("db", 1, "d1"), container("web", 1, "w1")]
}

#[track_caller]
fn check(desired: &Desired, observed: &Observed, options: &UpOptions, expected: &str) {
    let plan = up(desired, observed, options).expect("a plan");
    // Columns are aligned for people; tests read words.
    let words = |text: &str| {
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
    };
    assert_eq!(words(&plan.to_string()), words(expected), "\n{plan}");
}

#[test]
fn from_nothing_everything_is_created_at_once_and_started_in_order() {
    check(
        &project(),
        &Observed::default(),
        &options(),
        "[] #1 network default create not found
         [] #2 volume data create not found
         [1,2] #3 service db/1 create no container
         [1] #4 service web/1 create no container
         [3] #5 service db/1 start no container
         [4,5] #6 service web/1 start no container",
    );
}

#[test]
fn nothing_changed_is_an_empty_plan() {
    check(&project(), &observed(running()), &options(), "");
}

#[test]
fn rendering_is_aligned() {
    let plan = up(&project(), &Observed::default(), &options()).expect("a plan");
    let first = plan.to_string().lines().next().map(str::to_owned);
    assert_eq!(
        first.as_deref(),
        Some("[]    #1 network default create not found")
    );
}

#[test]
fn each_kind_of_divergence_has_its_reason() {
    type Change = fn(&mut Desired, &mut Observed);
    let cases: [(&str, Change); 5] = [
        ("config changed", |d, _| {
            d.services["db"].config_hash = "d2".to_owned();
        }),
        ("image changed", |d, _| {
            d.services["db"].image_id = Some("img2".to_owned());
        }),
        ("not on network default", |_, o| {
            o.containers[0].networks.clear();
        }),
        ("volume data not mounted", |_, o| {
            o.containers[0].mounts.clear();
        }),
        ("named 0123_blog-db-1", |_, o| {
            o.containers[0].name = "0123_blog-db-1".to_owned();
        }),
    ];
    for (reason, change) in cases {
        let mut desired = project();
        let mut observed = observed(running());
        change(&mut desired, &mut observed);
        check(
            &desired,
            &observed,
            &options(),
            &format!(
                "[] #1 service db/1 recreate {reason}
                 [1] #2 service db/1 start {reason}"
            ),
        );
    }
}

#[test]
fn dependents_with_restart_stop_before_and_start_after() {
    let mut desired = project();
    desired.services["db"].config_hash = "d2".to_owned();
    depend(&mut desired.services["web"], "db", Condition::Started, true);
    check(
        &desired,
        &observed(running()),
        &options(),
        "[] #1 container blog-web-1 stop dependency db restarts
         [1] #2 service db/1 recreate config changed
         [2] #3 service db/1 start config changed
         [1,3] #4 service web/1 start dependency db restarts",
    );
}

#[test]
fn recreate_modes_reach_what_they_name() {
    let forced = UpOptions {
        recreate: Recreate::Forced,
        services: vec!["web".to_owned()],
        ..options()
    };
    check(
        &project(),
        &observed(running()),
        &forced,
        "[] #1 service web/1 recreate forced
         [1] #2 service web/1 start forced",
    );
    let mut changed = project();
    changed.services["db"].config_hash = "d2".to_owned();
    let never = UpOptions {
        recreate: Recreate::Never,
        recreate_dependencies: Recreate::Never,
        ..options()
    };
    check(&changed, &observed(running()), &never, "");
    let dependencies = UpOptions {
        recreate_dependencies: Recreate::Forced,
        services: vec!["web".to_owned()],
        ..options()
    };
    check(
        &project(),
        &observed(running()),
        &dependencies,
        "[] #1 service db/1 recreate forced
         [1] #2 service db/1 start forced",
    );
}

#[test]
fn without_dependencies_only_the_named_take_part() {
    let alone = UpOptions {
        services: vec!["web".to_owned()],
        dependencies: Dependencies::Ignored,
        ..options()
    };
    check(
        &project(),
        &observed([]),
        &alone,
        "[] #1 service web/1 create no container
         [1] #2 service web/1 start no container",
    );
}

#[test]
fn anonymous_volumes_are_carried_over_unless_renewed() {
    let mut desired = project();
    desired.services["db"].config_hash = "d2".to_owned();
    let mut observed = observed(running());
    observed.containers[0].mounts.push(Mounted {
        target: "/cache".to_owned(),
        source: MountedSource::AnonymousVolume("anon".to_owned()),
    });
    let inherited = |options: &UpOptions, desired: &Desired| {
        let plan = up(desired, &observed, options).expect("a plan");
        plan.steps()
            .find_map(|(_, step)| match &step.operation {
                Operation::Create { inherit, .. } => Some(inherit.clone()),
                _ => None,
            })
            .expect("a create")
    };
    assert_eq!(
        inherited(&options(), &desired),
        [("/cache".to_owned(), "anon".to_owned())]
    );
    let renewed = UpOptions {
        anonymous: Anonymous::Renewed,
        ..options()
    };
    assert!(inherited(&renewed, &desired).is_empty());
    // Renewal alone is a reason.
    assert!(inherited(&renewed, &project()).is_empty());
}

#[test]
fn scaling_up_continues_the_numbers() {
    let mut desired = project();
    desired.services["web"].replicas = 3;
    check(
        &desired,
        &observed([container("db", 1, "d1"), container("web", 4, "w1")]),
        &options(),
        "[] #1 service web/5 create scale up
         [] #2 service web/6 create scale up
         [1] #3 service web/5 start scale up
         [2] #4 service web/6 start scale up",
    );
}

#[test]
fn scaling_down_removes_outdated_ones_first_then_high_numbers() {
    let mut desired = project();
    desired.services["web"].replicas = 1;
    check(
        &desired,
        &observed([
            container("db", 1, "d1"),
            container("web", 1, "old"),
            container("web", 2, "w1"),
            container("web", 3, "w1"),
        ]),
        &options(),
        "[] #1 container blog-web-1 remove scale down
         [] #2 container blog-web-3 remove scale down",
    );
    desired.services["web"].replicas = 0;
    check(
        &desired,
        &observed(running()),
        &options(),
        "[] #1 container blog-web-1 remove scale down",
    );
}

#[test]
fn a_fixed_name_has_one_container() {
    let mut desired = project();
    desired.services["web"].container_name = Some("front".to_owned());
    desired.services["web"].replicas = 2;
    assert!(matches!(
        up(&desired, &observed([]), &options()),
        Err(PlanError::FixedName { replicas: 2, .. })
    ));
}

#[test]
fn orphans_are_told_or_removed_and_switched_off_services_are_none() {
    let mut desired = project();
    desired.disabled.insert("debug".to_owned());
    let mut all = running().to_vec();
    all.extend([container("gone", 1, "x"), container("debug", 1, "x")]);
    let observed = observed(all);
    let plan = up(&desired, &observed, &options()).expect("a plan");
    assert!(plan.is_empty());
    assert_eq!(
        plan.warnings,
        [Warning::Orphans {
            project: "blog".to_owned(),
            containers: vec!["blog-gone-1".to_owned()]
        }]
    );
    let removed = UpOptions {
        orphans: Orphans::Removed,
        ..options()
    };
    check(
        &desired,
        &observed,
        &removed,
        "[] #1 container blog-gone-1 remove orphan",
    );
}

#[test]
fn stopped_containers_are_started_and_one_shots_run_again() {
    let mut observed = observed(running());
    observed.containers[0].state = State::Exited(Ended {
        code: 3,
        ..Ended::default()
    });
    observed.containers[1].state = State::Created;
    check(
        &project(),
        &observed,
        &options(),
        "[] #1 service db/1 start exited (3)
         [1] #2 service web/1 start created",
    );
    let no_start = UpOptions {
        start: Start::No,
        ..options()
    };
    check(&project(), &observed, &no_start, "");
}

#[test]
fn a_replaced_container_left_by_a_crash_is_removed() {
    let mut old = container("web", 1, "w0");
    old.name = "0123456789ab_blog-web-1".to_owned();
    old.id = ContainerId("old".to_owned());
    check(
        &project(),
        &observed([container("db", 1, "d1"), container("web", 1, "w1"), old]),
        &options(),
        "[] #1 container 0123456789ab_blog-web-1 remove replaced before",
    );
}

#[test]
fn missing_externals_and_unknown_services_are_errors_with_a_next_step() {
    let mut desired = project();
    desired.networks["default"].external = true;
    desired.networks["default"].name = "shared".to_owned();
    let error = up(&desired, &observed([]), &options()).expect_err("no network");
    assert_eq!(
        error.hint().as_deref(),
        Some("create it with `gantry network create shared`")
    );
    let unknown = UpOptions {
        services: vec!["wep".to_owned()],
        ..options()
    };
    let error = up(&project(), &observed([]), &unknown).expect_err("no service");
    assert_eq!(error.hint().as_deref(), Some("did you mean `web`?"));
}

#[test]
fn services_scaled_to_zero_are_not_waited_for() {
    let mut desired = project();
    desired.services["db"].replicas = 0;
    let plan = up(&desired, &observed([]), &options()).expect("a plan");
    for (_, step) in plan.steps() {
        if let Operation::Start { waits, .. } = &step.operation {
            assert!(waits.is_empty());
        }
    }
}
