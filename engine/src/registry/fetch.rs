//! One file by `http` or `https`, for builds (`ADD https://…`). Nothing of the distribution protocol.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use http::header::{ETAG, HeaderName, HeaderValue, LAST_MODIFIED};

use crate::error::{Classify, ErrorKind};

/// What a server answered; the body of a success is in the file.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// HTTP status, after redirects. Statuses of failure are no error here.
    pub status: u16,
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
}

/// Why nothing was answered.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No event loop, no descriptors.
    #[error("no runtime for talking to servers")]
    Runtime(#[source] std::io::Error),
    /// The thread that fetched ended early.
    #[error("fetching ended early")]
    Abandoned,
    /// No client can be made (no certificates, say).
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    /// A header that HTTP does not allow.
    #[error("invalid header `{0}`")]
    Header(String),
    /// The server cannot be reached or broke off.
    #[error("request failed")]
    Request(#[source] reqwest::Error),
    /// The file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl Classify for FetchError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Client(_) | Self::Runtime(_) | Self::Abandoned => ErrorKind::Internal,
            Self::Header(_) => ErrorKind::Invalid,
            Self::Request(_) => ErrorKind::Unavailable,
            Self::Write { source, .. } => Classify::kind(source),
        }
    }
}

/// Fetches `url` into the file `to`. Redirects are followed; `Authorization` never goes to another host. Proxies are those of the
/// environment.
pub async fn fetch(
    url: &str,
    headers: &[(String, String)],
    to: &Path,
) -> Result<Fetched, FetchError> {
    // Whoever comes first installs it; the second time is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(30))
        .read_timeout(Duration::from_secs(60))
        .build()
        .map_err(FetchError::Client)?;
    let mut request = client.get(url);
    for (name, value) in headers {
        let header =
            HeaderName::try_from(name.as_str()).map_err(|_| FetchError::Header(name.clone()))?;
        let value =
            HeaderValue::try_from(value.as_str()).map_err(|_| FetchError::Header(name.clone()))?;
        request = request.header(header, value);
    }
    let response = request.send().await.map_err(FetchError::Request)?;
    let text = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
            .map(str::to_owned)
    };
    let fetched = Fetched {
        status: response.status().as_u16(),
        etag: text(ETAG),
        last_modified: text(LAST_MODIFIED),
    };
    if !response.status().is_success() {
        return Ok(fetched);
    }
    let failed = |source| FetchError::Write {
        path: to.to_owned(),
        source,
    };
    let mut file = std::fs::File::create(to).map_err(failed)?;
    let mut body = response.bytes_stream();
    while let Some(piece) = body.next().await {
        file.write_all(&piece.map_err(FetchError::Request)?)
            .map_err(failed)?;
    }
    Ok(fetched)
}
