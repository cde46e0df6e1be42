//! Where words go: results to standard output, everything else to standard error.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::json;

use crate::args::{Color, Common};
use crate::failure::Failure;

/// Whether the one line of a panic is JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// Remembers for a panic how errors are printed.
pub(crate) fn remember_json(json: bool) {
    JSON.store(json, Ordering::Relaxed);
}

/// A bug is one plain line that asks for a report, never a backtrace.
pub(crate) fn say_panics_plainly() {
    std::panic::set_hook(Box::new(|info| {
        let what = info.payload_as_str().unwrap_or("no message");
        let place =
            info.location().map_or_else(String::new, |l| format!("{}:{}: ", l.file(), l.line()));
        let message = format!("a bug in lcedge: {place}{}", what.replace('\n', " "));
        let hint = "please report this line and the command that you ran";
        let failure = Failure::new("bug", message).hint(hint.to_owned());
        print_failure(&failure, JSON.load(Ordering::Relaxed), false);
    }));
}

/// Prints what ends the program.
pub(crate) fn print_failure(failure: &Failure, json: bool, color: bool) {
    let mut err = io::stderr().lock();
    // Nobody is left to tell when this fails.
    let _ = if json {
        let text = serde_json::to_string(failure).unwrap_or_default();
        writeln!(err, "{text}")
    } else {
        let paint = Paint(color);
        let written = writeln!(err, "{} {}", paint.red("error:"), failure.message);
        match &failure.hint {
            Some(hint) => written.and_then(|()| writeln!(err, "{} {hint}", paint.bold(" hint:"))),
            None => written,
        }
    };
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.wrap("36", text)
    }
}

/// What the user wants to see.
#[derive(Debug)]
pub(crate) struct Out {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: bool,
    /// Colours of standard output.
    pub(crate) paint: Paint,
    /// Colours of standard error.
    pub(crate) paint_err: Paint,
    /// Whether live lines are drawn on standard error.
    pub(crate) live: bool,
    bar: Option<ProgressBar>,
}

impl Out {
    pub(crate) fn new(common: &Common) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let color = |terminal: bool| match common.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !no_color,
        };
        let terminal = io::stderr().is_terminal();
        Self {
            json: common.json,
            quiet: common.quiet,
            verbose: common.verbose,
            paint: Paint(color(io::stdout().is_terminal())),
            paint_err: Paint(color(terminal)),
            live: terminal && !common.quiet,
            bar: None,
        }
    }

    /// One JSON object on standard output, when JSON is wanted.
    pub(crate) fn event(&self, event: &impl Serialize) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        let text = serde_json::to_string(event)
            .map_err(|e| Failure::new("output", format!("this result is no JSON: {e}")))?;
        self.write(&text)
    }

    /// One line of a result on standard output, when people read it.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        if self.json { Ok(()) } else { self.write(text.as_ref()) }
    }

    /// Text of a result as it is.
    pub(crate) fn write(&self, text: &str) -> Result<(), Failure> {
        let print = || {
            let mut out = io::stdout().lock();
            writeln!(out, "{text}")?;
            out.flush()
        };
        let done = match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        };
        done.map_err(|e| Failure::output(&e))
    }

    /// What is going on, for people.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        if !self.quiet && (!self.json || self.live) {
            self.say(text.as_ref());
        }
    }

    /// More of it.
    pub(crate) fn detail(&self, text: impl AsRef<str>) {
        if self.verbose {
            self.note(self.paint_err.dim(text.as_ref()));
        }
    }

    /// Something that is not as it should be, and does not stop anything.
    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        let text = text.as_ref();
        if self.json {
            self.say(&json!({"event": "warning", "message": text}).to_string());
        } else {
            self.say(&format!("{} {text}", self.paint_err.yellow("warning:")));
        }
    }

    /// A failure that does not end the run at once.
    pub(crate) fn failure(&self, failure: &Failure) {
        let print = || print_failure(failure, self.json, self.paint_err.0);
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn say(&self, text: &str) {
        let print = || {
            // A closed standard error keeps nothing from being done.
            let _ = writeln!(io::stderr().lock(), "{text}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// The live line that other output must not run into.
    pub(crate) fn draw(&mut self, bar: Option<ProgressBar>) {
        if let Some(old) = self.bar.take() {
            old.finish_and_clear();
        }
        self.bar = bar;
    }

    pub(crate) fn bar(&self) -> Option<&ProgressBar> {
        self.bar.as_ref()
    }
}
