//! HTTP to one registry: retries, redirects, authentication.
//!
//! Redirects are followed here and not by the client, because only here is known which host the
//! credentials are for: they are dropped when scheme, host or port change, and https is never
//! left for http. The client is made when first used: reading the system's certificates takes
//! milliseconds that commands without a registry must not pay.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{
    ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use reqwest::{Body, Client, Method, Response, StatusCode, Url};

use super::auth::{self, Challenge, Token};
use super::client::{client, is_loopback};
use super::credentials::{self, Credentials};
use super::refusal::{reason, text};
use super::{RegistryError, RegistryOptions};
use crate::image::DEFAULT_HOST;

const REDIRECTS: usize = 10;
const TOKEN_TEXT: usize = 1 << 20;
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// One registry, as one command talks to it.
pub(super) struct Transport {
    pub host: String,
    base: Url,
    client: Client,
    attempts: u32,
    first_pause: Duration,
    credentials: Option<Credentials>,
    /// `Authorization` by scope.
    tokens: Mutex<HashMap<String, String>>,
    plain_allowed: bool,
    /// It has answered: a connection that cannot be made later is a hiccup. One that never could
    /// be made is a wrong name or no network, which the user should read at once.
    reached: AtomicBool,
}

/// A request that can be made again.
pub(super) struct Request<'a> {
    pub method: Method,
    pub url: Url,
    pub headers: Vec<(HeaderName, String)>,
    /// Made anew for each attempt.
    pub body: Option<&'a (dyn Fn() -> Body + Send + Sync)>,
    /// `repository:name:pull`.
    pub scope: &'a str,
    /// For messages: `pull nginx`.
    pub action: String,
}

