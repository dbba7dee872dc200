//! Which images must be fetched or built before containers can be planned.

use std::fmt;
use std::time::Duration;

/// What a service needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The service.
    pub service: String,
    /// The image's reference.
    pub reference: String,
    /// It has a `build` section.
    pub buildable: Buildable,
    /// Its `pull_policy`, or the command line's.
    pub policy: Policy,
    /// The local copy, if any: time since it was last tagged here.
    pub local: Option<Local>,
}

/// Whether an image can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buildable {
    /// No: it comes from a registry.
    No,
    /// Yes, and it has a name of its own that a registry may know.
    Named,
    /// Yes; nobody else knows its name.
    Only,
}

/// A local copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Time since it was pulled, built or tagged.
    pub age: Duration,
}

/// When to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// When there is no local copy.
    Missing,
    /// Every time.
    Always,
    /// Never.
    Never,
    /// Build every time.
    Build,
    /// When the local copy is older than this.
    Every(Duration),
}

/// What to do with one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageStep {
    /// Fetch it.
    Pull,
    /// Try to fetch it; build it when that fails.
    PullOrBuild,
    /// Build it.
    Build,
    /// It is missing and may be neither fetched nor built.
    Missing,
}

impl fmt::Display for ImageStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull => "pull",
            Self::PullOrBuild => "pull or build",
            Self::Build => "build",
            Self::Missing => "missing",
        })
    }
}

/// Whether the user asked for builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builds {
    /// What is missing is built.
    WhenMissing,
    /// `--build`: everything with a `build` section is built.
    Always,
    /// `--no-build`: nothing is.
    Never,
}

/// Decides for one image; `None`: use the local copy.
#[must_use]
pub fn decide(need: &Need, builds: Builds) -> Option<ImageStep> {
    let can_build = need.buildable != Buildable::No && builds != Builds::Never;
    if can_build && (builds == Builds::Always || need.policy == Policy::Build) {
        return Some(ImageStep::Build);
    }
    // The machine itself is the image: nothing to fetch.
    if matches!(need.reference.as_str(), "host" | "host:latest") {
        return None;
    }
    let pullable = need.buildable != Buildable::Only;
    let stale = match (need.policy, need.local) {
        (Policy::Always, _) => true,
        (Policy::Every(limit), Some(local)) => local.age > limit,
        (Policy::Never | Policy::Build, None) => {
            return Some(if can_build {
                ImageStep::Build
            } else {
                ImageStep::Missing
            });
        }
        (_, None) => true,
        (Policy::Missing | Policy::Never | Policy::Build, Some(_)) => false,
    };
    match (stale, pullable, can_build, need.local) {
        (false, ..) => None,
        (true, true, true, None) => Some(ImageStep::PullOrBuild),
        (true, true, ..) => Some(ImageStep::Pull),
        (true, false, true, None) => Some(ImageStep::Build),
        (true, false, _, Some(_)) => None,
        (true, false, false, None) => Some(ImageStep::Missing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        buildable: Buildable,
        policy: Policy,
        local: Option<u64>,
        builds: Builds,
    ) -> Option<ImageStep> {
        decide(
            &Need {
                service: "web".to_owned(),
                reference: "example/web".to_owned(),
                buildable,
                policy,
                local: local.map(|seconds| Local {
                    age: Duration::from_secs(seconds),
                }),
            },
            builds,
        )
    }

    #[test]
    fn a_local_copy_is_used_unless_the_policy_says_otherwise() {
        use Buildable::{Named, No, Only};
        use Builds::{Always, Never, WhenMissing};
        let day = Policy::Every(Duration::from_secs(86_400));
        let cases = [
            (No, Policy::Missing, Some(1), WhenMissing, None),
            (
                No,
                Policy::Missing,
                None,
                WhenMissing,
                Some(ImageStep::Pull),
            ),
            (
                No,
                Policy::Always,
                Some(1),
                WhenMissing,
                Some(ImageStep::Pull),
            ),
            (
                No,
                Policy::Never,
                None,
                WhenMissing,
                Some(ImageStep::Missing),
            ),
            (No, day, Some(1), WhenMissing, None),
            (No, day, Some(90_000), WhenMissing, Some(ImageStep::Pull)),
            (
                Named,
                Policy::Missing,
                None,
                WhenMissing,
                Some(ImageStep::PullOrBuild),
            ),
            (Named, Policy::Missing, Some(1), WhenMissing, None),
            (Named, Policy::Missing, None, Never, Some(ImageStep::Pull)),
            (
                Named,
                Policy::Build,
                Some(1),
                WhenMissing,
                Some(ImageStep::Build),
            ),
            (
                Named,
                Policy::Missing,
                Some(1),
                Always,
                Some(ImageStep::Build),
            ),
            (
                Named,
                Policy::Never,
                None,
                WhenMissing,
                Some(ImageStep::Build),
            ),
            (
                Only,
                Policy::Missing,
                None,
                WhenMissing,
                Some(ImageStep::Build),
            ),
            (Only, Policy::Always, Some(1), WhenMissing, None),
            (Only, Policy::Missing, None, Never, Some(ImageStep::Missing)),
        ];
        for (buildable, policy, local, builds, expected) in cases {
            assert_eq!(
                check(buildable, policy, local, builds),
                expected,
                "{buildable:?} {policy:?} {local:?} {builds:?}"
            );
        }
    }
}
