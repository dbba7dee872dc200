//! `config --resolve-image-digests` and `--lock-image-digests` against a registry of one manifest.

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use support::Sandbox;

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":2},"layers":[]}"#;
const DIGEST: &str = "sha256:ef3a0b8e1cb2e64f17653d566237f2fc20cf04cece5062b7dd10a78f9def7ee0";

/// Serves `app:1`; the thread ends with the process.
fn registry() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines();
            let request = lines.next().and_then(Result::ok).unwrap_or_default();
            // The rest of the head, so that closing does not reset the connection.
            for line in lines.map_while(Result::ok) {
                if line.is_empty() {
                    break;
                }
            }
            let (status, body) = match request.split(' ').nth(1) {
                Some("/v2/") => ("200 OK", ""),
                Some("/v2/app/manifests/1") => ("200 OK", MANIFEST),
                _ => ("404 Not Found", ""),
            };
            let _ = write!(
                &stream,
                "HTTP/1.1 {status}\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    port
}

#[test]
fn names_become_digests() {
    let port = registry();
    let image = format!("127.0.0.1:{port}/app:1");
    let sandbox = Sandbox::of_compose(&format!(
        "services:\n  a:\n    image: {image}\n  b:\n    image: host\n  c:\n    build: .\n"
    ));
    let pinned = format!("{image}@{DIGEST}");
    assert_eq!(
        sandbox.ok(&["config", "--lock-image-digests"]).stdout(),
        format!("services:\n  a:\n    image: {pinned}\n  b:\n    image: host\n")
    );
    sandbox
        .ok(&["config", "--resolve-image-digests"])
        .expect_stdout(&[&pinned, "build:"]);
}

#[test]
fn a_name_without_a_digest_is_shown_where_it_is() {
    let port = registry();
    let sandbox = Sandbox::of_compose(&format!(
        "services:\n  a:\n    image: 127.0.0.1:{port}/nothing:1\n"
    ));
    sandbox
        .run(&["config", "--resolve-image-digests"])
        .expect_code(1)
        .expect_stderr(&["compose.yaml:3:12", "nothing:1", "does not exist"]);
    sandbox
        .run(&["config", "--resolve-image-digests", "--no-interpolate"])
        .expect_code(2);
}
