//! `image build URL`: an archive or a Dockerfile of a web server.

mod support;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;

use support::Sandbox;

/// Serves files on loopback until the test ends; gives the address.
fn serve(files: HashMap<&'static str, Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let address = listener.local_addr().expect("port");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut line = String::new();
            let mut reader = BufReader::new(&stream);
            // The headers end with an empty line.
            let _ = reader.read_line(&mut line);
            let mut header = String::new();
            while reader.read_line(&mut header).is_ok_and(|bytes| bytes > 2) {
                header.clear();
            }
            let path = line.split(' ').nth(1).unwrap_or_default();
            let (status, body) = match files.get(path) {
                Some(body) => ("200 OK", body.as_slice()),
                None => ("404 Not Found", &b"no"[..]),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // A client that went away is no fault of the server.
            let _ = (&stream).write_all(&[head.as_bytes(), body].concat());
        }
    });
    format!("http://{address}")
}

#[test]
fn a_url_is_an_archive_or_a_dockerfile() {
    need_kernel!();
    need_program!("tar");
    let sandbox = Sandbox::new();
    sandbox.write("Dockerfile", "FROM scratch\nCOPY f /from-archive\n");
    sandbox.write("f", "text");
    let archive = Command::new("tar")
        .args(["-czf", "-", "Dockerfile", "f"])
        .current_dir(sandbox.project())
        .output()
        .expect("tar");
    let alone = "FROM host\nLABEL is=alone\nRUN echo it-ran\n";
    let server = serve(HashMap::from([
        ("/context.tar.gz", archive.stdout),
        ("/plain", alone.into()),
        ("/copies", "FROM scratch\nCOPY f /f\n".into()),
        ("/binary", vec![7, 0, 7]),
        ("/empty", Vec::new()),
    ]));
    let build = |path: &str| {
        let url = format!("{server}{path}");
        sandbox.run(&["image", "build", "--progress", "plain", "-t", "it", &url])
    };
    build("/context.tar.gz")
        .expect_code(0)
        .expect_stderr(&["COPY f /from-archive"]);
    build("/plain").expect_code(0).expect_stderr(&["it-ran"]);
    let label = ["image", "inspect", "-f", "{{.Config.Labels.is}}", "it"];
    assert_eq!(sandbox.ok(&label).stdout(), "alone\n");
    // There is nothing beside it.
    build("/copies")
        .expect_code(1)
        .expect_stderr(&["COPY f /f", "Dockerfile:2"]);
    for nothing in ["/binary", "/empty"] {
        build(nothing)
            .expect_code(1)
            .expect_stderr(&[nothing, "neither a tar archive nor a Dockerfile"]);
    }
    build("/gone")
        .expect_code(1)
        .expect_stderr(&["/gone", "404"]);
    sandbox.finish();
}
