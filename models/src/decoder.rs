//! The shape of a Llama-family decoder, as read from GGUF metadata or `config.json`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::gguf::{Gguf, GgufError};

/// Largest size of any dimension except the vocabulary: shapes of stored K,V have 16 bits.
pub(crate) const DIMENSION_MAX: usize = u16::MAX as usize;
/// Largest width of the feed-forward layer.
pub(crate) const FFN_MAX: usize = 1 << 20;
/// Largest vocabulary.
pub(crate) const VOCAB_MAX: usize = 1 << 22;
/// Longest trained context, in tokens.
pub(crate) const CONTEXT_MAX: usize = 1 << 24;

/// Shapes and constants of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoder {
    /// Architecture as the files call it.
    pub architecture: String,
    /// Name as the files state it.
    pub name: Option<String>,
    /// Decoder layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the gated feed-forward layer.
    pub ffn: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Rows of the embedding.
    pub vocab: usize,
    /// Positions the model was trained on.
    pub context: usize,
    /// RoPE base.
    pub rope_theta: f32,
    /// Epsilon of the RMS norms.
    pub rms_eps: f32,
    /// Whether the head is the embedding, transposed.
    pub tied_head: bool,
    /// First token of a session, where the model states one.
    pub bos: Option<u32>,
    /// Tokens that end an answer.
    pub eos: Vec<u32>,
    /// Licence as the files state it.
    pub licence: Option<String>,
}

/// Why a model's shape could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecoderError {
    /// A metadata key of the GGUF file.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A file of the model's folder could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the model's folder is not the JSON that it should be.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// The model has a property that is not built here.
    #[error("{what} is {found}; built here: {supported}")]
    Unsupported {
        /// The property.
        what: &'static str,
        /// Its value.
        found: String,
        /// What is built here.
        supported: &'static str,
    },
    /// A size is outside what is possible.
    #[error("{what} is {found}, expected {expected}")]
    Size {
        /// Which size.
        what: &'static str,
        /// Its value.
        found: usize,
        /// What fits.
        expected: String,
    },
}

