//! One source read into a session.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::time::{Duration, Instant};

use super::json_lines::JsonLines;
use super::place::{From, Got, Whole, open};
use super::{InputError, Notice, READ_BYTES, Source, kind};
use crate::limits::PIECE_BYTES;
use crate::session::{Session, SourceStart};

/// How a source is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Goes on at the end of a file: waits for more.
    pub follow: bool,
    /// The user says that it is text: only a byte order mark of UTF-16 is refused.
    pub any_bytes: bool,
    /// Every line should be JSON; others are counted.
    pub json_lines: bool,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A chunk was absorbed.
    Absorbed,
    /// Bytes were read.
    Read,
    /// There is nothing to read now. All that was read is durable.
    Idle,
    /// The source is at its end.
    End,
}

/// How often a followed file is looked at.
const POLL: Duration = Duration::from_millis(200);
/// After so long without anything new, what was read becomes a block.
const SETTLE: Duration = Duration::from_secs(2);

enum State {
    /// A stream whose first bytes are compared with what an earlier run absorbed.
    Comparing {
        left: u64,
        hasher: Box<blake3::Hasher>,
        spool: File,
    },
    /// The set-aside bytes of a stream that turned out to be another.
    Replaying {
        spool: File,
    },
    Reading,
}

/// A source on its way into a session, in steps of at most one chunk.
pub struct Intake {
    source: Source,
    options: ReadOptions,
    from: From,
    state: State,
    start: SourceStart,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that the session has.
    fed: usize,
    seen_first: bool,
    json: Option<JsonLines>,
    notices: VecDeque<Notice>,
    length: Option<u64>,
    /// Whether the last byte that the session has is not a line's end.
    mid_line: bool,
    /// When something new was last read, if it is not settled yet.
    news: Option<Instant>,
}

impl Intake {
    /// Opens a source and begins or continues it in `session`.
    ///
    /// # Errors
    /// [`InputError`] when it cannot be read, is no text, or the session refuses; no source is
    /// begun then unless the session failed in between.
    pub fn begin(
        session: &mut Session,
        source: Source,
        options: &ReadOptions,
    ) -> Result<Self, InputError> {
        let from = open(&source)?;
        let mut intake = Self {
            source,
            options: *options,
            from,
            state: State::Reading,
            start: SourceStart { absorbed_bytes: 0, prefix_hash: [0; 32], version: 1 },
            buffer: Vec::new(),
            fed: 0,
            seen_first: false,
            json: options.json_lines.then(JsonLines::default),
            notices: VecDeque::new(),
            length: None,
            mid_line: false,
            news: None,
        };
        if let From::Whole(_) = &intake.from {
            intake.look_at_file()?;
        }
        intake.start = session.begin_source(&intake.source.name)?;
        intake.say_written(session);
        if matches!(intake.from, From::Whole(_)) {
            intake.continue_file(session)?;
        } else if intake.start.absorbed_bytes > 0 {
            let spool = tempfile::tempfile().map_err(|e| intake.spool(e))?;
            let left = intake.start.absorbed_bytes;
            intake.state = State::Comparing { left, hasher: Box::default(), spool };
        }
        Ok(intake)
    }

    fn look_at_file(&mut self) -> Result<(), InputError> {
        let From::Whole(whole) = &mut self.from else { return Ok(()) };
        let looked = whole.length().and_then(|length| {
            whole.read(&mut self.buffer)?;
            whole.seek(0)?;
            Ok(length)
        });
        self.length = Some(looked.map_err(|e| InputError::read(&self.source, e))?);
        self.check_first()?;
        self.buffer.clear();
        Ok(())
    }

    fn check_first(&mut self) -> Result<(), InputError> {
        if !std::mem::replace(&mut self.seen_first, true) {
            kind::check(&self.buffer, self.options.any_bytes)
                .map_err(|what| InputError::NotText { place: self.source.to_string(), what })?;
        }
        Ok(())
    }

    /// Compares what an earlier run absorbed with the file and goes on behind it, or begins a new
    /// version.
    fn continue_file(&mut self, session: &mut Session) -> Result<(), InputError> {
        let From::Whole(whole) = &mut self.from else { return Ok(()) };
        let absorbed = self.start.absorbed_bytes;
        if absorbed == 0 {
            return Ok(());
        }
        let length = self.length.unwrap_or(0);
        let hasher = if length < absorbed {
            None
        } else {
            hash_prefix(whole, absorbed, &mut self.buffer)
                .map_err(|e| InputError::read(&self.source, e))?
        };
        self.buffer.clear();
        let name = self.source.name.clone();
        match hasher {
            Some(hasher) if *hasher.finalize().as_bytes() == self.start.prefix_hash => {
                session.continue_hash(hasher);
                self.notices.push_back(if length == absorbed && !self.options.follow {
                    Notice::Unchanged { name, bytes: absorbed }
                } else {
                    Notice::Continues { name, bytes: absorbed }
                });
            }
            _ => {
                self.restart(session)?;
                let version = self.start.version;
                self.notices.push_back(Notice::Changed { name, version });
            }
        }
        Ok(())
    }

