//! The tags of a repository, as its registry lists them.

use reqwest::Url;
use reqwest::header::LINK;
use serde::Deserialize;

use super::refusal::text;
use super::transport::{Request, Transport};
use super::{RegistryError, RegistryOptions};
use crate::image::Reference;

/// The most bytes of one page of the list.
const PAGE: usize = 4 << 20;
/// The most pages: a registry that never ends is none.
const PAGES: usize = 1000;

#[derive(Deserialize)]
struct Page {
    /// `null` where a repository has none.
    tags: Option<Vec<String>>,
}

/// All tags of a reference's repository, sorted.
pub async fn tags(
    reference: &Reference,
    options: &RegistryOptions,
) -> Result<Vec<String>, RegistryError> {
    let transport = Transport::open(reference.host(), options).await?;
    let scope = format!("repository:{}:pull", reference.repository());
    let mut next = Some(transport.url(reference.repository(), "tags/list")?);
    let mut found = Vec::new();
    for _ in 0..PAGES {
        let Some(url) = next.take() else {
            found.sort();
            return Ok(found);
        };
        let request = Request::get(url.clone(), &scope, reference.familiar_name());
        let answer = transport.send(&request, &[]).await?;
        let link = answer.headers().get(LINK);
        let link = link.and_then(|value| next_page(value.to_str().ok()?));
        next = link
            .map(|link| same_registry(&transport, &url, link))
            .transpose()?;
        let page: Page = serde_json::from_slice(&text(answer, PAGE).await)
            .map_err(|_| transport.protocol("its list of tags is none"))?;
        found.extend(page.tags.unwrap_or_default());
    }
    Err(transport.protocol("its list of tags does not end"))
}

/// The address of a further page; credentials go to the registry alone.
fn same_registry(transport: &Transport, here: &Url, link: &str) -> Result<Url, RegistryError> {
    let url = transport.relative(here, link)?;
    if url.origin() != here.origin() {
        return Err(transport.protocol("its list of tags goes on at another host"));
    }
    Ok(url)
}

/// The address in `<address>; rel="next"`.
fn next_page(link: &str) -> Option<&str> {
    let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters
        .split(';')
        .map(str::trim)
        .any(|parameter| matches!(parameter, "rel=\"next\"" | "rel=next"));
    is_next.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        let link = "</v2/a/tags/list?last=b&n=2>; rel=\"next\"";
        assert_eq!(next_page(link), Some("/v2/a/tags/list?last=b&n=2"));
        for other in ["", "</x>", "</x>; rel=\"prev\"", "/x; rel=\"next\""] {
            assert_eq!(next_page(other), None, "{other}");
        }
    }
}