impl Decoder {
    /// Reads the shape from GGUF metadata. `tied_head` is set by the caller, who knows the tensors.
    ///
    /// # Errors
    /// [`DecoderError`] when a key is missing, of a wrong type, or not of a Llama decoder.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, DecoderError> {
        let need = |key: &'static str| -> Result<usize, DecoderError> {
            Ok(gguf.integer(key)?.ok_or_else(|| Gguf::missing(key, "an integer"))?)
        };
        let architecture = gguf.text("general.architecture")?.unwrap_or("missing").to_owned();
        unless("general.architecture", architecture == "llama", &architecture, "llama")?;
        let scaling = gguf.text("llama.rope.scaling.type")?.unwrap_or("none");
        unless("llama.rope.scaling.type", scaling == "none", scaling, "none")?;
        let experts = gguf.integer("llama.expert_count")?.unwrap_or(0);
        unless("llama.expert_count", experts == 0, &experts.to_string(), "0")?;
        let heads = need("llama.attention.head_count")?;
        let hidden = need("llama.embedding_length")?;
        let head_dim = match gguf.integer("llama.attention.key_length")? {
            Some(n) => n,
            None => hidden.checked_div(heads).unwrap_or(0),
        };
        let rotated = gguf.integer("llama.rope.dimension_count")?.unwrap_or(head_dim);
        let whole = format!("{rotated} of {head_dim} values");
        unless("the rotated part of a head", rotated == head_dim, &whole, "the whole head")?;
        let tokens = gguf.get("tokenizer.ggml.tokens").and_then(|v| v.texts()).map(<[_]>::len);
        let vocab = match (gguf.integer("llama.vocab_size")?, tokens) {
            (Some(n), _) | (None, Some(n)) => n,
            (None, None) => return Err(Gguf::missing("llama.vocab_size", "an integer").into()),
        };
        let token = |key: &str| -> Result<Option<u32>, GgufError> {
            Ok(gguf.integer(key)?.and_then(|n| u32::try_from(n).ok()))
        };
        let mut eos: Vec<u32> = token("tokenizer.ggml.eos_token_id")?.into_iter().collect();
        eos.extend(token("tokenizer.ggml.eot_token_id")?.filter(|t| !eos.contains(t)));
        let rms = gguf.float("llama.attention.layer_norm_rms_epsilon")?;
        Self {
            architecture,
            name: gguf.text("general.name")?.map(str::to_owned),
            layers: need("llama.block_count")?,
            hidden,
            ffn: need("llama.feed_forward_length")?,
            heads,
            kv_heads: gguf.integer("llama.attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            vocab,
            context: need("llama.context_length")?,
            rope_theta: gguf.float("llama.rope.freq_base")?.unwrap_or(10_000.0) as f32,
            rms_eps: rms.ok_or_else(|| {
                Gguf::missing("llama.attention.layer_norm_rms_epsilon", "a number")
            })? as f32,
            tied_head: true,
            bos: token("tokenizer.ggml.bos_token_id")?,
            eos,
            licence: gguf.text("general.license")?.map(str::to_owned),
        }
        .checked()
    }

    /// Reads the shape from `config.json` of a Hugging Face folder.
    ///
    /// # Errors
    /// [`DecoderError`] when the file cannot be read or is not of a Llama decoder built here.
    pub fn from_folder(dir: &Path) -> Result<Self, DecoderError> {
        let path = dir.join("config.json");
        let text = std::fs::read(&path)
            .map_err(|source| DecoderError::Io { path: path.clone(), source })?;
        let config: Config = serde_json::from_slice(&text)
            .map_err(|source| DecoderError::Json { path: path.clone(), source })?;
        config.into_decoder()
    }

    fn checked(self) -> Result<Self, DecoderError> {
        let sizes = [
            ("layers", self.layers, DIMENSION_MAX),
            ("hidden size", self.hidden, DIMENSION_MAX),
            ("feed-forward size", self.ffn, FFN_MAX),
            ("attention heads", self.heads, DIMENSION_MAX),
            ("key/value heads", self.kv_heads, DIMENSION_MAX),
            ("head size", self.head_dim, DIMENSION_MAX),
            ("vocabulary", self.vocab, VOCAB_MAX),
            ("context", self.context, CONTEXT_MAX),
        ];
        for (what, found, max) in sizes {
            if found == 0 || found > max {
                return Err(DecoderError::Size { what, found, expected: format!("1..={max}") });
            }
        }
        if !self.head_dim.is_multiple_of(2) {
            let expected = "an even number".into();
            return Err(DecoderError::Size { what: "head size", found: self.head_dim, expected });
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            let expected = format!("a divisor of {} attention heads", self.heads);
            let found = self.kv_heads;
            return Err(DecoderError::Size { what: "key/value heads", found, expected });
        }
        if !(self.rope_theta.is_finite() && self.rope_theta >= 1.0) {
            return Err(unsupported("the RoPE base", self.rope_theta, "1 and larger"));
        }
        if !(self.rms_eps.is_finite() && self.rms_eps >= 0.0) {
            return Err(unsupported("the norms' epsilon", self.rms_eps, "0 and larger"));
        }
        Ok(self)
    }
}

fn unsupported(what: &'static str, found: impl ToString, supported: &'static str) -> DecoderError {
    DecoderError::Unsupported { what, found: found.to_string(), supported }
}

fn unless(
    what: &'static str,
    fine: bool,
    found: &str,
    supported: &'static str,
) -> Result<(), DecoderError> {
    if fine { Ok(()) } else { Err(unsupported(what, found, supported)) }
}

/// The fields of `config.json` that matter here.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    architectures: Vec<String>,
    model_type: String,
    #[serde(rename = "_name_or_path")]
    name: Option<String>,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<serde_json::Value>,
    rope_parameters: Option<serde_json::Value>,
    #[serde(default)]
    hidden_act: Option<String>,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default)]
    tie_word_embeddings: bool,
    bos_token_id: Option<u32>,
    eos_token_id: Option<Tokens>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Tokens {
    One(u32),
    Many(Vec<u32>),
}

