//! Between text and tokens, as the session sees it.

use std::ops::Range;

/// Tokens of a piece of text and where each ends in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub ids: Vec<u32>,
    /// For each token, the end of its bytes in the original piece; ascending.
    pub ends: Vec<u32>,
    /// Bytes that the vocabulary cannot express.
    pub dropped_bytes: u64,
    /// Sequences that were not UTF-8 and were read as U+FFFD.
    pub invalid_utf8: u64,
}

/// A question as a chat turn, ready to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Token ids, from the turn's opening to where the answer begins.
    pub ids: Vec<u32>,
    /// Which of them are the question's own words.
    pub question: Range<usize>,
}

/// Text that cannot be turned into tokens or back.
#[derive(Debug, thiserror::Error)]
#[error("the tokenizer failed: {0}")]
pub struct CodecError(pub String);

/// Turns text into tokens and back, and a question into a chat turn.
pub trait Codec: Send + Sync {
    /// Tokens of a piece of text as data: nothing in it is read as a special token.
    ///
    /// # Errors
    /// [`CodecError`] with the tokenizer's own words.
    fn encode(&self, text: &[u8]) -> Result<Encoded, CodecError>;

    /// Text of tokens, special ones left out.
    fn decode(&self, ids: &[u32]) -> String;

    /// A question as the turn that follows what is remembered.
    ///
    /// # Errors
    /// [`CodecError`] with the tokenizer's or the template's own words.
    fn turn(&self, question: &str) -> Result<Turn, CodecError>;

    /// What a person says in a conversation, behind the exchanges before it (what was said and what
    /// was replied, oldest first), as the turn that an ordinary reply follows; `system` instead of
    /// the template's own system message.
    ///
    /// # Errors
    /// [`CodecError`] with the tokenizer's or the template's own words.
    fn chat_turn(
        &self,
        system: Option<&str>,
        before: &[(String, String)],
        text: &str,
    ) -> Result<Turn, CodecError> {
        let _ = (system, before);
        self.turn(text)
    }

    /// The first tokens of every session: attention sinks.
    fn sinks(&self) -> &[u32];

    /// The first token of what a trained memory says when it does not hold the answer.
    fn absent(&self) -> Option<u32> {
        None
    }

    /// Whether a token ends an answer.
    fn ends_answer(&self, id: u32) -> bool;
}
