//! What a registry says when it does not do what it was asked.

use reqwest::{Response, StatusCode};

use super::RegistryError;
use super::transport::{Request, Transport};

const ERROR_TEXT: usize = 8 << 10;

impl Transport {
    /// The error that an answer means.
    pub async fn refusal(&self, request: &Request<'_>, answer: Response) -> RegistryError {
        let status = answer.status();
        let why = reason(answer).await;
        let host = self.host.clone();
        match status {
            StatusCode::NOT_FOUND => RegistryError::NotFound(request.action.clone()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Denied {
                host,
                name: request.action.clone(),
                why,
            },
            StatusCode::TOO_MANY_REQUESTS => RegistryError::RateLimited(host),
            status => RegistryError::Status {
                host,
                status: status.as_u16(),
                action: request.action.clone(),
                why,
            },
        }
    }
}

/// A registry's reason for an answer that is no success.
pub(super) async fn reason(answer: Response) -> String {
    words(&text(answer, ERROR_TEXT).await)
}

/// The beginning of an answer's body.
pub(super) async fn text(mut answer: Response, limit: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        bytes.extend_from_slice(&chunk[..chunk.len().min(limit - bytes.len())]);
        if bytes.len() >= limit {
            break;
        }
    }
    bytes
}

/// A registry's own words: `{"errors":[{"code":…,"message":…}]}`, or the text shortened.
fn words(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &value["errors"][0];
    let said = [
        &error["message"],
        &error["code"],
        &value["details"],
        &value["message"],
        &value["error"],
    ]
    .into_iter()
    .find_map(|text| text.as_str());
    let said = said.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    let clean: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
    if clean.is_empty() {
        "no reason given".to_owned()
    } else {
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_words_are_shortened_and_cleaned() {
        assert_eq!(
            words(br#"{"errors":[{"code":"DENIED","message":"no\nway"}]}"#),
            "noway"
        );
        assert_eq!(words(b""), "no reason given");
        assert_eq!(words(&[b'x'; 5000]).len(), 200);
    }
}