    /// Begins a new version from the first byte of a file.
    fn restart(&mut self, session: &mut Session) -> Result<(), InputError> {
        if let From::Whole(whole) = &mut self.from {
            whole.seek(0).map_err(|e| InputError::read(&self.source, e))?;
        }
        self.start = session.new_version(&self.source.name)?;
        self.say_written(session);
        Ok(())
    }

    /// Lines without a year are of the year in which the file was last written.
    fn say_written(&self, session: &mut Session) {
        if let From::Whole(whole) = &self.from
            && !self.options.follow
            && let Some(ms) = whole.written_ms()
        {
            session.written_at(ms);
        }
    }

    /// Does the next small thing: absorbs a chunk when one is full, else feeds, else reads.
    ///
    /// # Errors
    /// [`InputError`]; what was absorbed before stays absorbed.
    pub fn step(&mut self, session: &mut Session) -> Result<Step, InputError> {
        if session.absorb_ahead(1)? > 0 {
            return Ok(Step::Absorbed);
        }
        if self.fed < self.buffer.len() {
            let part = &self.buffer[self.fed..];
            let part = &part[..part.len().min(PIECE_BYTES)];
            if let Some(json) = &mut self.json {
                json.push(part);
            }
            session.encode_ahead(part)?;
            self.fed += part.len();
            self.mid_line = !part.ends_with(b"\n");
            self.news = Some(Instant::now());
            return Ok(Step::Read);
        }
        self.fed = 0;
        match self.read(session)? {
            Got::Bytes(_) => Ok(Step::Read),
            Got::Nothing => self.idle(session),
            Got::End => Ok(Step::End),
        }
    }

    fn read(&mut self, session: &mut Session) -> Result<Got, InputError> {
        if !matches!(self.state, State::Reading) {
            return self.read_prefix(session);
        }
        let got = match &mut self.from {
            From::Whole(whole) => whole.read(&mut self.buffer),
            From::Stream(stream) => stream.read(&mut self.buffer),
        };
        let got = got.map_err(|e| InputError::read(&self.source, e))?;
        match got {
            Got::Bytes(_) => self.check_first()?,
            Got::Nothing => self.buffer.clear(),
            Got::End => {
                self.buffer.clear();
                return self.at_end(session);
            }
        }
        Ok(got)
    }

    fn at_end(&mut self, session: &mut Session) -> Result<Got, InputError> {
        let From::Whole(whole) = &mut self.from else { return Ok(Got::End) };
        let failed = |e| InputError::read(&self.source, e);
        let length = whole.length().map_err(failed)?;
        let (name, read) = (self.source.name.clone(), whole.at);
        if !self.options.follow {
            if length < read {
                self.notices.push_back(Notice::Shrank { name, read, length });
            }
            return Ok(Got::End);
        }
        let replaced = whole.reopen_if_replaced().map_err(failed)?;
        if replaced || length < read {
            session.drain(true)?;
            self.restart(session)?;
            self.length = None;
            let version = self.start.version;
            self.notices.push_back(Notice::Rotated { name, version });
        }
        std::thread::sleep(POLL);
        Ok(Got::Nothing)
    }

    /// Nothing came: after a while what was read becomes a block, so that it can be asked about.
    fn idle(&mut self, session: &mut Session) -> Result<Step, InputError> {
        if self.news.is_some_and(|t| t.elapsed() >= SETTLE) {
            self.settle(session)?;
        }
        Ok(Step::Idle)
    }

    fn settle(&mut self, session: &mut Session) -> Result<(), InputError> {
        self.news = None;
        session.drain(false)?;
        Ok(session.flush()?)
    }

    fn spool(&self, source: io::Error) -> InputError {
        InputError::Spool { place: self.source.to_string(), source }
    }

