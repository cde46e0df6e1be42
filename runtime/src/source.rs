//! Text in pieces that the tokenizer reads the same way wherever the stream is cut.
//!
//! A cut lies between a line's end and a character that is not white space, or before a single
//! space inside a long line: byte-level tokenizers never join across either, so the tokens do not
//! depend on how the bytes arrived. Only text without any such place is cut at a character.

use crate::limits::{PIECE_BYTES, PIECE_BYTES_MAX};

/// Collects bytes and gives whole pieces.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    held: Vec<u8>,
}

impl Pieces {
    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Bytes held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes the next piece into `out` (cleared first); `false` when more bytes are needed. With
    /// `rest`, whatever is held is a piece.
    pub fn take(&mut self, rest: bool, out: &mut Vec<u8>) -> bool {
        out.clear();
        let n = match cut(&self.held) {
            Some(n) => n,
            None if rest && !self.held.is_empty() => self.held.len().min(PIECE_BYTES_MAX),
            None => return false,
        };
        out.extend_from_slice(&self.held[..n]);
        self.held.drain(..n);
        true
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.held.clear();
    }
}

/// Where the next piece ends: the last good place up to [`PIECE_BYTES`], else the first good one up
/// to [`PIECE_BYTES_MAX`], else a character's edge there.
fn cut(held: &[u8]) -> Option<usize> {
    if held.len() <= PIECE_BYTES + 1 {
        return None;
    }
    let line = |i: usize| held[i - 1] == b'\n' && !held[i].is_ascii_whitespace();
    let word = |i: usize| {
        held[i] == b' '
            && !held[i - 1].is_ascii_whitespace()
            && held.get(i + 1).is_some_and(|b| b.is_ascii_alphanumeric())
    };
    let good = |i: &usize| line(*i) || word(*i);
    if let Some(i) = (1..=PIECE_BYTES).rev().find(|&i| line(i)) {
        return Some(i);
    }
    if let Some(i) = (1..=PIECE_BYTES).rev().find(good) {
        return Some(i);
    }
    let end = held.len().min(PIECE_BYTES_MAX);
    if let Some(i) = (PIECE_BYTES + 1..end).find(good) {
        return Some(i);
    }
    if held.len() < PIECE_BYTES_MAX + 4 {
        return None;
    }
    (PIECE_BYTES_MAX - 3..=PIECE_BYTES_MAX).rev().find(|&i| held[i] & 0xC0 != 0x80).or(Some(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(text: &[u8], step: usize) -> Vec<Vec<u8>> {
        let (mut p, mut all, mut out) = (Pieces::default(), Vec::new(), Vec::new());
        for part in text.chunks(step) {
            p.push(part);
            while p.take(false, &mut out) {
                all.push(out.clone());
            }
        }
        while p.take(true, &mut out) {
            all.push(out.clone());
        }
        all
    }

    #[test]
    fn a_line_without_end_is_cut_at_characters() {
        let text = "é".repeat(20_000);
        for p in pieces(text.as_bytes(), 1000) {
            assert!(std::str::from_utf8(&p).is_ok() && p.len() <= PIECE_BYTES_MAX);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn pieces_join_to_the_text_and_do_not_depend_on_arrival(
            words in prop::collection::vec("[a-z]{1,12}[ \n]{1,3}", 0..3000),
            step in 1usize..9000,
        ) {
            let text = words.concat().into_bytes();
            let a = pieces(&text, step);
            prop_assert_eq!(a.concat(), &text[..]);
            let b = pieces(&text, 1 << 20);
            // The last piece depends on where the text ends, which is the same for both.
            prop_assert_eq!(a, b);
        }
    }
}
