//! How much a text may become: aliases can make much of little.

use super::{MAX_NODES, MAX_TEXT};

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) nodes: usize,
    pub(super) bytes: usize,
}

impl Size {
    /// What has come since another time.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            nodes: self.nodes - before.nodes,
            bytes: self.bytes - before.bytes,
        }
    }

    /// Adds more; `Err` says what there is too much of.
    pub(super) fn add(&mut self, more: Self, of: Counted) -> Result<(), String> {
        self.nodes += more.nodes;
        self.bytes += more.bytes;
        let what = if self.nodes > MAX_NODES {
            format!("{MAX_NODES} values")
        } else if self.bytes > MAX_TEXT {
            format!("{} MiB of text", MAX_TEXT >> 20)
        } else {
            return Ok(());
        };
        Err(match of {
            Counted::All => format!("there are more than {what}, with those of aliases"),
            Counted::Anchored => {
                format!("anchors, of which many are within others, hold more than {what}")
            }
        })
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counted {
    /// Everything, as often as aliases repeat it.
    All,
    /// What anchors keep for aliases, as often as it is within one.
    Anchored,
}
