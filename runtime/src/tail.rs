//! The tail: tokens that were absorbed and belong to no block yet, with their text.
//!
//! Blocks are cut at line ends where that leaves enough tokens in them: half of all facts would
//! otherwise cross a block's edge. The tail's tokens are the newest of the window, so a block's
//! keys and values are read from the window when the block is cut.

use lcedge_memory::Span;

use crate::limits::BLOCK_TOKENS_MIN;

/// One absorbed token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TailToken {
    /// Token id.
    pub id: u32,
    /// End of its bytes in the source.
    pub byte_end: u64,
    /// Surprise in nats: minus the log-probability the model gave it; `NaN` when not measured.
    pub nats: f32,
}

/// What a finished block is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// Tokens, from the tail's front.
    pub tokens: usize,
    /// Where they lie in the source.
    pub span: Span,
    /// The first byte is not the first of its line.
    pub starts_mid_line: bool,
    /// The last byte is not the last of its line.
    pub ends_mid_line: bool,
    /// Sum of the measured surprise, nats.
    pub surprise_nats: f32,
}

/// Unblocked tokens and text of the current source.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    tokens: Vec<TailToken>,
    text: Vec<u8>,
    /// What the decoder gave for a trained address: `row` values a token.
    rows: Vec<f32>,
    row: usize,
    /// Offset in the source of `text[0]`.
    byte: u64,
    /// Line of `text[0]`, from 1.
    line: u64,
    mid_line: bool,
}

impl Tail {
    /// A tail with room for `tokens` tokens and their text, and `row` values for each.
    #[must_use]
    pub fn with_capacity(tokens: usize, row: usize) -> Self {
        Self {
            tokens: Vec::with_capacity(tokens),
            text: Vec::with_capacity(16 * tokens),
            rows: Vec::with_capacity(row * tokens),
            row,
            ..Self::default()
        }
    }

    /// Forgets everything and starts at `byte` of a source, in line `line`; with `mid_line` that
    /// byte is not the line's first.
    pub fn start(&mut self, byte: u64, line: u64, mid_line: bool) {
        self.tokens.clear();
        self.text.clear();
        self.rows.clear();
        (self.byte, self.line, self.mid_line) = (byte, line, mid_line);
    }

    /// Adds tokens; their text is added with [`Tail::push_text`].
    pub fn push(&mut self, token: TailToken) {
        self.tokens.push(token);
    }

    /// Values of a token for a trained address; 0 without one.
    #[must_use]
    pub const fn row(&self) -> usize {
        self.row
    }

    /// Adds what the decoder gave for a trained address, for the tokens added last.
    pub fn push_rows(&mut self, rows: &[f32]) {
        self.rows.extend_from_slice(rows);
    }

    /// The same of the first `tokens` tokens, `[tokens, row]`.
    #[must_use]
    pub fn rows(&self, tokens: usize) -> &[f32] {
        &self.rows[..(tokens * self.row).min(self.rows.len())]
    }

    /// Adds the text that follows what is held.
    pub fn push_text(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
    }

    /// Tokens held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether no token is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The tokens held, oldest first.
    #[must_use]
    pub fn tokens(&self) -> &[TailToken] {
        &self.tokens
    }

    /// Offset in the source of the first byte held.
    #[must_use]
    pub const fn byte_start(&self) -> u64 {
        self.byte
    }

    /// Line of the first byte held, from 1.
    #[must_use]
    pub const fn line_start(&self) -> u64 {
        self.line
    }

    /// Text between two offsets of the source that are both held.
    #[must_use]
    pub fn text(&self, from: u64, to: u64) -> &[u8] {
        let at = |x: u64| usize::try_from(x.saturating_sub(self.byte)).unwrap_or(usize::MAX);
        self.text.get(at(from)..at(to).min(self.text.len())).unwrap_or(&[])
    }

    /// Whether a token that ends at byte `end` of the source ends a line; its text is held.
    #[must_use]
    pub fn ends_line(&self, end: u64) -> bool {
        let at = usize::try_from(end.saturating_sub(self.byte)).unwrap_or(usize::MAX);
        at > 0 && self.text.get(at - 1) == Some(&b'\n')
    }

    /// The next block of at most `max` tokens, or `None` while fewer are held. With `rest`, what
    /// is left makes a block too.
    #[must_use]
    pub fn next_cut(&self, max: usize, rest: bool) -> Option<Cut> {
        let ends_line = |i: usize| self.ends_line(self.tokens[i].byte_end);
        block_tokens(self.tokens.len(), max, rest, ends_line).map(|n| self.cut(n))
    }

