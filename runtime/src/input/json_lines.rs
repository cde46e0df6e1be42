//! Counting lines that should be JSON and are not.

use serde::de::IgnoredAny;

/// Longest line that is looked into.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Looks at every line that passes.
#[derive(Clone, Debug, Default)]
pub(super) struct JsonLines {
    line: Vec<u8>,
    too_long: bool,
    /// Whole lines so far.
    lines: u64,
    /// Lines that are not JSON.
    pub(super) bad: u64,
    /// The first of them, from 1.
    pub(super) first_bad: u64,
}

impl JsonLines {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|&b| b == b'\n') {
            if self.line.len() + part.len() > LINE_BYTES_MAX {
                self.too_long = true;
            } else {
                self.line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                self.end();
            }
        }
    }

    /// Ends the last line, when it has no end of its own.
    pub(super) fn finish(&mut self) {
        if !self.line.is_empty() {
            self.end();
        }
    }

    fn end(&mut self) {
        self.lines += 1;
        let blank = self.line.iter().all(u8::is_ascii_whitespace);
        let json = || serde_json::from_slice::<IgnoredAny>(&self.line).is_ok();
        if !self.too_long && !blank && !json() {
            self.bad += 1;
            if self.first_bad == 0 {
                self.first_bad = self.lines;
            }
        }
        self.line.clear();
        self.too_long = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_judged_wherever_they_are_cut() {
        let text = b"{\"a\":1}\r\n\n[2]\n{broken\n\"x\"\nno";
        for step in 1..text.len() {
            let mut lines = JsonLines::default();
            text.chunks(step).for_each(|part| lines.push(part));
            lines.finish();
            assert_eq!((lines.lines, lines.bad, lines.first_bad), (6, 2, 4), "in steps of {step}");
        }
    }
}