    /// A stream cannot go back: its first bytes are set aside in a file while they are compared.
    fn read_prefix(&mut self, session: &mut Session) -> Result<Got, InputError> {
        match std::mem::replace(&mut self.state, State::Reading) {
            State::Comparing { left, hasher, spool } => self.compare(session, left, hasher, spool),
            State::Replaying { mut spool } => {
                self.buffer.resize(READ_BYTES, 0);
                let n = spool.read(&mut self.buffer).map_err(|e| self.spool(e))?;
                self.buffer.truncate(n);
                if n > 0 {
                    self.state = State::Replaying { spool };
                    return Ok(Got::Bytes(n));
                }
                self.read(session)
            }
            State::Reading => self.read(session),
        }
    }

    fn compare(
        &mut self,
        session: &mut Session,
        left: u64,
        mut hasher: Box<blake3::Hasher>,
        mut spool: File,
    ) -> Result<Got, InputError> {
        let From::Stream(stream) = &mut self.from else { return Ok(Got::End) };
        let got = stream.read(&mut self.buffer);
        let got = got.map_err(|e| InputError::read(&self.source, e))?;
        let Got::Bytes(n) = got else {
            self.buffer.clear();
            if matches!(got, Got::Nothing) {
                self.state = State::Comparing { left, hasher, spool };
                return Ok(got);
            }
            return self.replay(session, spool);
        };
        self.check_first()?;
        spool.write_all(&self.buffer).map_err(|e| self.spool(e))?;
        let in_prefix = usize::try_from(left).unwrap_or(usize::MAX).min(n);
        hasher.update(&self.buffer[..in_prefix]);
        let left = left - in_prefix as u64;
        if left > 0 {
            self.buffer.clear();
            self.state = State::Comparing { left, hasher, spool };
            return Ok(Got::Nothing);
        }
        if *hasher.finalize().as_bytes() != self.start.prefix_hash {
            return self.replay(session, spool);
        }
        session.continue_hash(*hasher);
        let (name, bytes) = (self.source.name.clone(), self.start.absorbed_bytes);
        self.notices.push_back(Notice::Continues { name, bytes });
        self.fed = in_prefix;
        Ok(Got::Bytes(n))
    }

    fn replay(&mut self, session: &mut Session, mut spool: File) -> Result<Got, InputError> {
        self.buffer.clear();
        spool.rewind().map_err(|e| self.spool(e))?;
        self.start = session.new_version(&self.source.name)?;
        let (name, version) = (self.source.name.clone(), self.start.version);
        self.notices.push_back(Notice::Changed { name, version });
        self.state = State::Replaying { spool };
        Ok(Got::Nothing)
    }

    /// Absorbs what was read and ends the source.
    ///
    /// # Errors
    /// [`InputError::Absorb`]; what was absorbed before stays absorbed.
    pub fn finish(&mut self, session: &mut Session) -> Result<(), InputError> {
        session.finish_source()?;
        if let Some(json) = &mut self.json {
            json.finish();
            if json.bad > 0 {
                let (name, lines, first) = (self.source.name.clone(), json.bad, json.first_bad);
                self.notices.push_back(Notice::NotJson { name, lines, first });
            }
        }
        Ok(session.flush()?)
    }

    /// Stops after the last chunk; a later run continues there.
    ///
    /// # Errors
    /// [`InputError::Absorb`]; what was absorbed before stays absorbed.
    pub fn stop(&mut self, session: &mut Session) -> Result<(), InputError> {
        session.pause_source()?;
        Ok(session.flush()?)
    }

    /// The next thing that a person should know.
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Where this run began.
    #[must_use]
    pub const fn start(&self) -> &SourceStart {
        &self.start
    }

    /// Bytes that are left to be read in this run from its beginning on; `None` for a stream.
    #[must_use]
    pub fn bytes_total(&self) -> Option<u64> {
        Some(self.length?.saturating_sub(self.start.absorbed_bytes))
    }

    /// Whether all that was read is absorbed and durable.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.news.is_none()
    }

    /// Whether what was read in this run ends inside a line.
    #[must_use]
    pub const fn ends_mid_line(&self) -> bool {
        self.mid_line
    }

    /// The source.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }
}

/// The hash of the first `bytes` bytes, the file left behind them; `None` when it ends before.
fn hash_prefix(
    whole: &mut Whole,
    bytes: u64,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<blake3::Hasher>> {
    whole.seek(0)?;
    let mut hasher = blake3::Hasher::new();
    let mut left = bytes;
    while left > 0 {
        let Got::Bytes(n) = whole.read(buffer)? else { return Ok(None) };
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(n);
        hasher.update(&buffer[..part]);
        left -= part as u64;
    }
    whole.seek(bytes)?;
    Ok(Some(hasher))
}
