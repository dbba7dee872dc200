//! Services whose containers are tied to those of others.

use super::*;

#[test]
fn a_service_tied_to_a_recreated_one_is_recreated_after_it() {
    let mut desired = project();
    desired.services["db"].config_hash = "d2".to_owned();
    desired.services["web"].tied_to.insert("db".to_owned());
    check(
        &desired,
        &observed(running()),
        &options(),
        "[] #1 service db/1 recreate config changed
         [1] #2 service web/1 recreate dependency db recreated
         [1] #3 service db/1 start config changed
         [2,3] #4 service web/1 start dependency db recreated",
    );
}

#[test]
fn a_service_that_shares_the_namespaces_of_a_container_that_is_gone_is_recreated() {
    let mut desired = project();
    desired.services["web"].tied_to.insert("db".to_owned());
    desired.services["web"].joined.insert("db".to_owned());
    let mut standing = running();
    let join = |standing: &mut [Container], id: &str| {
        let web = standing.iter_mut().find(|c| c.name == "blog-web-1");
        web.expect("web").joined = vec![ContainerId(id.to_owned())];
    };
    join(&mut standing, "db1");
    check(&desired, &observed(standing.clone()), &options(), "");
    join(&mut standing, "former");
    check(
        &desired,
        &observed(standing),
        &options(),
        "[] #1 service web/1 recreate dependency db recreated
         [1] #2 service web/1 start dependency db recreated",
    );
}

#[test]
fn a_container_in_namespaces_is_not_given_up_for_one_that_cannot_join_others() {
    let mut desired = project();
    desired.services["web"].tied_to.insert("db".to_owned());
    desired.services["web"].joined.insert("db".to_owned());
    let mut standing = running();
    for container in &mut standing {
        container.joined = vec![ContainerId("former".to_owned())];
    }
    let only_web = UpOptions {
        services: vec!["web".to_owned()],
        dependencies: Dependencies::Ignored,
        ..options()
    };
    // There is none, it has another name, or it does not run and is not to be started.
    let of_web: Vec<Container> = standing
        .iter()
        .filter(|c| c.label(labels::SERVICE) == Some("web"))
        .cloned()
        .collect();
    check(&desired, &observed(of_web.clone()), &only_web, "");
    check(
        &desired,
        &observed(of_web),
        &options(),
        "[] #1 service db/1 create no container
         [1] #2 service web/1 recreate dependency db recreated
         [1] #3 service db/1 start no container
         [2,3] #4 service web/1 start dependency db recreated",
    );
    let change = |standing: &[Container], change: &dyn Fn(&mut Container)| {
        let mut changed = standing.to_vec();
        let db = changed
            .iter_mut()
            .find(|c| c.label(labels::SERVICE) == Some("db"));
        change(db.expect("db"));
        changed
    };
    let renamed = change(&standing, &|db| db.name = "blog-db-3".to_owned());
    check(&desired, &observed(renamed), &only_web, "");
    let created = change(&standing, &|db| db.state = State::Created);
    check(&desired, &observed(created), &only_web, "");
    check(
        &desired,
        &observed(standing),
        &only_web,
        "[] #1 service web/1 recreate dependency db recreated
         [1] #2 service web/1 start dependency db recreated",
    );
}
