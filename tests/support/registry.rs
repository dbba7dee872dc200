//! Debian's registry server on an ephemeral loopback port.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{find_program, wait_for};

/// What a registry asks of those who come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    Nothing,
    /// `user` and `password`.
    Password,
    /// To be spoken to over TLS; nobody knows its authority.
    Tls,
}

pub struct Registry {
    server: Child,
    pub address: String,
}

impl Registry {
    pub fn start(dir: &Path, wants: Wants) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .expect("port")
            .local_addr()
            .expect("port")
            .port();
        let address = format!("127.0.0.1:{port}");
        let mut config = format!(
            "version: 0.1\nlog: {{ level: error, accesslog: {{ disabled: true }} }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp:\n  addr: \"{address}\"\n",
            dir.join("registry").display()
        );
        match wants {
            Wants::Nothing => {}
            Wants::Password => {
                // `user:password` with bcrypt, as `htpasswd -B` writes it.
                let line = "user:$2y$05$Q8XQNhfMziQEJ924UsV49OWVveePHKUebHTr0WNhdozuQJw.FRjte\n";
                fs::write(dir.join("htpasswd"), line).expect("htpasswd");
                config += &format!(
                    "auth: {{ htpasswd: {{ realm: test, path: {} }} }}\n",
                    dir.join("htpasswd").display()
                );
            }
            Wants::Tls => {
                let (certificate, key) = self_signed(dir);
                config += &format!(
                    "  tls: {{ certificate: {}, key: {} }}\n",
                    certificate.display(),
                    key.display()
                );
            }
        }
        let file = dir.join(format!("registry-{port}.yml"));
        fs::write(&file, config).expect("registry.yml");
        let server = Command::new(find_program("docker-registry").expect("registry"))
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the registry starts");
        let registry = Self { server, address };
        wait_for(Duration::from_secs(20), || {
            TcpStream::connect(&registry.address).ok()
        })
        .expect("the registry answers");
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended already; the child is ours.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A certificate for loopback, its own authority, and its key. Needs the program `openssl`.
pub fn self_signed(dir: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (dir.join("registry.crt"), dir.join("registry.key"));
    let status = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args([
            "-subj",
            "/CN=test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status()
        .expect("openssl");
    assert!(status.success());
    (certificate, key)
}
