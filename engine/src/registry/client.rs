//! The HTTP client for one host: its certificates, its time limits, and what is said in plain text.

use std::fmt::Display;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, Identity};

use super::RegistryError;

/// Makes a client for a host.
pub(super) fn client(host: &str, insecure: bool) -> Result<Client, RegistryError> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // Fails only when there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let setup = |why: String| RegistryError::Setup {
        host: host.to_owned(),
        why,
    };
    let mut builder = Client::builder()
        .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(30))
        .read_timeout(Duration::from_secs(60));
    let folder = Path::new("/etc/docker/certs.d").join(host);
    if !host.contains('/') && folder.is_dir() {
        builder = with_certificates(builder, &folder).map_err(setup)?;
    }
    // As in Go's clients: a proxy elsewhere means another machine by `localhost`.
    if is_loopback(host) {
        builder = builder.no_proxy();
    }
    if insecure {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    builder.build().map_err(|error| setup(error.to_string()))
}

/// Authorities (`*.crt`) and our own certificates (`*.cert` with `*.key`) of a folder.
fn with_certificates(mut builder: ClientBuilder, folder: &Path) -> Result<ClientBuilder, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| at(folder, error))?;
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        match path.extension().and_then(|end| end.to_str()) {
            Some("crt") => {
                let bundle = Certificate::from_pem_bundle(&read(&path)?);
                builder = builder.tls_certs_merge(bundle.map_err(|error| at(&path, error))?);
            }
            Some("cert") => {
                let mut pem = read(&path)?;
                pem.push(b'\n');
                pem.extend(read(&path.with_extension("key"))?);
                let identity = Identity::from_pem(&pem).map_err(|error| at(&path, error))?;
                builder = builder.identity(identity);
            }
            _ => {}
        }
    }
    Ok(builder)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| at(path, error))
}

fn at(path: &Path, error: impl Display) -> String {
    format!("{}: {error}", path.display())
}

/// Whether an address is this machine itself: plain http cannot be overheard there.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = host
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .map_or_else(
            || host.split(':').next().unwrap_or(host),
            |(address, _)| address,
        );
    name == "localhost"
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machine_only() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "docker.io",
            "10.0.0.1:5000",
            "localhost.example",
            "128.0.0.1",
            "[::2]:5000",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
