//! Steps about networks, volumes and images.

use gantry_engine::error::{Classify as _, ErrorKind};

use super::{Outcome, Work, missing_spec};
use crate::backend::BackendError;
use crate::executor::{Event, Failure, Kind, Phase};
use crate::plan::operation::InUse;

impl Work<'_> {
    pub(super) fn create_network(&self, key: &str, name: &str) -> Outcome {
        let doing = || format!("create network `{name}`");
        self.tell(Kind::Network, name, Phase::Creating);
        let Some(spec) = self.run.stack.and_then(|stack| stack.network(key)) else {
            return Err(missing_spec(None, doing()));
        };
        match self.run.backend.create_network(spec) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(Failure::plain(None, doing(), error))
            }
            created => {
                if let Ok(Some(obstacle)) = created {
                    (self.run.events)(Event::Warning(obstacle));
                }
                self.tell(Kind::Network, name, Phase::Created);
                Ok(None)
            }
        }
    }

    pub(super) fn remove_network(&self, name: &str, in_use: InUse) -> Outcome {
        self.tell(Kind::Network, name, Phase::Removing);
        let result = self.run.backend.remove_network(name);
        self.removed(Kind::Network, name, in_use, result)
    }

    pub(super) fn create_volume(&self, key: &str, name: &str) -> Outcome {
        let doing = || format!("create volume `{name}`");
        self.tell(Kind::Volume, name, Phase::Creating);
        let Some(spec) = self.run.stack.and_then(|stack| stack.volume(key)) else {
            return Err(missing_spec(None, doing()));
        };
        match self.run.backend.create_volume(spec) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(Failure::plain(None, doing(), error))
            }
            _ => {
                self.tell(Kind::Volume, name, Phase::Created);
                Ok(None)
            }
        }
    }

    pub(super) fn remove_volume(&self, name: &str, in_use: InUse) -> Outcome {
        self.tell(Kind::Volume, name, Phase::Removing);
        let result = self.run.backend.remove_volume(name);
        self.removed(Kind::Volume, name, in_use, result)
    }

    fn removed(
        &self,
        kind: Kind,
        name: &str,
        in_use: InUse,
        result: Result<(), BackendError>,
    ) -> Outcome {
        let phase = match result {
            Ok(()) => Phase::Removed,
            Err(error) => match (error.kind(), in_use) {
                (ErrorKind::NotFound, _) => Phase::Removed,
                (ErrorKind::Conflict, InUse::Stays) => {
                    Phase::Warning("Resource is still in use".to_owned())
                }
                _ => {
                    let what = match kind {
                        Kind::Network => "network",
                        _ => "volume",
                    };
                    return Err(Failure::plain(
                        None,
                        format!("remove {what} `{name}`"),
                        error,
                    ));
                }
            },
        };
        self.tell(kind, name, phase);
        Ok(None)
    }

    pub(super) fn remove_image(&self, reference: &str) -> Outcome {
        self.tell(Kind::Image, reference, Phase::Removing);
        match self.run.backend.remove_image(reference) {
            Ok(()) => self.tell(Kind::Image, reference, Phase::Removed),
            Err(error) => match error.kind() {
                ErrorKind::NotFound => {
                    let phase = Phase::Warning("No image to remove".to_owned());
                    self.tell(Kind::Image, reference, phase);
                }
                ErrorKind::Conflict | ErrorKind::Unsupported => {
                    self.tell(Kind::Image, reference, Phase::Warning(error.to_string()));
                }
                _ => {
                    return Err(Failure::plain(
                        None,
                        format!("remove image `{reference}`"),
                        error,
                    ));
                }
            },
        }
        Ok(None)
    }
}
