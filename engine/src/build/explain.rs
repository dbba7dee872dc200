//! Why a step ran or did not: what it depends on, compared with the time it ran before.
//!
//! Whatever goes into a step's cache key goes into its [`Ingredients`] as well, under a name for people and as
//! a short digest (values may be secrets). A step that runs leaves them in `<root>/build/cache`, under
//! the context, the Dockerfile, the stage, the platform and the step's text; and its text under its place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::digest::{Fields, Hash, hex};
use super::stage::Stage;
use super::vertex::Made;

/// More reasons than these are only counted.
const SHOWN: usize = 5;

/// The names of two ingredients that go together.
pub(super) const STEP_BEFORE: &str = "the step before";
const LAYER_BELOW: &str = "the layer below";

/// What a step depends on: a name for people, and a digest of the value.
#[derive(Clone, Debug, Default)]
pub(super) struct Ingredients(BTreeMap<String, String>);

impl Ingredients {
    /// Adds one.
    pub(super) fn add(&mut self, name: impl Into<String>, value: &[u8]) -> &mut Self {
        let mut fields = Fields::new("ingredient");
        fields.add(value);
        self.0.insert(name.into(), short(&fields.finish()));
        self
    }

    /// Adds files with digests of their own.
    pub(super) fn files(&mut self, below: &str, notes: Vec<(String, Hash)>) {
        for (path, hash) in notes {
            let path = match (below, path.as_str()) {
                ("", path) => path.to_owned(),
                (below, "") => below.to_owned(),
                (below, path) => format!("{below}/{path}"),
            };
            self.0.insert(format!("`{path}`"), short(&hash));
        }
    }

    /// `NAME=value` entries of an environment.
    pub(super) fn variables(&mut self, environment: &[String]) {
        for entry in environment {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            self.add(format!("variable {name}"), value.as_bytes());
        }
    }

    /// How they differ from those of before. A changed step left a changed layer: that is told once.
    fn differences(&self, before: &BTreeMap<String, String>) -> Vec<String> {
        let mut found = Vec::new();
        let other_step = self.0.get(STEP_BEFORE) != before.get(STEP_BEFORE);
        for (name, value) in &self.0 {
            if name == LAYER_BELOW && other_step {
                continue;
            }
            match before.get(name) {
                None => found.push(format!("{name} is new")),
                Some(old) if old != value => found.push(format!("{name} changed")),
                Some(_) => {}
            }
        }
        let gone = before.keys().filter(|name| !self.0.contains_key(*name));
        found.extend(gone.map(|name| format!("{name} is gone")));
        found
    }
}

fn short(hash: &Hash) -> String {
    hex(hash)[..24].to_owned()
}

/// What is told of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Its name in the progress.
    pub step: String,
    /// Whether it ran.
    pub ran: bool,
    /// Why.
    pub reason: String,
}

impl Stage<'_, '_> {
    /// Notes why a step ran, or did not. `text` is its instruction.
    pub(super) fn explain(&self, name: &str, text: &str, made: &Made, ingredients: &Ingredients) {
        let wanted = self.solver.request.explain;
        if !made.ran && !wanted {
            return;
        }
        let mut ingredients = ingredients.clone();
        if let Some(below) = self.result.stack.top() {
            // Not a part of the key, but a record on another layer is no hit.
            ingredients.add(LAYER_BELOW, below.to_string().as_bytes());
        }
        let path = self.note_path("ingredients", text);
        let before = read(&path).or_else(|| self.before_of_other_text(text));
        let reason = match (&before, made.ran) {
            (_, false) => "nothing it depends on changed".to_owned(),
            (_, true) if self.no_cache => "it was to run without the cache".to_owned(),
            (None, true) => "it did not run here before".to_owned(),
            (Some(before), true) => summary(&ingredients.differences(before))
                .unwrap_or_else(|| "its result is no longer in the store".to_owned()),
        };
        // A failure only makes a later explanation poorer.
        if before.as_ref() != Some(&ingredients.0)
            && let Ok(bytes) = serde_json::to_vec(&ingredients.0)
        {
            let _ = std::fs::write(&path, bytes);
        }
        let _ = std::fs::write(self.note_path("place", &self.done.to_string()), text);
        if wanted {
            self.solver.shared.explain(Explanation {
                step: name.to_owned(),
                ran: made.ran,
                reason,
            });
        }
    }

    /// What the step depended on that stood at this place before, when this one is it with another text: of the
    /// same kind, and no longer in the stage.
    fn before_of_other_text(&self, text: &str) -> Option<BTreeMap<String, String>> {
        let place = self.note_path("place", &self.done.to_string());
        let former = std::fs::read_to_string(place).ok()?;
        let keyword = |text: &str| text.split(' ').next().map(str::to_owned);
        let stage = &self.solver.stages.list[self.index];
        let still_here = stage.instructions.iter().any(|instruction| {
            let (keyword, rest) = (&instruction.keyword, &instruction.text);
            former == format!("{} {rest}", keyword.to_uppercase())
        });
        if still_here || keyword(&former) != keyword(text) {
            return None;
        }
        read(&self.note_path("ingredients", &former))
    }

    /// Where something is noted of a step of this stage.
    fn note_path(&self, what: &str, step: &str) -> PathBuf {
        let request = &self.solver.request;
        let mut fields = Fields::new(what);
        fields
            .add(format!("{:?}", request.context).as_bytes())
            .add(self.source.name.as_bytes())
            .add(self.label.as_bytes())
            .add(self.platform().to_string().as_bytes())
            .add(step.as_bytes());
        let name = format!("{}.{what}", hex(&fields.finish()));
        self.solver.root.join("build/cache").join(name)
    }
}

fn read(path: &Path) -> Option<BTreeMap<String, String>> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// The first few, and how many more; nothing when there is none.
fn summary(differences: &[String]) -> Option<String> {
    let shown = differences.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    let more = differences.len() - shown.len();
    let mut text = shown.join(", ");
    if more > 0 {
        text += &format!(", and {more} more");
    }
    (!shown.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        let mut before = Ingredients::default();
        before.add("the command", b"a").add("variable X", b"1");
        before.files("src", vec![("f".into(), [1; 32]), ("g".into(), [1; 32])]);
        let mut now = Ingredients::default();
        now.add("the command", b"a");
        now.variables(&["X=2".into(), "Y=".into()]);
        now.files("", vec![("src/f".into(), [2; 32])]);
        assert_eq!(
            now.differences(&before.0),
            [
                "`src/f` changed",
                "variable X changed",
                "variable Y is new",
                "`src/g` is gone"
            ]
        );
        assert_eq!(summary(&[]), None);
        let ingredients = |step: &[u8], layer: &[u8]| {
            let mut found = Ingredients::default();
            found.add(STEP_BEFORE, step).add(LAYER_BELOW, layer);
            found
        };
        let before = ingredients(b"1", b"1");
        let other = ingredients(b"2", b"2").differences(&before.0);
        assert_eq!(other, ["the step before changed"]);
        let again = ingredients(b"1", b"2").differences(&before.0);
        assert_eq!(again, ["the layer below changed"]);
        let many: Vec<String> = (0..7).map(|number| number.to_string()).collect();
        assert_eq!(summary(&many).unwrap(), "0, 1, 2, 3, 4, and 2 more");
    }
}
