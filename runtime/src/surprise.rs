//! The most surprising lines of what was read.
//!
//! A line's rank is its *excess*: nats beyond what its number of tokens would cost at the source's
//! running average. The total alone would favour long lines and the mean alone very short ones.

use crate::limits::{SURPRISE_LINES_MAX, SURPRISE_WARM_TOKENS};

/// A line and how surprising it was.
#[derive(Clone, Debug, PartialEq)]
pub struct SurprisingLine {
    /// Name of the source.
    pub source: String,
    /// Line number, from 1.
    pub line: u64,
    /// Sum of the tokens' surprise, nats.
    pub nats: f32,
    /// Mean surprise of a token, nats.
    pub nats_per_token: f32,
    /// Nats beyond the running average: the rank.
    pub excess: f32,
    /// The line's text, without its end, at most 400 bytes of it.
    pub text: String,
}

/// Adds up tokens into lines and keeps the most surprising ones.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    source: String,
    line: u64,
    nats: f64,
    tokens: u32,
    text: Vec<u8>,
    seen: u64,
    total: f64,
    top: Vec<SurprisingLine>,
    every: Option<Vec<(u64, f32, u32)>>,
}

const TEXT_BYTES_MAX: usize = 400;

impl Lines {
    /// Also keeps `(line, nats, tokens)` of every line, for evaluations.
    pub fn keep_every_line(&mut self) {
        self.every = Some(Vec::new());
    }

    /// Every line so far, when asked for with [`Lines::keep_every_line`].
    #[must_use]
    pub fn every_line(&self) -> &[(u64, f32, u32)] {
        self.every.as_deref().unwrap_or(&[])
    }

    /// Starts a source at `line`; what was kept of others stays.
    pub fn start(&mut self, source: &str, line: u64) {
        self.end_line();
        self.source.clear();
        self.source.push_str(source);
        (self.line, self.seen, self.total) = (line, 0, 0.0);
    }

    /// Adds a token: its surprise in nats (`NaN`: not measured) and its bytes. A token that holds
    /// line ends counts for the line of its first byte.
    pub fn push(&mut self, nats: f32, bytes: &[u8]) {
        if nats.is_finite() {
            self.nats += f64::from(nats);
            self.tokens += 1;
            self.seen += 1;
            self.total += f64::from(nats);
        }
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|&b| b == b'\n') {
            self.push_text(&rest[..at]);
            self.end_line();
            self.line += 1;
            rest = &rest[at + 1..];
        }
        self.push_text(rest);
    }

    fn push_text(&mut self, bytes: &[u8]) {
        let room = TEXT_BYTES_MAX.saturating_sub(self.text.len());
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Ends the current line (also at the end of a source).
    pub fn end_line(&mut self) {
        let (nats, tokens) = (self.nats, self.tokens);
        (self.nats, self.tokens) = (0.0, 0);
        let blank = self.text.iter().all(u8::is_ascii_whitespace);
        if tokens > 0 && !blank {
            if let Some(every) = &mut self.every {
                every.push((self.line, nats as f32, tokens));
            }
            let before = self.seen - u64::from(tokens);
            if before >= SURPRISE_WARM_TOKENS {
                let mean = (self.total - nats) / before as f64;
                self.offer(nats, tokens, nats - mean * f64::from(tokens));
            }
        }
        self.text.clear();
    }

    fn offer(&mut self, nats: f64, tokens: u32, excess: f64) {
        let excess = excess as f32;
        let at = self.top.partition_point(|l| l.excess >= excess);
        if at >= SURPRISE_LINES_MAX {
            return;
        }
        // The last one's buffers serve the new one, so a full list allocates nothing.
        let full = self.top.len() >= SURPRISE_LINES_MAX;
        let mut line = if full { self.top.pop() } else { None }.unwrap_or_else(|| SurprisingLine {
            source: String::new(),
            line: 0,
            nats: 0.0,
            nats_per_token: 0.0,
            excess: 0.0,
            text: String::with_capacity(2 * TEXT_BYTES_MAX),
        });
        line.source.clear();
        line.source.push_str(&self.source);
        line.line = self.line;
        line.nats = nats as f32;
        line.nats_per_token = (nats / f64::from(tokens)) as f32;
        line.excess = excess;
        line.text.clear();
        for part in self.text.utf8_chunks() {
            line.text.push_str(part.valid());
            if !part.invalid().is_empty() {
                line.text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        let end = line.text.trim_end_matches('\r').len();
        line.text.truncate(end);
        self.top.insert(at, line);
    }

    /// Tokens of the current source whose surprise was measured, and its sum in nats.
    #[must_use]
    pub const fn measured(&self) -> (u64, f64) {
        (self.seen, self.total)
    }

    /// The most surprising lines, most surprising first.
    #[must_use]
    pub fn top(&self) -> &[SurprisingLine] {
        &self.top
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_line_stands_out_whatever_its_length() {
        let mut l = Lines::default();
        l.start("a.log", 1);
        for i in 0..400u64 {
            let odd = i == 300;
            for _ in 0..if odd { 5 } else { 20 } {
                l.push(if odd { 7.0 } else { 1.0 }, b"w ");
            }
            l.push(0.1, b"\n");
        }
        let top = &l.top()[0];
        assert_eq!((top.line, top.source.as_str()), (301, "a.log"));
        assert!((top.nats - 35.1).abs() < 1e-3, "{top:?}");
        assert_eq!(top.text, "w w w w w ");
    }

    #[test]
    fn tokens_with_line_ends_inside_count_for_their_first_line() {
        let mut l = Lines::default();
        l.start("a", 1);
        l.keep_every_line();
        l.push(1.0, b"one");
        l.push(2.0, b"\n\ntwo");
        l.push(4.0, b"x\n");
        l.end_line();
        assert_eq!(l.every_line(), [(1, 3.0, 2), (3, 4.0, 1)]);
    }
}
