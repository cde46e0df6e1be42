//! Decoding one token at a time: text comes out in whole characters.

use super::{Alphabet, Tokenizer};

/// Gives the text of tokens as soon as its characters are whole.
#[derive(Debug)]
pub struct DecodeStream<'a> {
    tokenizer: &'a Tokenizer,
    /// The bytes of a character that is not whole yet: three at most.
    pending: Vec<u8>,
    begun: bool,
}

impl<'a> DecodeStream<'a> {
    pub(super) const fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, pending: Vec::new(), begun: false }
    }

    /// The text that `id` completes; special tokens give none.
    pub fn push(&mut self, id: u32) -> String {
        if self.tokenizer.is_special(id) {
            return String::new();
        }
        let mut bytes = self.tokenizer.token_bytes(id);
        if !self.begun && self.tokenizer.alphabet == Alphabet::Pieces {
            // Such tokenizers put a space before every text; it is not part of it.
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        self.begun = true;
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        let mut rest = 0;
        for chunk in self.pending.utf8_chunks() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            let at = rest + chunk.valid().len();
            rest = at + invalid.len();
            if invalid.is_empty() {
                continue;
            }
            let last = rest == self.pending.len();
            let open = std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
            if last && open {
                rest = at;
                break;
            }
            text.push('\u{FFFD}');
        }
        self.pending.drain(..rest);
        text
    }

    /// What is left at the end: U+FFFD for a character that never became whole.
    pub fn finish(&mut self) -> String {
        let left = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        left
    }
}
