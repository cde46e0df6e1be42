//! Synthetic system logs: seeded, of any size, with the repetition and the variety of real ones.
//!
//! Addresses come from private, shared and documentation ranges only (RFC 1918, 6598, 5737, 2544),
//! names are invented. Timestamps never fall.

mod app;
mod auth;
mod clock;
mod jobs;
mod kernel;
mod parts;
mod web;

use crate::rng::Rng;
pub(crate) use app::App;
pub(crate) use auth::Auth;
pub use clock::Clock;

/// What kind of log to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// `sshd`, `sudo`, `cron`: logins, failures, sessions (classic syslog lines).
    Auth,
    /// A web server's access log (combined log format).
    Web,
    /// A service with requests, a database, a cache (ISO time, level, component).
    App,
    /// Kernel and network: links, firewall, disks, temperatures (classic syslog lines).
    Kernel,
    /// A batch scheduler: jobs submitted, started, finished, retried (ISO time).
    Jobs,
    /// All of them interleaved under one kind of header (ISO time, host, process).
    Mixed,
}

impl LogKind {
    /// Every kind, in the order of the names in [`LogKind::name`].
    pub const ALL: [LogKind; 6] =
        [Self::Auth, Self::Web, Self::App, Self::Kernel, Self::Jobs, Self::Mixed];

    /// The kind's name on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Web => "web",
            Self::App => "app",
            Self::Kernel => "kernel",
            Self::Jobs => "jobs",
            Self::Mixed => "mixed",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What to make: the same options make the same bytes on every machine.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// The kind of log.
    pub kind: LogKind,
    /// The least size in bytes; the log ends with the first whole line that reaches it.
    pub bytes: usize,
    /// The seed of everything random.
    pub seed: u64,
    /// The time of the first line, in seconds since 1970.
    pub start_unix_s: i64,
}

impl LogOptions {
    /// A log of `kind` of at least `bytes` bytes that starts on 2 March 2026.
    #[must_use]
    pub fn new(kind: LogKind, bytes: usize, seed: u64) -> Self {
        Self { kind, bytes, seed, start_unix_s: 1_772_424_000 }
    }
}

/// One event before its header is written.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The process with its number, as syslog shows it: `sshd[812]`.
    pub(crate) process: String,
    /// `INFO`, `WARN`, `ERROR`, `DEBUG`.
    pub(crate) level: &'static str,
    /// The message.
    pub(crate) body: String,
}

impl Event {
    pub(crate) fn new(process: impl Into<String>, body: impl Into<String>) -> Self {
        Self { process: process.into(), level: "INFO", body: body.into() }
    }

    pub(crate) fn at(mut self, level: &'static str) -> Self {
        self.level = level;
        self
    }
}

/// Something that logs: it gives its next event and the time that passes before it.
pub(crate) trait Source {
    fn event(&mut self, rng: &mut Rng) -> Event;

    /// Milliseconds between the last event and the next one.
    fn gap_ms(&mut self, rng: &mut Rng) -> u32;
}

/// How the head of a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// `Mar  2 04:11:09 edge-07 sshd[2211]: body`
    Syslog,
    /// `2026-03-02T04:11:09.123Z INFO  gateway: body`
    Iso,
    /// `2026-03-02T04:11:09.123Z edge-07 sshd[2211]: body`
    IsoHost,
    /// `10.0.0.1 - - [02/Mar/2026:04:11:09 +0000] body`, the address standing in the process'
    /// place.
    Access,
}

/// Writes `event` as one line with its end.
pub(crate) fn write_line(out: &mut String, header: Header, host: &str, at: Clock, event: &Event) {
    let head = match header {
        Header::Syslog => format!("{} {host} {}: ", at.syslog(), event.process),
        Header::Iso => format!("{} {:<5} {}: ", at.iso(), event.level, event.process),
        Header::IsoHost => format!("{} {host} {}: ", at.iso(), event.process),
        Header::Access => format!("{} - - [{}] ", event.process, at.access()),
    };
    out.push_str(&head);
    out.push_str(&event.body);
    out.push('\n');
}

fn source(kind: LogKind, rng: &mut Rng) -> Box<dyn Source> {
    match kind {
        LogKind::Auth => Box::new(Auth::new(rng, true)),
        LogKind::Web => Box::new(web::Web::new(rng)),
        LogKind::App => Box::new(app::App::new(rng)),
        LogKind::Kernel => Box::new(kernel::Kernel::new(rng)),
        LogKind::Jobs => Box::new(jobs::Jobs::new(rng)),
        LogKind::Mixed => Box::new(Mixed::new(rng)),
    }
}

fn header(kind: LogKind) -> Header {
    match kind {
        LogKind::Auth | LogKind::Kernel => Header::Syslog,
        LogKind::Web => Header::Access,
        LogKind::App | LogKind::Jobs => Header::Iso,
        LogKind::Mixed => Header::IsoHost,
    }
}

/// A log by `options`. Every line ends with `\n`; the text is ASCII.
#[must_use]
pub fn generate(options: &LogOptions) -> String {
    let mut rng = Rng::new(options.seed).fork(options.kind.name());
    let host = parts::host(&mut rng);
    let mut source = source(options.kind, &mut rng);
    let header = header(options.kind);
    let mut clock = Clock::from_unix_s(options.start_unix_s);
    let mut out = String::with_capacity(options.bytes + 256);
    while out.len() < options.bytes {
        clock.advance_ms(source.gap_ms(&mut rng));
        let event = source.event(&mut rng);
        write_line(&mut out, header, &host, clock, &event);
    }
    out
}

/// All kinds in turn, in runs of a few lines.
struct Mixed {
    sources: Vec<(Box<dyn Source>, bool)>,
    now: usize,
    left: u32,
}

impl Mixed {
    fn new(rng: &mut Rng) -> Self {
        let kinds = [LogKind::Auth, LogKind::Web, LogKind::App, LogKind::Kernel, LogKind::Jobs];
        let sources =
            kinds.into_iter().map(|kind| (source(kind, rng), kind == LogKind::Web)).collect();
        Self { sources, now: 0, left: 0 }
    }
}

impl Source for Mixed {
    fn event(&mut self, rng: &mut Rng) -> Event {
        if self.left == 0 {
            self.now = rng.below(self.sources.len());
            self.left = rng.between(1, 6);
        }
        self.left -= 1;
        let (source, access) = &mut self.sources[self.now];
        let event = source.event(rng);
        if !*access {
            return event;
        }
        // An access line names its client first; under another header the client is part of the
        // body.
        Event::new("httpd", format!("{} {}", event.process, event.body))
    }

    fn gap_ms(&mut self, rng: &mut Rng) -> u32 {
        self.sources[self.now].0.gap_ms(rng)
    }
}

#[cfg(test)]
mod tests;
