//! A list that is redrawn in place: one row a container, network, volume, image.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::step_list::Steps;
use super::steps::StepLogs;
use crate::executor::{Event, Kind, Phase};
use crate::ui::text::{printable, size};

/// Before this nothing is drawn: most commands are over by then.
const PATIENCE: Duration = Duration::from_millis(250);
/// Time between drawings of a list in which something goes on.
const BEAT: Duration = Duration::from_millis(100);
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// The list and the thread that redraws it.
pub(super) struct Screen {
    shared: Arc<(Mutex<List>, Condvar)>,
    painter: Mutex<Option<JoinHandle<()>>>,
    logs: Mutex<StepLogs>,
}

impl Screen {
    pub(super) fn new(title: &'static str, colour: bool, dry_run: bool) -> Self {
        let list = List {
            title,
            rows: Vec::new(),
            index: BTreeMap::new(),
            begun: Instant::now(),
            drawn: 0,
            beat: 0,
            over: false,
            colour,
            dry_run,
        };
        Self {
            shared: Arc::new((Mutex::new(list), Condvar::new())),
            painter: Mutex::new(None),
            logs: Mutex::default(),
        }
    }

    pub(super) fn event(&self, event: &Event) {
        if let Event::Warning(text) = event {
            self.above(|| super::write(&format!("warning: {}\n", printable(text))));
            return;
        }
        if let Event::Build { service, event } = event
            && let Some(text) = lock(&self.logs).take(service, event)
        {
            self.above(|| super::write(&text));
        }
        let mut list = lock(&self.shared.0);
        list.apply(event);
        drop(list);
        let mut painter = lock(&self.painter);
        if painter.is_none() {
            let shared = Arc::clone(&self.shared);
            *painter = Some(std::thread::spawn(move || paint(&shared)));
        }
    }

    pub(super) fn entitle(&self, title: &'static str) {
        lock(&self.shared.0).title = title;
    }

    /// Makes way for other lines and draws the list again below them.
    pub(super) fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        let mut list = lock(&self.shared.0);
        let was_drawn = list.drawn > 0;
        super::write(&list.erase());
        let result = write();
        if was_drawn {
            super::write(&list.draw(terminal().1));
        }
        result
    }

    /// Draws the list for the last time.
    pub(super) fn finish(&self) {
        {
            let mut list = lock(&self.shared.0);
            list.over = true;
            self.shared.1.notify_all();
        }
        if let Some(painter) = lock(&self.painter).take() {
            // A painter that panicked has nothing more to draw.
            let _ = painter.join();
        }
        let mut list = lock(&self.shared.0);
        if !list.rows.is_empty() {
            super::write(&list.draw(usize::MAX));
        }
        list.rows.clear();
        list.index.clear();
        list.drawn = 0;
        list.over = false;
        list.begun = Instant::now();
    }
}