impl<'a> Request<'a> {
    pub fn get(url: Url, scope: &'a str, action: String) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: Vec::new(),
            body: None,
            scope,
            action,
        }
    }

    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Transport {
    /// Prepares talking to a registry. Loopback hosts speak http, opted-in ones too when
    /// https does not answer.
    pub async fn open(host: &str, options: &RegistryOptions) -> Result<Self, RegistryError> {
        let insecure = options.allows_insecure(host);
        let client = client(host, insecure)?;
        let address = if host == DEFAULT_HOST {
            "registry-1.docker.io"
        } else {
            host
        };
        let url = |scheme: &str| {
            Url::parse(&format!("{scheme}://{address}/v2/")).map_err(|error| RegistryError::Setup {
                host: host.to_owned(),
                why: error.to_string(),
            })
        };
        let mut base = url("https")?;
        if is_loopback(host) || insecure {
            // A registry on loopback may still have TLS: it answers a plain request with 400, or not at all.
            let plain = url("http")?;
            base = match client.get(plain.clone()).send().await {
                Ok(answer) if answer.status() != StatusCode::BAD_REQUEST => plain,
                Ok(_) => base,
                // Nothing listens: the message should name the address as it is meant.
                Err(error) if error.is_connect() => plain,
                Err(_) => base,
            };
        }
        Ok(Self {
            host: host.to_owned(),
            plain_allowed: base.scheme() == "http",
            base,
            client,
            attempts: options.attempts.max(1),
            first_pause: options.first_pause,
            credentials: credentials::find(host, options)?,
            tokens: Mutex::new(HashMap::new()),
            reached: AtomicBool::new(false),
        })
    }

    /// The address of the registry itself.
    pub fn base(&self) -> Url {
        self.base.clone()
    }

    /// The address of something of a repository: `manifests/latest`.
    pub fn url(&self, repository: &str, path: &str) -> Result<Url, RegistryError> {
        self.base
            .join(&format!("{repository}/{path}"))
            .map_err(|error| self.protocol(error.to_string()))
    }

    /// Another address as the registry gave it.
    pub fn relative(&self, base: &Url, location: &str) -> Result<Url, RegistryError> {
        base.join(location)
            .map_err(|error| self.protocol(format!("its location is no address: {error}")))
    }

    pub fn protocol(&self, why: impl Into<String>) -> RegistryError {
        RegistryError::Protocol {
            host: self.host.clone(),
            why: why.into(),
        }
    }

    pub fn unreachable(&self, source: reqwest::Error) -> RegistryError {
        RegistryError::Unreachable {
            host: self.host.clone(),
            source: source.without_url(),
        }
    }

    /// The pause before an attempt that follows `failures`.
    pub fn pause(&self, failures: u32) -> Duration {
        self.first_pause
            .saturating_mul(1 << failures.saturating_sub(1).min(8))
            .min(LONGEST_PAUSE)
    }

    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Sends until there is an answer that is worth looking at: not a dropped connection, 408,
    /// 429 or 5xx. A success or 404 of `accepted` comes back; everything else is an error.
    pub async fn send(
        &self,
        request: &Request<'_>,
        accepted: &[StatusCode],
    ) -> Result<Response, RegistryError> {
        let mut failures = 0;
        loop {
            let result = self.authorized(request).await;
            if result.is_ok() {
                self.reached.store(true, Ordering::Relaxed);
            }
            failures += 1;
            let again = failures < self.attempts;
            let pause = self.pause(failures);
            match result {
                Ok(answer)
                    if answer.status().is_success() || accepted.contains(&answer.status()) =>
                {
                    return Ok(answer);
                }
                Ok(answer) if again && is_transient(answer.status()) => {
                    let asked = answer
                        .headers()
                        .get(RETRY_AFTER)
                        .and_then(|value| value.to_str().ok()?.parse().ok())
                        .map(Duration::from_secs);
                    tokio::time::sleep(asked.unwrap_or(pause).min(Duration::from_secs(60))).await;
                }
                Ok(answer) => return Err(self.refusal(request, answer).await),
                Err(RegistryError::Unreachable { source, .. })
                    if again && self.is_hiccup(&source) =>
                {
                    tokio::time::sleep(pause).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn is_hiccup(&self, error: &reqwest::Error) -> bool {
        let known = self.reached.load(Ordering::Relaxed);
        !error.is_builder() && (known || !error.is_connect())
    }

    async fn authorized(&self, request: &Request<'_>) -> Result<Response, RegistryError> {
        let known = self
            .tokens
            .lock()
            .ok()
            .and_then(|tokens| tokens.get(request.scope).cloned());
        let answer = self.redirected(request, known.as_deref()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let challenge = answer
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| auth::parse(value.to_str().ok()?))
            .next();
        let Some(token) = self.meet(challenge, request).await? else {
            return Ok(answer);
        };
        // The same answer again would be refused again.
        if known.as_ref() == Some(&token) {
            return Ok(answer);
        }
        if let Ok(mut tokens) = self.tokens.lock() {
            tokens.insert(request.scope.to_owned(), token.clone());
        }
        self.redirected(request, Some(&token)).await
    }

    /// The `Authorization` that meets a challenge; `None` when we have nothing to offer.
    async fn meet(
        &self,
        challenge: Option<Challenge>,
        request: &Request<'_>,
    ) -> Result<Option<String>, RegistryError> {
        match (challenge, &self.credentials) {
            (None, _) | (Some(Challenge::Basic), None | Some(Credentials::Identity(_))) => Ok(None),
            (Some(_), Some(Credentials::Bearer(token))) => Ok(Some(format!("Bearer {token}"))),
            (Some(Challenge::Basic), Some(Credentials::Basic { username, password })) => {
                Ok(Some(auth::basic(username, password)))
            }
            (
                Some(Challenge::Bearer {
                    realm,
                    service,
                    scope,
                }),
                _,
            ) => {
                let scope = if request.scope.is_empty() {
                    scope.unwrap_or_default()
                } else {
                    request.scope.to_owned()
                };
                self.token(&realm, service.as_deref(), &scope, request)
                    .await
                    .map(Some)
            }
        }
    }

    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        asked: &Request<'_>,
    ) -> Result<String, RegistryError> {
        let credentials = self.credentials.as_ref();
        let mut url = Url::parse(realm)
            .map_err(|error| self.protocol(format!("its token server is no address: {error}")))?;
        let plain_is_fine = self.plain_allowed && url.host_str().is_some_and(is_loopback);
        if url.scheme() != "https" && !plain_is_fine && credentials.is_some() {
            return Err(self.protocol("it asks for the password over plain http"));
        }
        let request = if let Some(Credentials::Identity(token)) = credentials {
            let mut form =
                Url::parse("http://form/").map_err(|error| self.protocol(error.to_string()))?;
            form.query_pairs_mut()
                .append_pair("grant_type", "refresh_token")
                .append_pair("refresh_token", token)
                .append_pair("client_id", "gantry")
                .append_pair("service", service.unwrap_or_default())
                .append_pair("scope", scope);
            let body = form.query().unwrap_or_default().to_owned();
            self.client
                .post(url)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body)
        } else {
            {
                let mut query = url.query_pairs_mut();
                if let Some(service) = service {
                    query.append_pair("service", service);
                }
                for scope in scope.split(' ').filter(|scope| !scope.is_empty()) {
                    query.append_pair("scope", scope);
                }
            }
            let request = self.client.get(url);
            match credentials {
                Some(Credentials::Basic { username, password }) => {
                    request.header(AUTHORIZATION, auth::basic(username, password))
                }
                _ => request,
            }
        };
        let answer = request
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        if !answer.status().is_success() {
            let status = answer.status().as_u16();
            let why = reason(answer).await;
            return Err(RegistryError::Denied {
                host: self.host.clone(),
                name: asked.action.clone(),
                why: format!("its token server answers {status}: {why}"),
            });
        }
        let text = text(answer, TOKEN_TEXT).await;
        let token: Token = serde_json::from_slice(&text)
            .map_err(|_| self.protocol("its token server sends no token"))?;
        token
            .into_text()
            .map(|token| format!("Bearer {token}"))
            .ok_or_else(|| self.protocol("its token server sends no token"))
    }

    async fn redirected(
        &self,
        request: &Request<'_>,
        authorization: Option<&str>,
    ) -> Result<Response, RegistryError> {
        let mut url = request.url.clone();
        let mut authorization = authorization.filter(|_| same_origin(&url, &self.base));
        for _ in 0..=REDIRECTS {
            let mut headers = HeaderMap::new();
            for (name, value) in &request.headers {
                let value = HeaderValue::from_str(value)
                    .map_err(|_| self.protocol("a header cannot be sent"))?;
                headers.append(name, value);
            }
            if let Some(value) = authorization {
                let mut value = HeaderValue::from_str(value)
                    .map_err(|_| self.protocol("its token cannot be sent"))?;
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            let mut builder = self
                .client
                .request(request.method.clone(), url.clone())
                .headers(headers);
            if let Some(body) = request.body {
                builder = builder.body(body());
            }
            let answer = builder
                .send()
                .await
                .map_err(|error| self.unreachable(error))?;
            let is_redirect = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            // A 201 or 202 has a location too, which is no redirect.
            let Some(location) = answer.headers().get(LOCATION).filter(|_| is_redirect) else {
                return Ok(answer);
            };
            let location = location
                .to_str()
                .map_err(|_| self.protocol("its location is no address"))?;
            let next = self.relative(&url, location)?;
            if !matches!(next.scheme(), "https" | "http")
                || (url.scheme() == "https" && next.scheme() == "http")
            {
                return Err(self.protocol("it redirects from https to something less safe"));
            }
            if !same_origin(&url, &next) {
                authorization = None;
            }
            url = next;
        }
        Err(self.protocol("it redirects in circles"))
    }
}

fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

fn is_transient(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        )
}

/// `Accept` of every manifest format.
pub(super) fn accept_manifests() -> (HeaderName, String) {
    use crate::image::media;
    (
        ACCEPT,
        [
            media::OCI_INDEX,
            media::OCI_MANIFEST,
            media::DOCKER_LIST,
            media::DOCKER_MANIFEST,
        ]
        .join(", "),
    )
}
