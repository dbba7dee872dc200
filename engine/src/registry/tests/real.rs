//! Push, pull, authentication and uploads in pieces with Debian's `docker-registry`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{block, image, options, store};
use crate::image::{Reference, TransferState, quiet};
use crate::registry::{Credentials, RegistryError, RegistryOptions, pull, push};

/// A registry of this test alone, ended with it.
pub(crate) struct Registry {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Registry {
    /// Starts one; says why not.
    pub(crate) fn start(auth: bool) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let address = format!("127.0.0.1:{port}");
        let mut config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
            folder.path().join("data").display()
        );
        if auth {
            // user `gantry`, password `secret`
            let users = "gantry:$2b$04$JTJf6XqsQXq40HrCTNZRmeSVrO10240a1Olr3GvrFWd9iRWPSBkeq\n";
            std::fs::write(folder.path().join("users"), users).unwrap();
            config += &format!(
                "auth:\n  htpasswd:\n    realm: test\n    path: {}\n",
                folder.path().join("users").display()
            );
        }
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            eprintln!("skipped: no docker-registry program");
            return None;
        };
        let registry = Self {
            child,
            address,
            _folder: folder,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !registry.answers() {
            assert!(Instant::now() < deadline, "docker-registry does not answer");
            std::thread::yield_now();
        }
        Some(registry)
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(&self.address) else {
            return false;
        };
        let mut answer = String::new();
        stream.write_all(b"GET /v2/ HTTP/1.0\r\n\r\n").is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.")
    }

    pub(crate) fn reference(&self, name: &str) -> Reference {
        Reference::parse(&format!("{}/{name}", self.address)).unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_pushed_comes_back_the_same() {
    let (Some((_a, from)), Some((_b, to))) = (store(), store()) else {
        return;
    };
    let Some(registry) = Registry::start(false) else {
        return;
    };
    let busybox = std::fs::read("/bin/busybox").unwrap_or_else(|_| vec![7; 1 << 20]);
    let pushed = image(
        &from,
        &[
            &[("bin/busybox", &busybox)],
            &[("etc/x", b"x"), ("bin/y", b"y")],
        ],
    );
    let name = registry.reference("team/app:1");
    from.tag(&pushed.id, &name).unwrap();
    let done = block(push(&from, &name, &options(&from), &quiet)).unwrap();

    let states = Mutex::new(Vec::new());
    let progress = |transfer: crate::image::Transfer| states.lock().unwrap().push(transfer.state);
    let pulled = block(pull(&to, &name, &options(&to), &progress)).unwrap();
    assert_eq!(
        (pulled.image.id, pulled.digest, pulled.up_to_date),
        (pushed.id, done.digest, false)
    );
    assert!(states.lock().unwrap().contains(&TransferState::Downloading));
    for (a, b) in pushed.layers.iter().zip(&pulled.image.layers) {
        assert_eq!(
            (a.diff_id, a.chain_id, a.size),
            (b.diff_id, b.chain_id, b.size)
        );
    }
    assert_eq!(
        std::fs::read(pulled.image.layers[0].dir.join("bin/busybox")).unwrap(),
        busybox
    );
    assert_eq!(
        to.resolve(&format!("{}@{}", name.familiar_name(), done.digest))
            .unwrap()
            .id,
        pushed.id
    );

    // Again: nothing is transferred, and by digest it is the same.
    states.lock().unwrap().clear();
    assert!(
        block(pull(&to, &name, &options(&to), &progress))
            .unwrap()
            .up_to_date
    );
    assert!(
        states
            .lock()
            .unwrap()
            .iter()
            .all(|state| *state == TransferState::Exists)
    );
    assert!(
        block(pull(
            &to,
            &name.with_digest(done.digest),
            &options(&to),
            &quiet
        ))
        .unwrap()
        .up_to_date
    );

    // To another repository: the registry takes the layers over.
    let other = registry.reference("team/other:2");
    to.tag(&pushed.id, &other).unwrap();
    states.lock().unwrap().clear();
    block(push(&to, &other, &options(&to), &progress)).unwrap();
    assert!(
        states
            .lock()
            .unwrap()
            .iter()
            .all(|state| matches!(state, TransferState::Mounted)),
        "{:?}",
        states.lock().unwrap()
    );
    assert!(matches!(
        block(pull(
            &to,
            &registry.reference("team/none:1"),
            &options(&to),
            &quiet
        )),
        Err(RegistryError::NotFound(_))
    ));
}

#[test]
fn passwords_are_asked_for_and_pieces_add_up() {
    let (Some((_a, from)), Some((_b, to))) = (store(), store()) else {
        return;
    };
    let Some(registry) = Registry::start(true) else {
        return;
    };
    let noise: Vec<u8> = (0..300_000_u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let pushed = image(&from, &[&[("noise", &noise)]]);
    let name = registry.reference("app:1");
    from.tag(&pushed.id, &name).unwrap();
    let denied = block(push(&from, &name, &options(&from), &quiet)).unwrap_err();
    assert!(matches!(denied, RegistryError::Denied { .. }), "{denied:?}");

    let credentials = Some(Credentials::Basic {
        username: "gantry".to_owned(),
        password: "secret".to_owned(),
    });
    let known = RegistryOptions {
        credentials,
        chunk: Some(100_000),
        ..options(&from)
    };
    block(push(&from, &name, &known, &quiet)).unwrap();
    // The same from Docker's own configuration.
    let folder = to.root().join("docker");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(
        folder.join("config.json"),
        format!(
            r#"{{"auths":{{"{}":{{"auth":"Z2FudHJ5OnNlY3JldA=="}}}}}}"#,
            name.host()
        ),
    )
    .unwrap();
    let configured = RegistryOptions {
        docker_config: Some(folder),
        ..options(&to)
    };
    assert_eq!(
        block(pull(&to, &name, &configured, &quiet))
            .unwrap()
            .image
            .id,
        pushed.id
    );
    assert!(block(pull(&from, &name, &options(&from), &quiet)).is_err());
}
