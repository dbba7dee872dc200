use oci_spec::runtime::{LinuxDeviceType, Spec};
use proptest::prelude::*;

use super::file::File;
use super::*;

const GPU: &str = "
cdiVersion: 0.6.0
kind: example.com/gpu
containerEdits:
  env: [GENERAL=1, PATH=/gpu]
devices:
  - name: \"0\"
    containerEdits:
      deviceNodes: [{path: /dev/gpu0, hostPath: /dev/null}]
      additionalGids: [44, 0]
  - name: all
    containerEdits:
      env: [ALL=1]
      deviceNodes: [{path: /dev/gpu, type: c, major: 195, minor: 3, permissions: rw, fileMode: 438}]
      mounts: [{hostPath: /usr/lib, containerPath: /gpu/lib, options: [ro, rbind]}]
      hooks: [{hookName: createContainer, path: /bin/hook, args: [hook, ldcache]}]
";

fn described(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn found(dir: &tempfile::TempDir, names: &[&str]) -> Result<Spec, CdiError> {
    let directories = ["etc", "run"].map(|name| dir.path().join(name));
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let edits = find_below(&directories, &names)?;
    let mut spec = Spec::default();
    edits.apply(&mut spec);
    Ok(spec)
}

#[test]
fn names_and_paths_are_told_apart() {
    for name in [
        "nvidia.com/gpu=all",
        "v/c=0",
        "nvidia.com/gpu=1:0",
        "a-b_c.d/x-y=GPU-1.2",
    ] {
        assert!(is_name(name), "{name}");
    }
    for other in [
        "/dev/null",
        "gpu=all",
        "/gpu=all",
        "a/b",
        "a/b=",
        "1a/b=c",
        "a/b=c/d",
        "a/b=c:",
        "a/b=c d",
    ] {
        assert!(!is_name(other), "{other}");
    }
}

#[test]
fn requests_become_names() {
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let names = |driver, count, given: &[&str]| request(driver, count, &ids(given)).unwrap();
    assert_eq!(names("", -1, &[]), ["nvidia.com/gpu=all"]);
    assert_eq!(
        names("nvidia", 2, &[]),
        ["nvidia.com/gpu=0", "nvidia.com/gpu=1"]
    );
    assert_eq!(
        names("amd", 0, &["1", "3"]),
        ["amd.com/gpu=1", "amd.com/gpu=3"]
    );
    assert_eq!(names("cdi", 0, &["v.com/c=x"]), ["v.com/c=x"]);
    for (driver, given) in [
        ("cdi", &["x"][..]),
        ("cdi", &[]),
        ("tpu", &[]),
        ("", &["a b"]),
    ] {
        assert!(
            request(driver, -1, &ids(given)).is_err(),
            "{driver} {given:?}"
        );
    }
}

#[test]
fn devices_add_what_their_description_says() {
    let dir = described(&[("etc/gpu.yaml", GPU)]);
    let spec = found(&dir, &["example.com/gpu=0", "example.com/gpu=all"]).unwrap();
    let process = spec.process().as_ref().unwrap();
    let env = process.env().as_ref().unwrap();
    assert_eq!(env.iter().filter(|entry| *entry == "GENERAL=1").count(), 1);
    assert!(env.contains(&"ALL=1".to_owned()) && env.contains(&"PATH=/gpu".to_owned()));
    assert_eq!(
        env.iter()
            .filter(|entry| entry.starts_with("PATH="))
            .count(),
        1
    );
    assert_eq!(process.user().additional_gids().as_deref(), Some(&[44][..]));
    let devices = spec.linux().as_ref().unwrap().devices().as_ref().unwrap();
    let node = |path: &str| {
        devices
            .iter()
            .find(|d| d.path() == Path::new(path))
            .unwrap()
    };
    assert_eq!(
        (node("/dev/gpu0").major(), node("/dev/gpu0").minor()),
        (1, 3)
    );
    assert_eq!(
        (node("/dev/gpu").major(), node("/dev/gpu").typ()),
        (195, LinuxDeviceType::C)
    );
    assert_eq!(node("/dev/gpu").file_mode(), Some(0o666));
    let mounts = spec.mounts().as_ref().unwrap();
    assert_eq!(mounts.last().unwrap().destination(), Path::new("/gpu/lib"));
    let hooks = spec.hooks().as_ref().unwrap().create_container();
    assert_eq!(hooks.as_ref().unwrap()[0].path(), Path::new("/bin/hook"));
    let names = ["example.com/gpu=all".to_owned()];
    let rules = find_below(&[dir.path().join("etc")], &names).unwrap();
    let rules: Vec<_> = rules.rules().collect();
    assert_eq!(
        (rules[0].major(), rules[0].access().as_deref()),
        (Some(195), Some("rw"))
    );
}

#[test]
fn a_later_directory_counts_more_and_one_directory_must_agree() {
    let newer = GPU.replace("ALL=1", "ALL=2");
    let dir = described(&[("etc/gpu.yaml", GPU), ("run/gpu.json", &newer)]);
    let spec = found(&dir, &["example.com/gpu=all"]).unwrap();
    let env = spec.process().as_ref().unwrap().env().clone().unwrap();
    assert!(env.contains(&"ALL=2".to_owned()));
    let dir = described(&[("etc/a.yaml", GPU), ("etc/b.yaml", GPU)]);
    let error = found(&dir, &["example.com/gpu=0"]).unwrap_err();
    assert!(matches!(error, CdiError::Conflict { .. }), "{error}");
}

#[test]
fn what_cannot_be_done_is_named() {
    let with = |edit: &str| {
        format!(
            "cdiVersion: 1.0.0\nkind: v.com/c\ndevices: [{{name: x, containerEdits: {{{edit}}}}}]"
        )
    };
    for (text, part) in [
        (
            with("deviceNodes: [{path: /dev/missing-device}]"),
            "/dev/missing-device",
        ),
        (with("intelRdt: {closID: a}"), "`intelRdt`"),
        (
            with("netDevices: [{hostInterfaceName: a, name: b}]"),
            "`netDevices`",
        ),
        (
            with("hooks: [{hookName: poststop, path: /x}]"),
            "`poststop`",
        ),
        (with("colour: red"), "colour"),
        (
            "cdiVersion: 2.0.0\nkind: v.com/c\ndevices: [{name: x}]".to_owned(),
            "`2.0.0`",
        ),
        ("{".to_owned(), "described below"),
    ] {
        let dir = described(&[("etc/x.yaml", &text)]);
        let error = found(&dir, &["v.com/c=x"]).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_description_or_refused(text in ".{0,300}") {
        let _ = File::parse(&text);
        let _ = is_name(&text);
    }
}
