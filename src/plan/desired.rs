//! What the Compose file asks for, boiled down to what a decision needs: names, hashes,
//! numbers, dependencies. How a container is made is `lower`'s business, not the plan's.

use std::collections::BTreeSet;

use indexmap::IndexMap;

use super::PlanError;

/// A project.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// Its name.
    pub project: String,
    /// Between the parts of container names: `-`, or `_` with `--compatibility`.
    pub separator: char,
    /// Enabled services, in file order.
    pub services: IndexMap<String, Service>,
    /// Services that a profile switches off: their containers are no orphans.
    pub disabled: BTreeSet<String>,
    /// Networks by key.
    pub networks: IndexMap<String, Resource>,
    /// Volumes by key.
    pub volumes: IndexMap<String, Resource>,
}

/// A service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// How many containers it shall have.
    pub replicas: u32,
    /// Fixed name of its only container.
    pub container_name: Option<String>,
    /// Hash of its configuration.
    pub config_hash: String,
    /// The image it resolves to now; `None` while that is not known (`--dry-run` of a build).
    pub image_id: Option<String>,
    /// What it waits for.
    pub depends_on: IndexMap<String, Dependency>,
    /// Services whose container it is tied to: namespaces and `volumes_from`. They are
    /// among `depends_on` too; a new container there means a new one here.
    pub tied_to: BTreeSet<String>,
    /// Those of them whose namespaces it shares.
    pub joined: BTreeSet<String>,
    /// Keys of the networks it joins.
    pub networks: Vec<String>,
    /// Keys of the named volumes it mounts.
    pub volumes: Vec<String>,
}

/// One entry of `depends_on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// What is waited for.
    pub condition: Condition,
    /// Go on without it.
    pub required: bool,
    /// Restart with it.
    pub restart: bool,
}

/// Conditions of `depends_on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Compose's own words")]
pub enum Condition {
    Started,
    Healthy,
    CompletedSuccessfully,
}

impl Condition {
    /// Compose's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Started => "service_started",
            Self::Healthy => "service_healthy",
            Self::CompletedSuccessfully => "service_completed_successfully",
        }
    }
}

/// A network or a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// Its real name.
    pub name: String,
    /// Somebody else makes it.
    pub external: bool,
    /// Hash of its configuration.
    pub config_hash: String,
}

impl Desired {
    /// The name of a service's container.
    #[must_use]
    pub fn container_name(&self, service: &str, number: u32) -> String {
        if let Some(name) = self
            .services
            .get(service)
            .and_then(|s| s.container_name.clone())
        {
            return name;
        }
        let separator = self.separator;
        format!("{}{separator}{service}{separator}{number}", self.project)
    }

    /// The named services, or all; every name must exist.
    pub fn select(&self, names: &[String]) -> Result<Vec<String>, PlanError> {
        if names.is_empty() {
            return Ok(self.services.keys().cloned().collect());
        }
        let mut selected = Vec::new();
        for name in names {
            if !self.services.contains_key(name) {
                return Err(PlanError::NoSuchService {
                    service: name.clone(),
                    suggestion: nearest(name, self.services.keys().chain(&self.disabled)),
                });
            }
            if !selected.contains(name) {
                selected.push(name.clone());
            }
        }
        Ok(selected)
    }

    /// `names` and everything they depend on, dependencies first.
    #[must_use]
    pub fn with_dependencies(&self, names: &[String]) -> Vec<String> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for name in names {
            self.visit(name, &mut seen, &mut order);
        }
        order
    }

    fn visit(&self, name: &str, seen: &mut BTreeSet<String>, order: &mut Vec<String>) {
        let Some(service) = self.services.get(name) else {
            return;
        };
        if !seen.insert(name.to_owned()) {
            return;
        }
        for dependency in service.depends_on.keys() {
            self.visit(dependency, seen, order);
        }
        order.push(name.to_owned());
    }
}

/// The candidate with the smallest edit distance, if it is small.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a String>) -> Option<String> {
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= (word.len() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate.clone())
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_slips_and_nothing_else() {
        let names = ["frontend".to_owned(), "db".to_owned()];
        assert_eq!(nearest("fronted", &names), Some("frontend".to_owned()));
        assert_eq!(nearest("dp", &names), Some("db".to_owned()));
        assert_eq!(nearest("worker", &names), None);
    }
}