impl Config {
    fn into_decoder(self) -> Result<Decoder, DecoderError> {
        let class = self.architectures.first().map_or("none stated", String::as_str);
        unless("architecture", class == "LlamaForCausalLM", class, "LlamaForCausalLM")?;
        let act = self.hidden_act.as_deref().unwrap_or("silu");
        unless("hidden_act", matches!(act, "silu" | "swish"), act, "silu")?;
        unless("attention_bias", !self.attention_bias, "true", "projections without bias")?;
        unless("mlp_bias", !self.mlp_bias, "true", "projections without bias")?;
        let theta = self.rope()?;
        let heads = self.num_attention_heads;
        Decoder {
            architecture: self.model_type,
            name: self.name.filter(|n| !n.is_empty()),
            layers: self.num_hidden_layers,
            hidden: self.hidden_size,
            ffn: self.intermediate_size,
            heads,
            kv_heads: self.num_key_value_heads.unwrap_or(heads),
            head_dim: self
                .head_dim
                .unwrap_or_else(|| self.hidden_size.checked_div(heads).unwrap_or(0)),
            vocab: self.vocab_size,
            context: self.max_position_embeddings,
            rope_theta: theta as f32,
            rms_eps: self.rms_norm_eps as f32,
            tied_head: self.tie_word_embeddings,
            bos: self.bos_token_id,
            eos: match self.eos_token_id {
                None => Vec::new(),
                Some(Tokens::One(t)) => vec![t],
                Some(Tokens::Many(v)) => v,
            },
            licence: None,
        }
        .checked()
    }

    /// The RoPE base, after refusing every kind of scaling.
    fn rope(&self) -> Result<f64, DecoderError> {
        for scaling in [&self.rope_scaling, &self.rope_parameters].into_iter().flatten() {
            let kind = scaling.get("rope_type").or_else(|| scaling.get("type"));
            let kind = kind.and_then(|k| k.as_str()).unwrap_or("default");
            unless("RoPE scaling", kind == "default", kind, "none")?;
        }
        let nested = self.rope_parameters.as_ref().and_then(|p| p.get("rope_theta"));
        Ok(self.rope_theta.or_else(|| nested.and_then(|t| t.as_f64())).unwrap_or(10_000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama",
        "hidden_size":64,"intermediate_size":172,"num_hidden_layers":5,"num_attention_heads":8,
        "num_key_value_heads":4,"vocab_size":512,"max_position_embeddings":512,
        "rms_norm_eps":1e-5,"eos_token_id":[2,3]}"#;

    fn parsed(from: &str, to: &str) -> Result<Decoder, DecoderError> {
        let text = CONFIG.replace(from, to);
        serde_json::from_str::<Config>(&text).unwrap().into_decoder()
    }

    #[test]
    fn a_config_gives_the_shapes() {
        let d = parsed("", "").unwrap();
        assert_eq!((d.head_dim, d.kv_heads, d.eos, d.tied_head), (8, 4, vec![2, 3], false));
        assert_eq!(d.rope_theta, 10_000.0);
    }

    #[test]
    fn what_is_not_built_is_named() {
        for (from, to, named) in [
            ("LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen2ForCausalLM"),
            ("\"vocab", "\"attention_bias\":true,\"vocab", "attention_bias"),
            ("\"vocab", "\"rope_scaling\":{\"rope_type\":\"llama3\"},\"vocab", "llama3"),
            ("\"vocab", "\"hidden_act\":\"gelu\",\"vocab", "gelu"),
            ("_heads\":4", "_heads\":3", "divisor of 8"),
            ("layers\":5", "layers\":0", "layers is 0"),
        ] {
            let message = parsed(from, to).unwrap_err().to_string();
            assert!(message.contains(named), "{message}");
        }
    }
}