    /// What a block of the first `tokens` tokens is made of.
    ///
    /// # Panics
    /// When fewer are held.
    #[must_use]
    pub fn cut(&self, tokens: usize) -> Cut {
        let taken = &self.tokens[..tokens];
        let byte_end = taken.last().map_or(self.byte, |t| t.byte_end);
        let text = self.text(self.byte, byte_end);
        let newlines = text.iter().filter(|&&b| b == b'\n').count() as u64;
        let ends_mid_line = !text.ends_with(b"\n");
        let line_end = self.line + newlines - u64::from(!ends_mid_line);
        let measured = taken.iter().map(|t| t.nats).filter(|n| n.is_finite());
        Cut {
            tokens,
            span: Span { byte_start: self.byte, byte_end, line_start: self.line, line_end },
            starts_mid_line: self.mid_line,
            ends_mid_line,
            surprise_nats: measured.sum(),
        }
    }

    /// Takes a cut's tokens and text out.
    pub fn take(&mut self, cut: &Cut) {
        self.tokens.drain(..cut.tokens);
        self.rows.drain(..(cut.tokens * self.row).min(self.rows.len()));
        let bytes = usize::try_from(cut.span.byte_end - self.byte).unwrap_or(usize::MAX);
        self.text.drain(..bytes.min(self.text.len()));
        self.byte = cut.span.byte_end;
        self.line = cut.span.line_end + u64::from(!cut.ends_mid_line);
        self.mid_line = cut.ends_mid_line;
    }
}

/// How many of `held` tokens make the next block of at most `max`: up to the last line end that
/// leaves enough in it. `None` while fewer than `max` are held, unless there is no more to come
/// (`rest`). `ends_line` says whether token `i` ends a line.
#[must_use]
pub fn block_tokens(
    held: usize,
    max: usize,
    rest: bool,
    ends_line: impl Fn(usize) -> bool,
) -> Option<usize> {
    if held == 0 || (held < max && !rest) {
        return None;
    }
    if rest && held <= max {
        return Some(held);
    }
    let line_end = (BLOCK_TOKENS_MIN..=max).rev().find(|&n| ends_line(n - 1));
    Some(line_end.filter(|&n| held > n || rest).unwrap_or(max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One token a byte.
    fn tail(text: &[u8]) -> Tail {
        let mut t = Tail::default();
        t.start(0, 1, false);
        t.push_text(text);
        for (i, &byte) in text.iter().enumerate() {
            t.push(TailToken { id: u32::from(byte), byte_end: i as u64 + 1, nats: 1.0 });
        }
        t
    }

    #[test]
    fn cuts_at_the_last_line_end_that_leaves_enough() {
        let line = [b'a'; 29];
        let mut text = line.to_vec();
        text.push(b'\n');
        text.extend([b'b'; 60]);
        let mut t = tail(&text);
        let c = t.next_cut(64, false).unwrap();
        assert_eq!((c.tokens, c.span.line_start, c.span.line_end), (30, 1, 1));
        assert!(!c.starts_mid_line && !c.ends_mid_line);
        assert_eq!(c.surprise_nats, 30.0);
        t.take(&c);
        assert_eq!((t.len(), t.byte_start(), t.line_start()), (60, 30, 2));
        assert_eq!(t.next_cut(64, false), None, "60 tokens wait for more");
        let rest = t.next_cut(64, true).unwrap();
        assert_eq!((rest.tokens, rest.span.line_end, rest.ends_mid_line), (60, 2, true));
    }

    #[test]
    fn a_long_line_is_cut_where_the_block_is_full() {
        let mut t = tail(&[b'x'; 150]);
        for (from, n) in [(0, 64), (64, 64), (128, 22)] {
            let c = t.next_cut(64, true).unwrap();
            assert_eq!((c.span.byte_start, c.tokens), (from, n));
            assert_eq!(c.starts_mid_line, from > 0);
            assert_eq!((c.span.line_start, c.span.line_end), (1, 1));
            t.take(&c);
        }
        assert!(t.is_empty());
    }

    proptest! {
        #[test]
        fn blocks_tile_the_text_and_count_its_lines(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), b'a'..b'd'], 1..400),
            max in 24usize..80,
        ) {
            let mut t = tail(&text);
            let mut at = 0u64;
            while let Some(c) = t.next_cut(max, true) {
                prop_assert!(c.tokens >= 1 && c.tokens <= max);
                prop_assert_eq!(c.span.byte_start, at);
                let newlines = |byte: usize| text[..byte].iter().filter(|&&b| b == b'\n').count();
                let line_of = |byte: usize| 1 + newlines(byte) as u64;
                prop_assert_eq!(c.span.line_start, line_of(at as usize));
                prop_assert_eq!(c.span.line_end, line_of(c.span.byte_end as usize - 1));
                prop_assert_eq!(c.starts_mid_line, at > 0 && text[at as usize - 1] != b'\n');
                prop_assert_eq!(c.ends_mid_line, text[c.span.byte_end as usize - 1] != b'\n');
                at = c.span.byte_end;
                t.take(&c);
            }
            prop_assert_eq!(at, text.len() as u64);
        }
    }
}
