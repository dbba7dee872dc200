//! A registry that breaks its promises: nothing wrong gets into the store.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::liar::{Answer, Asked, Liar, answer};
use super::{block, options, store};
use crate::content::Digest;
use crate::image::{ImageStore, Reference, quiet};
use crate::layer::TarWriter;
use crate::registry::{Credentials, RegistryError, RegistryOptions, pull};

/// An honest registry's content, by path.
#[derive(Clone)]
struct Honest {
    answers: HashMap<String, Vec<u8>>,
    layer: Digest,
    layer_path: String,
}

fn honest() -> Honest {
    let mut tar = TarWriter::new(Vec::new());
    let noise: Vec<u8> = (0..100_000_u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    tar.member("noise", 0o644, 7, &noise).unwrap();
    let tar = tar.finish().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    let gzip = gzip.finish().unwrap();
    let config = format!(
        r#"{{"architecture":"{}","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        crate::image::architecture(),
        Digest::of(&tar)
    );
    let (layer, id) = (Digest::of(&gzip), Digest::of(config.as_bytes()));
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"digest":"{id}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{layer}","size":{}}}]}}"#,
        config.len(),
        gzip.len()
    );
    let layer_path = format!("/v2/app/blobs/{layer}");
    let answers = HashMap::from([
        ("/v2/".to_owned(), Vec::new()),
        ("/v2/app/manifests/latest".to_owned(), manifest.into_bytes()),
        (format!("/v2/app/blobs/{id}"), config.into_bytes()),
        (layer_path.clone(), gzip),
    ]);
    Honest {
        answers,
        layer,
        layer_path,
    }
}

impl Honest {
    fn answer(&self, asked: &Asked) -> Answer {
        match self.answers.get(&asked.path) {
            Some(body) => match asked.header("range").and_then(|range| {
                range
                    .strip_prefix("bytes=")?
                    .strip_suffix('-')?
                    .parse::<usize>()
                    .ok()
            }) {
                Some(start) => answer(206, &body[start..]),
                None => answer(200, body.as_slice()),
            },
            None => answer(404, "no"),
        }
    }
}

fn pull_from(
    liar: &Liar,
    store: &ImageStore,
    options: &RegistryOptions,
) -> Result<crate::registry::Pulled, RegistryError> {
    let reference = Reference::parse(&format!("{}/app", liar.address)).unwrap();
    block(pull(store, &reference, options, &quiet))
}

