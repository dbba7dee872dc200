//! Networks and volumes that are missing, changed or somebody else's.

use super::*;

#[test]
fn a_changed_network_is_made_anew_between_stop_and_start() {
    let mut desired = project();
    desired.networks["default"].config_hash = "h2".to_owned();
    check(
        &desired,
        &observed(running()),
        &options(),
        "[] #1 container blog-db-1 stop network default changed
         [] #2 container blog-web-1 stop network default changed
         [1,2] #3 network blog_default remove network default changed
         [3] #4 network default create network default changed
         [1,4] #5 service db/1 start network default changed
         [2,4,5] #6 service web/1 start network default changed",
    );
    // Who takes no part is on it too; an orphan that goes does not come back.
    let only_db = UpOptions {
        services: vec!["db".to_owned()],
        orphans: Orphans::Removed,
        ..options()
    };
    let mut standing = running().to_vec();
    standing.push(container("old", 1, "o1"));
    check(
        &desired,
        &observed(standing),
        &only_db,
        "[] #1 container blog-db-1 stop network default changed
         [] #2 container blog-web-1 stop network default changed
         [] #3 container blog-old-1 stop network default changed
         [1,2,3] #4 network blog_default remove network default changed
         [4] #5 network default create network default changed
         [] #6 container blog-old-1 remove orphan
         [1,5] #7 service db/1 start network default changed
         [2,5] #8 service web/1 start network default changed",
    );
}

#[test]
fn a_changed_network_replaces_who_cannot_simply_be_started_on_it() {
    let mut desired = project();
    desired.networks["default"].config_hash = "h2".to_owned();
    desired.services["web"].networks.clear();
    desired.services["web"].tied_to.insert("db".to_owned());
    desired.services["web"].joined.insert("db".to_owned());
    let mut standing = running();
    let web = standing.iter_mut().find(|c| c.name == "blog-web-1");
    let web = web.expect("web");
    web.networks.clear();
    web.joined = vec![ContainerId("db1".to_owned())];
    check(
        &desired,
        &observed(standing),
        &options(),
        "[] #1 container blog-db-1 stop network default changed
         [1] #2 network blog_default remove network default changed
         [2] #3 network default create network default changed
         [1,3] #4 service db/1 recreate network default changed
         [4] #5 service web/1 recreate dependency db recreated
         [4] #6 service db/1 start network default changed
         [5,6] #7 service web/1 start dependency db recreated",
    );
}

#[test]
fn a_foreign_network_is_used_with_a_warning() {
    let mut observed = observed(running());
    for network in observed.networks.values_mut() {
        network.labels.clear();
    }
    let plan = up(&project(), &observed, &options()).expect("a plan");
    assert!(plan.is_empty());
    assert!(matches!(
        plan.warnings.as_slice(),
        [Warning::Unlabelled {
            kind: "network",
            ..
        }]
    ));
}

#[test]
fn a_changed_volume_keeps_its_data_unless_told_otherwise() {
    let mut desired = project();
    desired.volumes["data"].config_hash = "h2".to_owned();
    let plan = up(&desired, &observed(running()), &options()).expect("a plan");
    assert!(plan.is_empty());
    assert_eq!(
        plan.warnings,
        [Warning::VolumeKept {
            name: "blog_data".to_owned()
        }]
    );
    let recreated = UpOptions {
        changed_volumes: ChangedVolumes::Recreated,
        ..options()
    };
    check(
        &desired,
        &observed(running()),
        &recreated,
        "[] #1 container blog-db-1 remove volume data changed
         [1] #2 volume blog_data remove volume data changed
         [2] #3 volume data create volume data changed
         [3] #4 service db/1 create volume data changed
         [4] #5 service db/1 start volume data changed",
    );
}

#[test]
fn who_shares_the_namespaces_of_a_bystander_comes_back_after_it() {
    let mut desired = project();
    desired.networks["default"].config_hash = "h2".to_owned();
    let mut sharer = container("app", 1, "a1");
    sharer.networks.clear();
    sharer.joined = vec![ContainerId("web1".to_owned())];
    desired.services.insert("app".to_owned(), service("a1"));
    let mut standing = running().to_vec();
    standing.insert(0, sharer);
    let only_db = UpOptions {
        services: vec!["db".to_owned()],
        start: Start::No,
        ..options()
    };
    // What ran and takes no part runs again where nothing else is started.
    check(
        &desired,
        &observed(standing),
        &only_db,
        "[] #1 container blog-db-1 stop network default changed
         [] #2 container blog-web-1 stop network default changed
         [] #3 container blog-app-1 stop network default changed
         [1,2,3] #4 network blog_default remove network default changed
         [4] #5 network default create network default changed
         [2,5] #6 service web/1 start network default changed
         [3,5,6] #7 service app/1 start network default changed",
    );
}

#[test]
fn a_service_that_is_planned_around_keeps_its_containers() {
    let mut desired = project();
    desired.services["web"].config_hash = "w2".to_owned();
    let around = UpOptions {
        services: vec!["web".to_owned()],
        around: Some("web".to_owned()),
        ..options()
    };
    check(&desired, &observed(running()), &around, "");
    check(
        &desired,
        &observed([]),
        &around,
        "[] #1 service db/1 create no container
         [1] #2 service db/1 start no container",
    );
    // On a network that is made anew they are as any other's.
    desired.networks["default"].config_hash = "h2".to_owned();
    check(
        &desired,
        &observed(running()),
        &around,
        "[] #1 container blog-db-1 stop network default changed
         [] #2 container blog-web-1 stop network default changed
         [1,2] #3 network blog_default remove network default changed
         [3] #4 network default create network default changed
         [1,4] #5 service db/1 start network default changed
         [2,4] #6 service web/1 start network default changed",
    );
}
