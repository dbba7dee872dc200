//! Wrong Dockerfiles, image archives and image names.

use std::fs;

use super::{UP, refuse, refuse_args};
use crate::support::Sandbox;

#[test]
fn a_wrong_dockerfile_is_refused_at_its_line() {
    crate::need_kernel!();
    let sandbox = Sandbox::new();
    let table: &[(&[u8], &[&str])] = &[
        (b"", &["Dockerfile", "empty", "FROM"]),
        (b"FROM host\nFRMO x\n", &["Dockerfile:2:1", "`FRMO`"]),
        (b"RUN x\n", &["Dockerfile:1:1", "before FROM"]),
        (
            b"FROM host\nRUN echo words; exit 7\n",
            &["words", "exit code: 7", "Dockerfile:2:1"],
        ),
        (
            b"FROM host\nRUN nosuchprogram\n",
            &["127", "Dockerfile:2:1"],
        ),
        (
            b"FROM host\nCOPY nope.txt /x\n",
            &["`/nope.txt` not found", "Dockerfile:2:1"],
        ),
        (
            b"FROM host\nCOPY --bogus a b\n",
            &["`--bogus`", "--chown", "Dockerfile:2:1"],
        ),
        (b"FROM host\n\0\xff\n", &["Dockerfile:2:1"]),
        (b"FROM ${NOPE}\n", &["${NOPE}", "Dockerfile:1:1"]),
        (
            b"FROM host\nRUN <<EOF\necho\n",
            &["heredoc `EOF`", "Dockerfile:2:1"],
        ),
        (
            b"FROM 127.0.0.1:9/x:1\n",
            &["127.0.0.1:9/x:1", "Dockerfile:1:1"],
        ),
        (b"FROM host\nUSER\n", &["Dockerfile:2:1"]),
        (b"FROM host\nEXPOSE x\n", &["Dockerfile:2:1"]),
    ];
    sandbox.write("compose.yaml", "services:\n  web:\n    build: .\n");
    for (text, pieces) in table {
        fs::write(sandbox.project().join("Dockerfile"), text).expect("Dockerfile");
        for args in [&["build"][..], &["image", "build", "."]] {
            refuse_args(&sandbox, args, 1, pieces);
        }
    }
    fs::write(sandbox.project().join("Dockerfile"), "FROM host AS a\n").expect("Dockerfile");
    for (line, pieces) in [
        ("image build --target nope .", &["`nope`"][..]),
        ("image build -f nope .", &["`nope`"]),
        ("image build -f . .", &["Is a directory"]),
        ("image build nope", &["build context `nope`"]),
        ("image build -t UP .", &["lower case"]),
        ("image build --platform x/y .", &["x/y"]),
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        refuse_args(&sandbox, &args, 1, pieces);
    }
    sandbox.finish();
}

/// A tar archive of files.
fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // Names as they are: `append_data` would refuse the hostile ones.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, *content).expect("entry");
    }
    archive.into_inner().expect("archive")
}

#[test]
fn a_damaged_archive_is_refused_and_leaves_no_image() {
    crate::need_kernel!();
    use sha2::Digest as _;
    let sandbox = Sandbox::new();
    let layer = tar(&[("file", b"text")]);
    let digest: String = sha2::Sha256::digest(&layer)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let config = |digest: &str| {
        format!(
            r#"{{"architecture":"{}","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}}}}"#,
            if cfg!(target_arch = "x86_64") {
                "amd64"
            } else {
                "arm64"
            }
        )
    };
    let manifest =
        |layer: &str| format!(r#"[{{"Config":"c.json","RepoTags":["x:1"],"Layers":["{layer}"]}}]"#);
    let image = |manifest: &str, config: &str, layer: &[u8]| {
        tar(&[
            ("manifest.json", manifest.as_bytes()),
            ("c.json", config.as_bytes()),
            ("l.tar", layer),
        ])
    };
    let (right, other) = (config(&digest), config(&"0".repeat(64)));
    let good = image(&manifest("l.tar"), &right, &layer);
    let outside = tar(&[("../../../escape", b"x")]);
    let table: &[(&[u8], &[&str])] = &[
        (b"", &["not an image archive"]),
        (b"this is no archive, only some text", &["damaged"]),
        (&[0x55; 4096], &["damaged"]),
        (b"\x1f\x8b\x08\0garbage", &[]),
        (&good[..good.len() / 2], &["ends in the middle"]),
        (&tar(&[("x", b"1")]), &["manifest.json"]),
        (&tar(&[("manifest.json", b"{nope")]), &["manifest.json"]),
        (&tar(&[("manifest.json", b"[]")]), &[]),
        (&image(&manifest("zz.tar"), &right, &layer), &["`zz.tar`"]),
        (
            &image(&manifest("../../etc/passwd"), &right, &layer),
            &["does not hold"],
        ),
        (&image(&manifest("l.tar"), "{", &layer), &[]),
        (&image(&manifest("l.tar"), &right, &[0x55; 900]), &[]),
        (
            &image(&manifest("l.tar"), &other, &layer),
            &["should be", "unpacks to"],
        ),
        (&image(&manifest("l.tar"), &right, &outside), &[]),
    ];
    let file = sandbox.project().join("image.tar");
    for (bytes, pieces) in table {
        fs::write(&file, bytes).expect("archive");
        refuse_args(&sandbox, &["image", "load", "-i", "image.tar"], 1, pieces);
    }
    refuse_args(
        &sandbox,
        &["image", "load", "-i", "nope.tar"],
        1,
        &["nope.tar"],
    );
    refuse_args(
        &sandbox,
        &["image", "load", "-i", "."],
        1,
        &["Is a directory"],
    );
    assert!(!sandbox.ok(&["image", "ls"]).stdout().contains("x "));
    // The one that is right shows that the others were wrong only in what they should be.
    fs::write(&file, &good).expect("archive");
    sandbox.ok(&["image", "load", "-i", "image.tar"]);
    assert!(!sandbox.root().join("escape").exists());
    sandbox.finish();
}

#[test]
fn a_wrong_image_name_is_explained() {
    crate::need_kernel!();
    let sandbox = Sandbox::new();
    for (name, piece) in [
        ("UPPER:x", "lower case"),
        ("a b", "a b"),
        ("x@sha256:123", "digest"),
        ("\"x:\"", "a tag is"),
        ("127.0.0.1:9/nothing:1", "127.0.0.1:9"),
    ] {
        let compose = format!("services:\n  web:\n    image: {name}\n");
        refuse(&sandbox, compose.as_bytes(), UP, 1, &[piece]);
    }
    sandbox.finish();
}
