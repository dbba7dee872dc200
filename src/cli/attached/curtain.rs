//! When the screen goes from the list of what is made to what containers print.
//!
//! Containers start while others are still being made, so the list stays until the last one
//! is there. Pure.

use crate::executor::{Event, Kind, Phase};
use crate::plan::{Operation, Plan};

/// What has the screen, and what becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// The list, which shows the event.
    List,
    /// The list, which shows the event and is complete with it.
    ListEnds,
    /// The logs, from now on; the event is not shown.
    LogsBegin,
    /// The logs; the event is not shown.
    Logs,
}

/// Follows the events of a plan's execution.
#[derive(Debug)]
pub struct Curtain {
    /// Containers that are still to be made.
    missing: usize,
    opened: bool,
}

impl Curtain {
    /// For a plan; without one nothing is made.
    pub fn new(plan: Option<&Plan>) -> Self {
        let creations = plan.map_or(0, |plan| {
            let steps = plan.steps();
            steps
                .filter(|(_, step)| matches!(step.operation, Operation::Create { .. }))
                .count()
        });
        Self {
            missing: creations,
            opened: false,
        }
    }

    /// Takes note of an event.
    pub fn scene(&mut self, event: &Event) -> Scene {
        if self.opened {
            return Scene::Logs;
        }
        let Event::Phase {
            kind: Kind::Container,
            phase,
            ..
        } = event
        else {
            return Scene::List;
        };
        match phase {
            Phase::Created | Phase::Recreated => {
                self.missing = self.missing.saturating_sub(1);
                if self.missing > 0 {
                    return Scene::List;
                }
                self.opened = true;
                Scene::ListEnds
            }
            // The list says that a container was made; that it runs its output will say.
            Phase::Starting | Phase::Started | Phase::Healthy | Phase::Exited
                if self.missing > 0 =>
            {
                Scene::Logs
            }
            // What is waited for may take long, and its output says why.
            Phase::Starting | Phase::Started | Phase::Healthy | Phase::Exited | Phase::Waiting => {
                self.opened = true;
                Scene::LogsBegin
            }
            _ => Scene::List,
        }
    }

    /// Nothing more will be made; says whether the logs begin with that.
    pub fn open(&mut self) -> bool {
        !std::mem::replace(&mut self.opened, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(phase: Phase) -> Event {
        Event::Phase {
            kind: Kind::Container,
            name: "c".into(),
            phase,
        }
    }

    #[test]
    fn the_list_stays_until_the_last_container_is_made() {
        let mut curtain = Curtain {
            missing: 2,
            opened: false,
        };
        assert_eq!(curtain.scene(&container(Phase::Creating)), Scene::List);
        assert_eq!(curtain.scene(&container(Phase::Created)), Scene::List);
        assert_eq!(curtain.scene(&container(Phase::Starting)), Scene::Logs);
        assert_eq!(curtain.scene(&container(Phase::Recreated)), Scene::ListEnds);
        assert_eq!(curtain.scene(&container(Phase::Started)), Scene::Logs);
        assert!(!curtain.open());
    }

    #[test]
    fn logs_begin_with_the_first_start_when_nothing_is_made() {
        let mut curtain = Curtain::new(None);
        assert_eq!(curtain.scene(&container(Phase::Running)), Scene::List);
        assert_eq!(curtain.scene(&container(Phase::Starting)), Scene::LogsBegin);
        assert_eq!(curtain.scene(&container(Phase::Started)), Scene::Logs);
    }

    #[test]
    fn waiting_opens_although_something_is_missing() {
        let mut curtain = Curtain {
            missing: 1,
            opened: false,
        };
        assert_eq!(curtain.scene(&container(Phase::Waiting)), Scene::LogsBegin);
    }
}
