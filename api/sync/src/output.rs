//! Speaking to people and programs.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::engine::Figures;
use crate::failure::{Exit, Failure};

/// Messages of one kind in one run.
const TOLD_MAX: usize = 20;

/// Where words go: data to standard output, messages to standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Bytes of data. Whoever closed standard output has seen enough.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        match io::stdout().lock().write_all(bytes) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::new(Exit::Failed, format!("writing to standard output: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// A line of data.
    pub(crate) fn line(self, line: &str) -> Result<(), Failure> {
        self.bytes(format!("{line}\n").as_bytes())
    }

    /// One JSON document on one line.
    pub(crate) fn document(self, value: &impl Serialize) -> Result<(), Failure> {
        let json = serde_json::to_string(value)
            .map_err(|error| Failure::new(Exit::Failed, format!("writing JSON: {error}")))?;
        self.line(&json)
    }

    /// A document for programs, or else lines for people.
    pub(crate) fn show(
        self,
        value: &impl Serialize,
        lines: impl FnOnce() -> Vec<String>,
    ) -> Result<(), Failure> {
        if self.json {
            return self.document(value);
        }
        lines().iter().try_for_each(|line| self.line(line))
    }

    /// A message.
    pub(crate) fn message(self, message: &str) {
        // Nobody hears it if standard error is closed.
        let _ = writeln!(io::stderr().lock(), "{message}");
    }

    /// The first few of many messages; nobody reads thousands.
    pub(crate) fn some_of(self, lines: impl ExactSizeIterator<Item = String>) {
        let more = lines.len().saturating_sub(TOLD_MAX);
        for line in lines.take(TOLD_MAX) {
            self.message(&line);
        }
        if more > 0 {
            self.message(&format!("and {more} more"));
        }
    }

    /// What went wrong, and what to do about it.
    pub(crate) fn failure(self, failure: &Failure) {
        self.message(&format!("error: {}", failure.line()));
        if let Some(hint) = &failure.hint {
            self.message(&format!("hint: {hint}"));
        }
    }

    /// A bar with rate and time left, on a terminal.
    pub(crate) fn bar(self) -> ProgressBar {
        if self.json || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(8));
        let template = "{bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec}, {eta} left";
        match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }

    /// The figures of a run.
    pub(crate) fn figures(self, figures: &Figures) -> Result<(), Failure> {
        self.show(figures, || vec![told(figures)])
    }
}

fn told(figures: &Figures) -> String {
    let Figures { files, bytes, sent_bytes, received_bytes, chunks_sent, chunks_known, .. } =
        *figures;
    let mut line = format!(
        "{files} {}, {}; {} sent, {} received; {chunks_sent} chunks sent, {chunks_known} already \
         there",
        if files == 1 { "file" } else { "files" },
        size(bytes),
        size(sent_bytes),
        size(received_bytes),
    );
    if figures.conflicts > 0 {
        line.push_str(&format!("; {} conflicts, both sides kept", figures.conflicts));
    }
    line.push_str(&format!("; {:.2} s", figures.seconds));
    line
}

/// Bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match units.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}
