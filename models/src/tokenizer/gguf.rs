//! The tokenizer of a GGUF file as `tokenizer.json`.

use serde_json::{Map, Value, json};

use crate::gguf::{Gguf, GgufError};

/// A token that stands for no text.
const CONTROL: i64 = 3;
/// A token that is taken out of the text before anything else.
const USER_DEFINED: i64 = 4;

/// Llama 3's way to split text before merging.
const LLAMA_3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// Why a GGUF file's tokenizer could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerGgufError {
    /// A metadata key is missing or of another type.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The tokenizer is of a kind that is not built here.
    #[error("{key} is {found:?}; built here: {supported}")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What is built here.
        supported: &'static str,
    },
    /// A merge is not two tokens.
    #[error("merge {index} is {merge:?}, not two tokens")]
    Merge {
        /// Its place in the list.
        index: usize,
        /// The merge.
        merge: String,
    },
    /// Two lists that belong together have different lengths.
    #[error("{tokens} tokens but {types} token types")]
    Lengths {
        /// Tokens.
        tokens: usize,
        /// Types.
        types: usize,
    },
}

/// The text of a `tokenizer.json` with the vocabulary, merges and splitting of `gguf`.
///
/// # Errors
/// [`TokenizerGgufError`] when it is missing something or of a kind that is not built here.
pub fn json_from_gguf(gguf: &Gguf) -> Result<Vec<u8>, TokenizerGgufError> {
    let need = |key: &str| Gguf::missing(key, "a list");
    let model = gguf.text("tokenizer.ggml.model")?.unwrap_or("missing");
    if model != "gpt2" {
        let (key, supported) = ("tokenizer.ggml.model", "gpt2 (byte-level BPE)");
        return Err(TokenizerGgufError::Unsupported { key, found: model.into(), supported });
    }
    let tokens = gguf.get("tokenizer.ggml.tokens").and_then(|v| v.texts());
    let tokens = tokens.ok_or_else(|| need("tokenizer.ggml.tokens"))?;
    let merges = gguf.get("tokenizer.ggml.merges").and_then(|v| v.texts());
    let merges = merges.ok_or_else(|| need("tokenizer.ggml.merges"))?;
    let types = gguf.get("tokenizer.ggml.token_type").and_then(|v| v.integers()).unwrap_or(&[]);
    if !types.is_empty() && types.len() != tokens.len() {
        let (tokens, types) = (tokens.len(), types.len());
        return Err(TokenizerGgufError::Lengths { tokens, types });
    }
    let (pre_tokenizer, ignore_merges) = splitting(gguf)?;
    let vocab: Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let json = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(tokens, types),
        "normalizer": null,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": null,
        "decoder": byte_level(true),
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": ignore_merges,
            "vocab": vocab,
            "merges": pairs(merges)?,
        },
    });
    Ok(json.to_string().into_bytes())
}

fn added_tokens(tokens: &[String], types: &[i64]) -> Vec<Value> {
    let of_type = |(id, kind): (usize, &i64)| {
        matches!(*kind, CONTROL | USER_DEFINED).then(|| {
            json!({
                "id": id,
                "content": tokens[id],
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
                "special": *kind == CONTROL,
            })
        })
    };
    types.iter().enumerate().filter_map(of_type).collect()
}

fn pairs(merges: &[String]) -> Result<Vec<Value>, TokenizerGgufError> {
    let pair = |(index, merge): (usize, &String)| {
        // The first letter is never a space, so a pair splits at the first space behind it.
        let split = merge.split_once(' ').filter(|(a, b)| !a.is_empty() && !b.is_empty());
        let (a, b) =
            split.ok_or_else(|| TokenizerGgufError::Merge { index, merge: merge.clone() })?;
        Ok(json!([a, b]))
    };
    merges.iter().enumerate().map(pair).collect()
}

/// The pre-tokenizer, and whether whole words of the vocabulary need no merges.
fn splitting(gguf: &Gguf) -> Result<(Value, bool), TokenizerGgufError> {
    let pre = gguf.text("tokenizer.ggml.pre")?.unwrap_or("gpt-2");
    let sequence =
        |first: Value, last: Value| json!({ "type": "Sequence", "pretokenizers": [first, last] });
    Ok(match pre {
        "gpt-2" | "gpt2" | "default" => (byte_level(true), false),
        "smollm" | "starcoder" | "refact" | "command-r" => {
            let digits = json!({ "type": "Digits", "individual_digits": true });
            (sequence(digits, byte_level(true)), false)
        }
        "llama-bpe" | "llama3" | "llama-v3" => {
            let split = json!({
                "type": "Split",
                "pattern": { "Regex": LLAMA_3 },
                "behavior": "Isolated",
                "invert": false,
            });
            (sequence(split, byte_level(false)), true)
        }
        other => {
            return Err(TokenizerGgufError::Unsupported {
                key: "tokenizer.ggml.pre",
                found: other.into(),
                supported: "gpt-2, smollm, starcoder, refact, command-r, llama-bpe",
            });
        }
    })
}

fn byte_level(use_regex: bool) -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": false,
        "trim_offsets": true,
        "use_regex": use_regex,
    })
}
