//! Text to tokens and back.
//!
//! One form is kept of every tokenizer: Hugging Face's `tokenizer.json` (made from a GGUF file's
//! vocabulary and merges where the model comes from there). Text that is read (*data*) never
//! yields special tokens: a log line that contains `<|im_end|>` stays text. Templates do.

mod bytes;
mod gguf;
mod spans;
mod stream;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use gguf::{TokenizerGgufError, json_from_gguf};
pub use spans::Encoded;
pub use stream::DecodeStream;

use crate::decoder::VOCAB_MAX;

/// Why a tokenizer could not be read or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The file could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a tokenizer that is read here.
    #[error("the tokenizer cannot be read: {0}")]
    Malformed(String),
    /// The tokenizer refused a text.
    #[error("the tokenizer failed on a text of {bytes} bytes: {message}")]
    Encode {
        /// Length of the text.
        bytes: usize,
        /// What the tokenizer said.
        message: String,
    },
}

/// What decides how tokens relate to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alphabet {
    /// Every byte is a letter (GPT-2): tokens are runs of bytes.
    Bytes,
    /// Text with `▁` for spaces, and bytes as `<0xNN>` where a character is not known.
    Pieces,
}

/// A tokenizer.
#[derive(Debug)]
pub struct Tokenizer {
    data: tokenizers::Tokenizer,
    template: tokenizers::Tokenizer,
    alphabet: Alphabet,
    /// The bytes of each token; empty for ids that do not exist.
    token_bytes: Vec<Box<[u8]>>,
    special: Vec<bool>,
    /// Whether a byte has no token, so that the tokenizer drops it.
    dropped: [bool; 256],
}

/// The fields of `tokenizer.json` that matter here beside the library's own reading.
#[derive(Deserialize)]
struct Outline {
    decoder: Option<serde_json::Value>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json` file.
    ///
    /// # Errors
    /// [`TokenizerError`] when the file cannot be read or is not a tokenizer.
    pub fn open(path: &Path) -> Result<Self, TokenizerError> {
        let json = std::fs::read(path)
            .map_err(|source| TokenizerError::Io { path: path.to_path_buf(), source })?;
        Self::from_json(&json)
    }

    /// Reads the text of a `tokenizer.json` file.
    ///
    /// # Errors
    /// [`TokenizerError::Malformed`] when it is not a tokenizer.
    pub fn from_json(json: &[u8]) -> Result<Self, TokenizerError> {
        let malformed = |e: String| TokenizerError::Malformed(e);
        let outline: Outline =
            serde_json::from_slice(json).map_err(|e| malformed(e.to_string()))?;
        let template =
            tokenizers::Tokenizer::from_bytes(json).map_err(|e| malformed(e.to_string()))?;
        let mut data = template.clone();
        data.set_encode_special_tokens(true);
        let alphabet = if names_byte_level(outline.decoder.as_ref()) {
            Alphabet::Bytes
        } else {
            Alphabet::Pieces
        };
        let added = template.get_added_tokens_decoder();
        let vocab = template.get_vocab(true);
        let size = vocab.values().max().map_or(0, |id| *id as usize + 1);
        if size > VOCAB_MAX {
            return Err(malformed(format!("a token of id {}, above {VOCAB_MAX}", size - 1)));
        }
        let mut token_bytes = vec![Box::default(); size];
        let mut special = vec![false; size];
        for (token, id) in &vocab {
            let at = *id as usize;
            token_bytes[at] = match added.get(id) {
                Some(added) => added.content.as_bytes().into(),
                None => bytes::of_token(token, alphabet),
            };
            special[at] = added.get(id).is_some_and(|t| t.special);
        }
        let dropped = bytes::dropped(&template, alphabet);
        Ok(Self { data, template, alphabet, token_bytes, special, dropped })
    }

    /// Tokens of a text that is data: special tokens in it stay text.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`] when the library fails.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        ids(&self.data, text)
    }

    /// Tokens of a rendered template: special tokens in it are special.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`] when the library fails.
    pub fn encode_template(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        ids(&self.template, text)
    }

    /// The text of `ids`, without special tokens; bytes that are not UTF-8 become U+FFFD.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut stream = self.stream();
        let mut text = String::new();
        for id in ids {
            text.push_str(&stream.push(*id));
        }
        text.push_str(&stream.finish());
        text
    }

    /// A decoder that is given one token at a time.
    #[must_use]
    pub const fn stream(&self) -> DecodeStream<'_> {
        DecodeStream::new(self)
    }

    /// The bytes a token stands for: its text where it is special, nothing for an unknown id.
    #[must_use]
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.token_bytes.get(id as usize).map_or(&[], |b| b)
    }

    /// Whether a token is special (control), not text.
    #[must_use]
    pub fn is_special(&self, id: u32) -> bool {
        self.special.get(id as usize).copied().unwrap_or(false)
    }

    /// The id of a token by its text in the vocabulary, if it exists.
    #[must_use]
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.template.token_to_id(token)
    }

    /// One more than the largest id.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.token_bytes.len()
    }

    /// The byte values that the vocabulary cannot express; such bytes are left out and counted.
    pub fn inexpressible(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|b| self.dropped[usize::from(*b)])
    }
}

fn ids(tokenizer: &tokenizers::Tokenizer, text: &str) -> Result<Vec<u32>, TokenizerError> {
    tokenizer
        .encode_fast(text, false)
        .map(|e| e.get_ids().to_vec())
        .map_err(|e| TokenizerError::Encode { bytes: text.len(), message: e.to_string() })
}

/// Whether a decoder is `ByteLevel`, alone or within a sequence.
fn names_byte_level(decoder: Option<&serde_json::Value>) -> bool {
    let Some(decoder) = decoder else { return false };
    if decoder.get("type").is_some_and(|t| t == "ByteLevel") {
        return true;
    }
    let inner = decoder.get("decoders").and_then(|d| d.as_array());
    inner.is_some_and(|all| all.iter().any(|d| names_byte_level(Some(d))))
}
