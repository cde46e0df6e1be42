//! Tokens of raw bytes, with the byte of the input at which each token ends.

use super::{Alphabet, Tokenizer, TokenizerError};

/// Tokens of a piece of input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub ids: Vec<u32>,
    /// For each token the offset in the input behind its last byte: never falling, and the last one
    /// is the length of the input. A token that is part of a replaced invalid sequence, or one
    /// that completes no byte, ends where the one before it ends.
    pub byte_ends: Vec<u32>,
    /// Bytes that the vocabulary cannot express: no token stands for them.
    pub dropped_bytes: u64,
    /// Sequences that are not UTF-8, each read as U+FFFD.
    pub invalid_utf8: u64,
}

/// The text of an input, and where the two differ.
struct Lossy<'a> {
    text: std::borrow::Cow<'a, str>,
    /// For each replacement: where it begins in the text, and the input's range it stands for.
    replaced: Vec<(usize, std::ops::Range<usize>)>,
}

const REPLACEMENT: &str = "\u{FFFD}";

impl<'a> Lossy<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Self { text: text.into(), replaced: Vec::new() };
        }
        let mut text = String::with_capacity(bytes.len() + 16);
        let mut replaced = Vec::new();
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            at += chunk.valid().len();
            let invalid = chunk.invalid().len();
            if invalid > 0 {
                replaced.push((text.len(), at..at + invalid));
                text.push_str(REPLACEMENT);
                at += invalid;
            }
        }
        Self { text: text.into(), replaced }
    }

    /// Turns ascending offsets of the text into offsets of the input, in place.
    fn to_input(&self, offsets: &mut [u32]) {
        let mut next = 0;
        // How far the input is ahead of the text behind the replacements passed so far.
        let mut shift = 0_i64;
        for offset in offsets {
            let at = *offset as usize;
            while let Some((begin, range)) = self.replaced.get(next) {
                let end = begin + REPLACEMENT.len();
                if at < end {
                    break;
                }
                shift = range.end as i64 - end as i64;
                next += 1;
            }
            let inside = self.replaced.get(next).filter(|(begin, _)| at > *begin);
            let mapped = inside.map_or(at as i64 + shift, |(_, range)| range.start as i64);
            *offset = u32::try_from(mapped).unwrap_or(u32::MAX);
        }
    }
}

impl Tokenizer {
    /// Tokens of raw bytes, as data. Give long input in pieces that [`Tokenizer::cut`] chooses.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`] when the input is 4 GiB or longer, or the library fails.
    pub fn encode_spans(&self, bytes: &[u8]) -> Result<Encoded, TokenizerError> {
        let failed = |message: String| TokenizerError::Encode { bytes: bytes.len(), message };
        // Replacements lengthen the text threefold at most.
        let len = u32::try_from(bytes.len()).ok().filter(|n| *n < u32::MAX / 3);
        let len = len.ok_or_else(|| failed("longer than 1 GiB: give it in pieces".into()))?;
        let lossy = Lossy::new(bytes);
        let mut out = Encoded { invalid_utf8: lossy.replaced.len() as u64, ..Encoded::default() };
        match self.alphabet {
            Alphabet::Bytes => {
                out.ids = self.encode(&lossy.text)?;
                out.byte_ends = self.ends_by_bytes(&out.ids, lossy.text.as_bytes());
                let text = lossy.text.bytes();
                out.dropped_bytes = text.filter(|b| self.dropped[usize::from(*b)]).count() as u64;
            }
            Alphabet::Pieces => {
                let encoding = self.data.encode(&*lossy.text, false);
                let encoding = encoding.map_err(|e| failed(e.to_string()))?;
                out.ids = encoding.get_ids().to_vec();
                let mut last = 0;
                out.byte_ends = encoding
                    .get_offsets()
                    .iter()
                    .map(|(_, end)| {
                        last = last.max(u32::try_from(*end).unwrap_or(u32::MAX));
                        last
                    })
                    .collect();
            }
        }
        lossy.to_input(&mut out.byte_ends);
        if let Some(last) = out.byte_ends.last_mut() {
            *last = len;
        }
        Ok(out)
    }

    /// Where each token ends: tokens are runs of the text's bytes, less those that are dropped.
    fn ends_by_bytes(&self, ids: &[u32], text: &[u8]) -> Vec<u32> {
        let mut at = 0;
        let ends = ids.iter().map(|id| {
            for _ in self.token_bytes(*id) {
                while text.get(at).is_some_and(|b| self.dropped[usize::from(*b)]) {
                    at += 1;
                }
                at += 1;
            }
            u32::try_from(at.min(text.len())).unwrap_or(u32::MAX)
        });
        ends.collect()
    }

    /// Where to cut `bytes` so that the first piece has at most `max` bytes and tokenizing the
    /// pieces gives the tokens of the whole, where such a place exists: behind a line's end with
    /// no other white space beside it, else before a single space between words, else between
    /// characters.
    #[must_use]
    pub fn cut(&self, bytes: &[u8], max: usize) -> usize {
        if bytes.len() <= max {
            return bytes.len();
        }
        let graphic = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_graphic);
        let line = |at: usize| at > 1 && graphic(at - 2) && bytes[at - 1] == b'\n' && graphic(at);
        let word = |at: usize| bytes[at] == b' ' && graphic(at - 1) && graphic(at + 1);
        let places = || (1..=max).rev();
        places()
            .find(|at| line(*at))
            .or_else(|| places().find(|at| word(*at)))
            .or_else(|| places().take(4).find(|at| bytes[*at] & 0xC0 != 0x80))
            .unwrap_or(max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_the_text_become_offsets_of_the_input() {
        let lossy = Lossy::new(b"a\xFFb\xE2\x82c");
        assert_eq!(lossy.text, "a\u{FFFD}b\u{FFFD}c");
        let mut ends = [1, 2, 4, 5, 6, 8, 9];
        lossy.to_input(&mut ends);
        assert_eq!(ends, [1, 1, 2, 3, 3, 5, 6]);
    }
}
