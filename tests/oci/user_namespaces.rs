//! User namespaces of a bundle: new ones with mappings, joined ones, and what contradicts itself.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};

use serde_json::{Value, json};

use crate::bundle::{Bundle, ID};

/// Adds a user namespace, and has the root belong to it.
fn with_user_namespace(bundle: &mut Bundle, namespace: Value, mapped: bool) {
    let namespaces = bundle.config["linux"]["namespaces"]
        .as_array_mut()
        .expect("a list");
    namespaces.push(namespace);
    if mapped {
        let map = json!([{"containerID": 0, "hostID": 700_000, "size": 2000}]);
        bundle.change(json!({"linux": {"uidMappings": map, "gidMappings": map}}));
    }
    for name in ["", "etc", "work", "tmp"] {
        chown(bundle.root(name), Some(700_000), Some(700_000)).expect("given away");
    }
    // Mount points that its root could not make: it has no rights over what is not mapped.
    for name in ["proc", "dev", "usr", "bin", "sbin", "lib", "lib64"] {
        let path = bundle.root(name);
        if !path.exists() && path.symlink_metadata().is_err() {
            fs::create_dir(&path).expect("a mount point");
        }
    }
}

#[test]
fn a_new_one_has_the_mappings_of_the_bundle() {
    need_kernel!();
    let script = "id -u; cat /proc/self/uid_map; : > /work/file; tr '\\0' '\\n' < /dev/null; ip link set lo down && echo net";
    let mut bundle = Bundle::script(script);
    with_user_namespace(&mut bundle, json!({"type": "user"}), true);
    let every = json!(["CAP_NET_ADMIN"]);
    bundle.change(json!({"process": {"capabilities": {
        "bounding": every, "permitted": every, "effective": every,
    }}}));
    // Who is nobody here must not be kept out by the way to the bundle.
    fs::set_permissions(&bundle.dir, fs::Permissions::from_mode(0o700)).expect("mode");
    let told = bundle.run();
    let words: Vec<&str> = told.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "700000", "2000", "net"]);
    let made = fs::metadata(bundle.root("work/file")).expect("made");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), 700_000);
    bundle.finish();
}

#[test]
fn exec_and_another_container_enter_it() {
    need_kernel!();
    let mut bundle = Bundle::new(&["sleep", "60"]);
    with_user_namespace(&mut bundle, json!({"type": "user"}), true);
    bundle.ok(&["create", ID]);
    bundle.ok(&["start", ID]);
    let told = bundle.ok(&["exec", ID, "sh", "-c", "id -u; : > /work/further"]);
    assert_eq!(told.stdout(), "0\n");
    let state: Value = serde_json::from_str(&bundle.ok(&["state", ID]).stdout()).expect("JSON");
    let path = format!("/proc/{}/ns/user", state["pid"]);

    let mut other = Bundle::new(&["sh", "-c", "cat /proc/self/uid_map"]);
    with_user_namespace(&mut other, json!({"type": "user", "path": path}), false);
    let told = other.run();
    let words: Vec<&str> = told.split_whitespace().collect();
    assert_eq!(words, ["0", "700000", "2000"]);
    let both = json!([{"containerID": 0, "hostID": 1, "size": 1}]);
    other.change(json!({"linux": {"uidMappings": both}}));
    other
        .oci(&["create", ID])
        .expect_code(1)
        .expect_stderr(&["has its mappings already"]);
    other.finish();
    bundle.ok(&["delete", "-f", ID]);
    bundle.finish();
}

#[test]
fn contradictions_are_named() {
    need_kernel!();
    let map = |first: u32| json!([{"containerID": first, "hostID": 700_000, "size": 2000}]);
    let mut bundle = Bundle::new(&["true"]);
    bundle.change(json!({"linux": {"uidMappings": map(0), "gidMappings": map(0)}}));
    let refused = |bundle: &Bundle, part: &str| {
        let run = bundle.oci(&["create", ID]);
        run.expect_code(1).expect_stderr(&[part]);
        bundle.assert_clean();
    };
    refused(&bundle, "`user` namespace, which is not listed");
    with_user_namespace(&mut bundle, json!({"type": "user"}), false);
    bundle.change(json!({"linux": {"gidMappings": map(5)}}));
    refused(
        &bundle,
        "`linux.gidMappings` of a `user` namespace must have an entry for id 0",
    );
    bundle.finish();
}
