//! What is told of layers that come and go: one line for each that is done, and on a terminal below them how far
//! the others are.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gantry_engine::image::{Transfer, TransferState};

use crate::ui::text;

/// Between two pictures.
const PAUSE: Duration = Duration::from_millis(100);
/// Characters of the bar.
const WIDTH: usize = 24;

/// Tells of one pull or push on standard error.
pub(super) struct Meter {
    quiet: bool,
    drawn: Option<Mutex<Drawn>>,
}

/// The line that changes.
#[derive(Default)]
struct Drawn {
    /// Bytes that are here and bytes in all, by layer.
    layers: HashMap<String, (u64, u64)>,
    last: Option<Instant>,
    there: bool,
}

impl Meter {
    /// A terminal gets a bar; a pipe lines alone.
    pub(super) fn new(quiet: bool) -> Self {
        let draws = !quiet && std::io::stderr().is_terminal();
        Self {
            quiet,
            drawn: draws.then(Mutex::default),
        }
    }

    /// Takes note of what happened.
    pub(super) fn tell(&self, transfer: &Transfer) {
        if self.quiet {
            return;
        }
        let word = match transfer.state {
            TransferState::Done => "done",
            TransferState::Exists => "already exists",
            TransferState::Mounted => "taken from another repository",
            TransferState::Retrying => "trying again",
            TransferState::Waiting | TransferState::Downloading | TransferState::Uploading => {
                return self.advance(transfer);
            }
        };
        let size = transfer
            .total
            .map(|bytes| format!(" ({})", text::size(bytes)))
            .unwrap_or_default();
        let line = format!("{}: {word}{size}\n", text::printable(&transfer.layer));
        let Some(drawn) = &self.drawn else {
            eprint!("{line}");
            return;
        };
        let mut drawn = drawn.lock().unwrap_or_else(PoisonError::into_inner);
        drawn.erase();
        eprint!("{line}");
        if let Some(layer) = drawn.layers.get_mut(&transfer.layer)
            && transfer.state == TransferState::Done
        {
            layer.0 = layer.1;
        }
        drawn.draw();
    }

    fn advance(&self, transfer: &Transfer) {
        let (Some(drawn), Some(total)) = (&self.drawn, transfer.total) else {
            return;
        };
        let mut drawn = drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let state = (transfer.current.min(total), total);
        drawn.layers.insert(transfer.layer.clone(), state);
        if drawn.last.is_none_or(|last| last.elapsed() >= PAUSE) {
            drawn.erase();
            drawn.draw();
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(drawn) = &self.drawn {
            drawn.lock().unwrap_or_else(PoisonError::into_inner).erase();
        }
    }
}

impl Drawn {
    fn erase(&mut self) {
        if std::mem::take(&mut self.there) {
            eprint!("\r\x1b[K");
        }
    }

    fn draw(&mut self) {
        if let Some(line) = line(self.layers.values().copied()) {
            eprint!("{line}");
            let _ = std::io::stderr().flush();
            self.there = true;
        }
        self.last = Some(Instant::now());
    }
}

/// How far everything is, while something is under way.
fn line(layers: impl Iterator<Item = (u64, u64)>) -> Option<String> {
    let (mut current, mut total, mut moving) = (0_u64, 0_u64, 0);
    for (here, whole) in layers {
        // What a registry says of its layers may be anything.
        current = here.saturating_add(current);
        total = whole.saturating_add(total);
        moving += usize::from(here < whole);
    }
    if moving == 0 {
        return None;
    }
    let full = (u128::from(current) * WIDTH as u128 / u128::from(total.max(1))) as usize;
    let full = full.min(WIDTH);
    let bar = "█".repeat(full) + &"░".repeat(WIDTH.saturating_sub(full));
    let noun = if moving == 1 { "layer" } else { "layers" };
    Some(format!(
        "{bar} {} of {}, {moving} {noun}",
        text::size(current),
        text::size(total)
    ))
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn the_bar_is_as_full_as_what_is_here() {
        let shown = line([(50, 100), (0, 100)].into_iter()).expect("under way");
        assert_eq!(shown.matches('█').count(), 6, "{shown}");
        assert_eq!(shown.matches('░').count(), 18, "{shown}");
        assert!(shown.ends_with("2 layers"), "{shown}");
        assert_eq!(line([(100, 100)].into_iter()), None);
        assert_eq!(line(std::iter::empty()), None);
        assert!(line([(0, 0), (0, 1)].into_iter()).is_some());
    }
}