fn paint(shared: &(Mutex<List>, Condvar)) {
    let (list, over) = shared;
    let mut list = lock(list);
    let mut pause = PATIENCE;
    while !list.over {
        let (guard, timeout) = over
            .wait_timeout(list, pause)
            .unwrap_or_else(PoisonError::into_inner);
        list = guard;
        if timeout.timed_out() && !list.over {
            let height = terminal().1;
            super::write(&list.draw(height));
            pause = BEAT;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Columns and rows of the terminal on standard error.
fn terminal() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(rustix::stdio::stderr()) {
        Ok(size) if size.ws_col > 0 => (size.ws_col.into(), usize::from(size.ws_row).max(4)),
        _ => (80, 24),
    }
}

struct List {
    title: &'static str,
    rows: Vec<Row>,
    index: BTreeMap<(Kind, String), usize>,
    begun: Instant,
    drawn: usize,
    beat: usize,
    over: bool,
    colour: bool,
    dry_run: bool,
}

struct Row {
    kind: Kind,
    name: String,
    phase: Phase,
    detail: String,
    begun: Instant,
    ended: Option<Instant>,
    layers: BTreeMap<String, (u64, u64)>,
    steps: Steps,
}

impl List {
    fn row(&mut self, kind: Kind, name: &str) -> &mut Row {
        let next = self.rows.len();
        let at = *self.index.entry((kind, name.to_owned())).or_insert(next);
        if at == next {
            self.rows.push(Row {
                kind,
                name: name.to_owned(),
                phase: Phase::Creating,
                detail: String::new(),
                begun: Instant::now(),
                ended: None,
                layers: BTreeMap::new(),
                steps: Steps::default(),
            });
        }
        &mut self.rows[at]
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Phase { kind, name, phase } => {
                let row = self.row(*kind, name);
                row.detail = phase.detail().map(str::to_owned).unwrap_or_default();
                row.ended = phase.is_final().then(Instant::now);
                row.phase = phase.clone();
            }
            Event::Image {
                reference,
                progress,
            } => {
                let row = self.row(Kind::Image, reference);
                if let (Some(current), Some(total)) = (progress.current, progress.total) {
                    row.layers.insert(progress.id.clone(), (current, total));
                    let (done, all) = row
                        .layers
                        .values()
                        .fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
                    row.detail = format!("{} / {}", size(done), size(all));
                }
            }
            Event::Build { service, event } => {
                // The image's row of that service is the one that is being built.
                let building = self.rows.iter_mut().rev().find(|row| {
                    row.kind == Kind::Image
                        && row.phase == Phase::Building
                        && (row.name == *service || row.name.ends_with(service.as_str()))
                });
                if let Some(row) = building {
                    row.steps.apply(event);
                }
            }
            Event::Warning(_) => {}
        }
    }

    /// Moves the cursor over what was drawn and clears it.
    fn erase(&mut self) -> String {
        let drawn = std::mem::take(&mut self.drawn);
        if drawn == 0 {
            String::new()
        } else {
            format!("\x1b[{drawn}A\x1b[J")
        }
    }

    fn draw(&mut self, height: usize) -> String {
        let (columns, _) = terminal();
        let mut text = self.erase();
        let done = self.rows.iter().filter(|row| row.ended.is_some()).count();
        let mode = if self.dry_run { "DRY-RUN MODE - " } else { "" };
        let _ = writeln!(text, "[+] {mode}{} {done}/{}", self.title, self.rows.len());
        self.beat += 1;
        let width = self
            .rows
            .iter()
            .map(|row| row.title().chars().count())
            .max()
            .unwrap_or(0);
        let spinner = SPINNER[self.beat % SPINNER.len()];
        let mut lines = Vec::new();
        for row in &self.rows {
            lines.push(row.line(width, columns, spinner, self.colour));
            lines.extend(row.steps.lines(columns, self.colour));
        }
        // What goes on is at the end of a list that is too long for the terminal.
        // Not the whole of it: terminals that clear all they have keep it in their history.
        let shown = height.saturating_sub(3).min(lines.len());
        for line in &lines[lines.len() - shown..] {
            text += line;
            text.push('\n');
        }
        self.drawn = shown + 1;
        text
    }
}

impl Row {
    fn title(&self) -> String {
        format!("{} {}", self.kind.word(), printable(&self.name))
    }

    fn line(&self, width: usize, columns: usize, spinner: &str, colour: bool) -> String {
        let (mark, code) = match (&self.phase, self.ended) {
            (Phase::Error(_), _) => ("✘", "31"),
            (Phase::Warning(_) | Phase::Skipped(_), _) => ("!", "33"),
            (_, Some(_)) => ("✔", "32"),
            (_, None) => (spinner, "36"),
        };
        let took = self
            .ended
            .unwrap_or_else(Instant::now)
            .duration_since(self.begun)
            .as_secs_f64();
        let time = format!("{took:.1}s");
        let title = self.title();
        let word = self.phase.word();
        let mut middle = format!("{title:<width$}  {word}");
        if !self.detail.is_empty() {
            let _ = write!(middle, "  {}", printable(&self.detail));
        }
        let (middle, blanks) = fitted(&middle, &time, columns, 5);
        if colour {
            format!(" \x1b[{code}m{mark}\x1b[0m {middle}{blanks} \x1b[34m{time}\x1b[0m")
        } else {
            format!(" {mark} {middle}{blanks} {time}")
        }
    }
}

/// What fits of a text on a line that ends with a time and has so many characters besides, and the blanks between.
pub(super) fn fitted(text: &str, time: &str, columns: usize, besides: usize) -> (String, String) {
    let room = columns.saturating_sub(time.chars().count() + besides);
    let text: String = text.chars().take(room).collect();
    let gap = room - text.chars().count();
    (text, " ".repeat(gap))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> List {
        let screen = Screen::new("Running", false, false);
        let shared = Arc::into_inner(screen.shared).expect("one owner");
        shared.0.into_inner().expect("not poisoned")
    }

    #[test]
    fn a_thing_has_one_row_and_keeps_its_place() {
        let mut list = list();
        let tell = |list: &mut List, name: &str, phase| {
            list.apply(&Event::Phase {
                kind: Kind::Container,
                name: name.into(),
                phase,
            });
        };
        tell(&mut list, "a", Phase::Creating);
        tell(&mut list, "b", Phase::Creating);
        tell(&mut list, "a", Phase::Started);
        let text = list.draw(24);
        assert!(text.starts_with("[+] Running 1/2\n"), "{text}");
        let a = text.find("Container a  Started").expect("a");
        let b = text.find("Container b  Creating").expect("b");
        assert!(a < b);
        // The second drawing goes over the first.
        assert!(list.draw(24).starts_with("\x1b[3A\x1b[J"));
    }

    #[test]
    fn a_list_longer_than_the_terminal_shows_its_end() {
        let mut list = list();
        for n in 0..50 {
            list.apply(&Event::Phase {
                kind: Kind::Network,
                name: format!("n{n}"),
                phase: Phase::Creating,
            });
        }
        let text = list.draw(10);
        assert_eq!(text.lines().count(), 8);
        assert!(text.contains("n49") && !text.contains("n10 "));
    }
}