/// After a failure: no image, no layer, no blob of the layer, no draft.
fn assert_clean(store: &ImageStore, layer: &Digest) {
    assert!(store.ids().unwrap().is_empty());
    assert!(!store.content().contains(layer));
    assert_eq!(
        std::fs::read_dir(store.root().join("layers"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn the_honest_one_is_believed() {
    let Some((_root, store)) = store() else {
        return;
    };
    let honest = honest();
    let liar = Liar::start(move |asked| honest.answer(asked));
    let pulled = pull_from(&liar, &store, &options(&store)).unwrap();
    assert_eq!(
        std::fs::metadata(pulled.image.layers[0].dir.join("noise"))
            .unwrap()
            .len(),
        400_000
    );
}

#[test]
fn a_registry_that_never_answered_is_not_asked_again() {
    let Some((_root, store)) = store() else {
        return;
    };
    // A port that nobody listens on: it was ours a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let patient = RegistryOptions {
        attempts: u32::MAX,
        first_pause: std::time::Duration::from_secs(3600),
        ..options(&store)
    };
    let reference = Reference::parse(&format!("{address}/x:1")).unwrap();
    let error = block(pull(&store, &reference, &patient, &quiet)).unwrap_err();
    assert!(
        matches!(error, RegistryError::Unreachable { .. }),
        "{error:?}"
    );
}

/// What is wrong with a layer, or with the image itself.
fn cause(error: RegistryError) -> RegistryError {
    match error {
        RegistryError::Layer { source, .. } => *source,
        error => error,
    }
}

fn assert_names_layer(error: &RegistryError, layer: &Digest) {
    let text = error.to_string();
    let expected = format!("cannot get layer `{layer}` of `127.0.0.1:");
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn a_missing_layer_is_named() {
    let Some((_root, store)) = store() else {
        return;
    };
    let honest = honest();
    let layer = honest.layer;
    let liar = Liar::start(move |asked| match asked.path == honest.layer_path {
        true => answer(404, "gone"),
        false => honest.answer(asked),
    });
    let error = pull_from(&liar, &store, &options(&store)).unwrap_err();
    assert_names_layer(&error, &layer);
    let error = cause(error);
    let expected = format!("`{layer} of {}/app:latest` does not exist", liar.address);
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert_clean(&store, &layer);
}

#[test]
fn wrong_bytes_are_refused() {
    let Some((_root, store)) = store() else {
        return;
    };
    let honest = honest();
    let layer = honest.layer;
    let liar = Liar::start(move |asked| {
        let mut answer = honest.answer(asked);
        if asked.path == honest.layer_path {
            let middle = answer.body.len() / 2;
            answer.body[middle] ^= 1;
        }
        answer
    });
    let error = pull_from(&liar, &store, &options(&store)).unwrap_err();
    assert_names_layer(&error, &layer);
    assert!(
        matches!(
            cause(error),
            RegistryError::Mismatch { .. } | RegistryError::Image(_)
        ),
        "neither the bytes nor the archive were found wrong"
    );
    assert_clean(&store, &layer);
    // Nothing wrong is resumed from.
    assert!(pull_from(&liar, &store, &options(&store)).is_err());
}

#[test]
fn a_wrong_manifest_is_refused() {
    let Some((_root, store)) = store() else {
        return;
    };
    let honest = honest();
    let layer = honest.layer;
    let liar = Liar::start(move |asked| {
        let answer = honest.answer(asked);
        if asked.path.contains("manifests") {
            answer.header("docker-content-digest", Digest::of(b"other").to_string())
        } else {
            answer
        }
    });
    assert!(matches!(
        pull_from(&liar, &store, &options(&store)),
        Err(RegistryError::Mismatch { .. })
    ));
    assert_clean(&store, &layer);
}

#[test]
fn a_cut_connection_is_resumed_where_it_broke() {
    let Some((_root, store)) = store() else {
        return;
    };
    let honest = honest();
    let path = honest.layer_path.clone();
    let cuts = AtomicUsize::new(0);
    let liar = Liar::start(move |asked| {
        let mut answer = honest.answer(asked);
        if asked.path == honest.layer_path && cuts.fetch_add(1, Ordering::SeqCst) < 3 {
            answer.announced = Some(answer.body.len());
            answer.body.truncate(50_000);
        }
        answer
    });
    pull_from(&liar, &store, &options(&store)).unwrap();
    let asked = liar.asked.lock().unwrap();
    let ranges: Vec<_> = asked
        .iter()
        .filter(|asked| asked.path == path)
        .map(|asked| asked.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges[0], None);
    assert_eq!(ranges[1].as_deref(), Some("bytes=50000-"));
    assert_eq!(ranges[3].as_deref(), Some("bytes=150000-"));
}

#[test]
fn the_next_command_resumes_too_and_ignored_ranges_are_skipped() {
    let Some((_root, store)) = store() else {
        return;
    };
    let honest = honest();
    let broken = Mutex::new(true);
    let once = honest.clone();
    {
        let liar = Liar::start(move |asked| {
            let mut answer = once.answer(asked);
            if asked.path == once.layer_path {
                if !std::mem::replace(&mut *broken.lock().unwrap(), false) {
                    return super::liar::answer(500, "broken");
                }
                answer.announced = Some(answer.body.len());
                answer.body.truncate(60_000);
            }
            answer
        });
        assert!(pull_from(&liar, &store, &options(&store)).is_err());
    }
    assert_clean(&store, &honest.layer);
    let path = honest.layer_path.clone();
    let liar = Liar::start(move |asked| {
        // Ignores ranges.
        answer(
            200,
            honest.answers.get(&asked.path).cloned().unwrap_or_default(),
        )
    });
    pull_from(&liar, &store, &options(&store)).unwrap();
    let asked = liar.asked.lock().unwrap();
    let layer = asked.iter().find(|asked| asked.path == path).unwrap();
    assert_eq!(layer.header("range"), Some("bytes=60000-"));
}

#[test]
fn failures_that_pass_are_outlasted_and_others_are_told() {
    let Some((_root, store)) = store() else {
        return;
    };
    let honest = honest();
    let count = AtomicUsize::new(0);
    let liar = Liar::start(
        move |asked| match count.fetch_add(1, Ordering::SeqCst) % 3 {
            1 => answer(503, "busy"),
            2 => answer(429, "slow down").header("retry-after", "0"),
            _ => honest.answer(asked),
        },
    );
    pull_from(&liar, &store, &options(&store)).unwrap();

    let stubborn = Liar::start(|asked| {
        if asked.path == "/v2/" {
            answer(200, "")
        } else {
            answer(500, r#"{"errors":[{"message":"out of order"}]}"#)
        }
    });
    let error = pull_from(&stubborn, &store, &options(&store)).unwrap_err();
    assert!(error.to_string().contains("out of order"), "{error}");
    assert_eq!(
        stubborn
            .paths()
            .iter()
            .filter(|path| path.contains("manifests"))
            .count(),
        5
    );
}

#[test]
fn endless_bodies_end() {
    let Some((_root, store)) = store() else {
        return;
    };
    for target in ["manifests", "blobs"] {
        let honest = honest();
        let layer = honest.layer;
        let liar = Liar::start(move |asked| {
            let mut answer = honest.answer(asked);
            if asked.path.contains(target)
                && (target == "manifests" || asked.path == honest.layer_path)
            {
                answer.body = vec![b'x'; 1 << 16];
                answer.endless = true;
            }
            answer
        });
        let error = pull_from(&liar, &store, &options(&store)).unwrap_err();
        let error = cause(error);
        assert!(
            matches!(
                error,
                RegistryError::TooLarge { .. } | RegistryError::Image(_)
            ),
            "{error:?}"
        );
        assert_clean(&store, &layer);
    }
}

#[test]
fn credentials_stay_with_the_host_they_are_for() {
    let Some((_root, store)) = store() else {
        return;
    };
    let honest = honest();
    let (elsewhere, path) = (honest.clone(), honest.layer_path.clone());
    let other = Liar::start(move |asked| elsewhere.answer(asked));
    let address = other.address.clone();
    let liar = Liar::start(move |asked| {
        if asked.header("authorization").is_none() {
            return answer(401, "who?").header("www-authenticate", "Basic realm=\"x\"");
        }
        if asked.path == honest.layer_path {
            return answer(307, "").header("location", format!("http://{address}{}", asked.path));
        }
        honest.answer(asked)
    });
    let credentials = Some(Credentials::Basic {
        username: "u".to_owned(),
        password: "p".to_owned(),
    });
    pull_from(
        &liar,
        &store,
        &RegistryOptions {
            credentials,
            ..options(&store)
        },
    )
    .unwrap();
    let seen = other.asked.lock().unwrap();
    assert!(seen.iter().any(|asked| asked.path == path));
    assert!(
        seen.iter()
            .all(|asked| asked.header("authorization").is_none())
    );
}

#[test]
fn bearer_tokens_are_bought_once_and_shown() {
    let Some((_root, store)) = store() else {
        return;
    };
    let honest = honest();
    let tokens = Liar::start(|asked| {
        let scoped = asked.path.contains("scope=repository%3Aapp%3Apull")
            && asked.path.contains("service=here");
        match (scoped, asked.header("authorization")) {
            (true, Some("Basic dTpw")) => answer(200, r#"{"access_token":"bought"}"#),
            _ => answer(401, "no"),
        }
    });
    let realm = format!(
        r#"Bearer realm="http://{}/token",service="here",scope="ignored""#,
        tokens.address
    );
    let liar = Liar::start(move |asked| match asked.header("authorization") {
        Some("Bearer bought") => honest.answer(asked),
        _ => answer(401, "who?").header("www-authenticate", realm.as_str()),
    });
    let credentials = Some(Credentials::Basic {
        username: "u".to_owned(),
        password: "p".to_owned(),
    });
    pull_from(
        &liar,
        &store,
        &RegistryOptions {
            credentials,
            ..options(&store)
        },
    )
    .unwrap();
    assert_eq!(tokens.paths().len(), 1);
    let error = pull_from(&liar, &store, &options(&store)).unwrap_err();
    assert!(matches!(error, RegistryError::Denied { .. }), "{error:?}");
    let image = format!("`{}/app:latest`", liar.address);
    assert!(error.to_string().contains(&image), "{error}");
}

#[test]
fn circles_and_nobody_at_home_are_errors() {
    let Some((_root, store)) = store() else {
        return;
    };
    let liar = Liar::start(|asked| {
        if asked.path == "/v2/" {
            answer(200, "")
        } else {
            answer(302, "").header("location", asked.path.clone())
        }
    });
    assert!(matches!(
        pull_from(&liar, &store, &options(&store)),
        Err(RegistryError::Protocol { .. })
    ));
    let address = liar.address.clone();
    drop(liar);
    let reference = Reference::parse(&format!("{address}/app")).unwrap();
    let error = block(pull(&store, &reference, &options(&store), &quiet)).unwrap_err();
    assert!(
        matches!(error, RegistryError::Unreachable { .. }),
        "{error:?}"
    );
}
