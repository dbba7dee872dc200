//! The loader's attribute tables, asked about places of a text.
//!
//! Fragments (`x-…` with an anchor) are in no table: what they may hold is what may stand where
//! their alias is used.

use crate::loader::schema::{self, Attribute, BOOL, INT, NULL, NUM, STR, Shape};

use super::outline::{Outline, Step};

/// Uses of fragments that are looked at: fragments are used in fragments, and a text may be made to
/// have endless chains of them.
const MAX_USES: usize = 100;

/// What may stand at a place.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Its shape.
    pub shape: &'static Shape,
    /// The attribute, when its key is a known one.
    pub attribute: Option<&'static Attribute>,
}

/// What may stand at a path of a Compose file.
pub fn at_path(path: &[Step]) -> Option<Found> {
    let root = Found {
        shape: &schema::ROOT,
        attribute: None,
    };
    descend(root, path)
}

fn descend(from: Found, path: &[Step]) -> Option<Found> {
    path.iter().try_fold(from, |found, step| match step {
        // What is merged in is what could stand here.
        Step::Key(key) if key == "<<" => Some(found),
        Step::Key(key) => {
            let (shape, attribute) = found.shape.key(key)?;
            Some(Found { shape, attribute })
        }
        Step::Item(_) => Some(Found {
            shape: found.shape.item().unwrap_or(found.shape),
            attribute: None,
        }),
    })
}

/// What may be the value of an entry; `None` is the document.
pub fn at_entry(outline: &Outline, entry: Option<usize>) -> Option<Found> {
    let mut uses_left = MAX_USES;
    match entry {
        None => at_path(&[]),
        Some(index) => of_entry(outline, index, &mut uses_left),
    }
}

fn of_entry(outline: &Outline, index: usize, uses_left: &mut usize) -> Option<Found> {
    let path = outline.path(index);
    let in_fragment = matches!(path.first(), Some(Step::Key(key)) if key.starts_with("x-"));
    if !in_fragment {
        return at_path(&path);
    }
    let mut inside = Vec::new();
    let mut next = Some(index);
    while let Some(current) = next {
        let uses = outline
            .anchors
            .iter()
            .filter(|anchor| anchor.entry == Some(current))
            .flat_map(|anchor| {
                outline
                    .aliases
                    .iter()
                    .filter(|alias| alias.name == anchor.name && alias.at.start > anchor.at.start)
            });
        for alias in uses {
            *uses_left = uses_left.checked_sub(1)?;
            let found = alias
                .entry
                .and_then(|user| of_entry(outline, user, uses_left))
                .and_then(|found| descend(found, &inside));
            if found.is_some() {
                return found;
            }
        }
        let entry = outline.get(current)?;
        inside.insert(0, entry.step.clone());
        next = entry.parent;
    }
    None
}

/// What a value may be, in words.
pub fn kinds(shape: &Shape) -> String {
    let mut kinds = Vec::new();
    for (bit, name) in [
        (STR, "text"),
        (INT | NUM, "number"),
        (BOOL, "`true` or `false`"),
        (NULL, "nothing"),
    ] {
        // A truth or a number may always be given as text: no word about that.
        let implied = bit == STR && shape.scalars & (INT | NUM | BOOL) != 0;
        if shape.scalars & bit != 0 && !implied {
            kinds.push(name);
        }
    }
    if shape.list.is_some() {
        kinds.push("list");
    }
    if shape.map.is_some() {
        kinds.push("mapping");
    }
    kinds.join(", ")
}

/// Values that are offered for a scalar.
pub fn values(shape: &Shape) -> Vec<&'static str> {
    let mut values: Vec<&str> = shape.words.iter().chain(shape.hints).copied().collect();
    if shape.scalars & BOOL != 0 {
        values.extend(["true", "false"]);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(text: &str, path: &[&str]) -> Option<&'static str> {
        let outline = Outline::of(text);
        at_entry(&outline, outline.find(path))?
            .attribute
            .map(|a| a.name)
    }

    #[test]
    fn paths_lead_through_names_and_items() {
        let key = |name: &str| Step::Key(name.to_owned());
        let ports = [
            key("services"),
            key("web"),
            key("ports"),
            Step::Item(0),
            key("target"),
        ];
        assert_eq!(
            at_path(&ports).and_then(|f| f.attribute).map(|a| a.name),
            Some("target")
        );
        assert!(at_path(&[key("services"), key("web"), key("nonsense")]).is_none());
    }

    #[test]
    fn fragments_hold_what_their_use_holds() {
        let text = "\
x-log: &log
  driver: none
x-base: &base
  logging: *log
  healthcheck: &check
    interval: 1s
services:
  web:
    <<: [*base]
  db:
    healthcheck:
      <<: *check
";
        assert_eq!(attribute(text, &["x-base", "logging"]), Some("logging"));
        assert_eq!(attribute(text, &["x-log", "driver"]), Some("driver"));
        assert_eq!(
            attribute(text, &["x-base", "healthcheck", "interval"]),
            Some("interval")
        );
        assert_eq!(attribute("x-a: &a\n  k: *a\n", &["x-a", "k"]), None);
        // Fragments that lead to more and more fragments.
        let mut text = String::from("x-0: &a0\n  k: v\n");
        for i in 1..200 {
            let before = format!("*a{}, ", i - 1).repeat(9);
            text.push_str(&format!("x-{i}: &a{i} [{before}]\n"));
        }
        assert_eq!(attribute(&text, &["x-0", "k"]), None);
    }
}
