//! What a session can be told.

use std::str::FromStr;

use lcedge_compress::{Camelot, Condense, Matching, MatchingOptions, Surprisal};
use serde::{Deserialize, Serialize};

use crate::beacons::Ratio;
use crate::rank::Fusion;

/// Which tiers of memory are on beside the window. All but `Full` are for measuring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryMode {
    /// Every tier that the model has.
    #[default]
    Full,
    /// The window alone: what leaves it is dropped, and counted.
    Window,
    /// The recurrent state alone (needs a trained memory with a gist): beacons fold into it as
    /// soon as their block leaves the recent region.
    Gist,
    /// Condensed states alone.
    Condensed,
    /// Recall from the store alone.
    Recall,
}

impl MemoryMode {
    /// Whether blocks go to the store and come back.
    #[must_use]
    pub const fn recalls(self) -> bool {
        matches!(self, Self::Full | Self::Recall)
    }

    /// Whether condensed states stay in attention: with every tier on, those of a trained memory.
    #[must_use]
    pub const fn condenses(self, trained: bool) -> bool {
        matches!(self, Self::Condensed) || (trained && matches!(self, Self::Full))
    }

    /// Whether condensed states that leave attention fold into a gist, where the model has one.
    #[must_use]
    pub const fn folds(self, trained: bool) -> bool {
        trained && matches!(self, Self::Full | Self::Gist)
    }

    /// As `--memory` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Window => "window",
            Self::Gist => "gist",
            Self::Condensed => "condensed",
            Self::Recall => "recall",
        }
    }
}

/// What is recalled for a question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecallMode {
    /// Stored keys and values, placed into attention.
    #[default]
    Kv,
    /// The passage's text, encoded again: to compare with, and where K,V are gone.
    Text,
}

impl RecallMode {
    /// As `--recall` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::Text => "text",
        }
    }
}

/// What condenses for a model without a trained memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condenser {
    /// The most surprising tokens (SirLLM).
    #[default]
    Surprisal,
    /// Running means of tokens with similar keys (CAMELoT).
    Camelot,
    /// Few keys of each block, their values fitted anew (Attention Matching).
    Matching,
}

impl Condenser {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Surprisal, Self::Camelot, Self::Matching];

    /// As `--condense` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Surprisal => "surprisal",
            Self::Camelot => "camelot",
            Self::Matching => "matching",
        }
    }

    /// A new one that holds nothing.
    #[must_use]
    pub fn start(self) -> Box<dyn Condense> {
        match self {
            Self::Surprisal => Box::new(Surprisal::new(0.98)),
            Self::Camelot => Box::new(Camelot::new(lcedge_compress::camelot::THRESHOLD)),
            Self::Matching => Box::new(Matching::new(MatchingOptions::default())),
        }
    }
}

/// A word that names none of the choices.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{found:?} is none of {choices}")]
pub struct NotAChoice {
    /// What was given.
    pub found: String,
    /// What there is.
    pub choices: &'static str,
}

impl FromStr for MemoryMode {
    type Err = NotAChoice;

    fn from_str(s: &str) -> Result<Self, NotAChoice> {
        let all = [Self::Full, Self::Window, Self::Gist, Self::Condensed, Self::Recall];
        let choices = "full, window, gist, condensed, recall";
        let none = || NotAChoice { found: s.to_owned(), choices };
        all.into_iter().find(|m| m.name() == s).ok_or_else(none)
    }
}

impl FromStr for RecallMode {
    type Err = NotAChoice;

    fn from_str(s: &str) -> Result<Self, NotAChoice> {
        let none = || NotAChoice { found: s.to_owned(), choices: "kv, text" };
        [Self::Kv, Self::Text].into_iter().find(|m| m.name() == s).ok_or_else(none)
    }
}

impl FromStr for Condenser {
    type Err = NotAChoice;

    fn from_str(s: &str) -> Result<Self, NotAChoice> {
        let none = || NotAChoice { found: s.to_owned(), choices: "surprisal, camelot, matching" };
        Self::ALL.into_iter().find(|c| c.name() == s).ok_or_else(none)
    }
}

/// A tier broken on purpose: each must make things worse, or the tier does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Control {
    /// Nothing is broken.
    #[default]
    None,
    /// The beacons in attention are dealt out anew among their places.
    ShuffledBeacons,
    /// Random blocks are recalled.
    RandomRecall,
    /// The gist in attention is all zeros.
    ZeroGist,
}

/// What a session does beside its sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionConfig {
    /// Tiers.
    pub memory: MemoryMode,
    /// What questions recall.
    pub recall: RecallMode,
    /// Whether the surprise of every token is measured.
    pub surprise: bool,
    /// How the two rankings are fused.
    pub fusion: Fusion,
    /// Lines whose blocks stay in attention for the answer, of all that were recalled; 0 keeps
    /// everything that was recalled.
    pub focus_lines: usize,
    /// Blocks that a question sees as beacons, behind those that it sees exactly.
    pub coarse_blocks: usize,
    /// Whether a question gets a gist of its own, folded with the question from the beacons of the
    /// blocks that it found. Off unless asked for: beside exact passages, condensed states were
    /// seen to make answers worse.
    pub question_gist: bool,
    /// What condenses where the model has no beacons.
    pub condense: Condenser,
    /// How finely beacons condense.
    pub ratio: Ratio,
    /// Breaks a tier on purpose, to show that it does something.
    #[doc(hidden)]
    pub control: Control,
    /// Bytes that a day may write to the store; beyond them blocks are stored without keys and
    /// values. `None` for no limit.
    pub write_bytes_per_day: Option<u64>,
    /// What the confidence is computed with.
    pub confidence: crate::confidence::Weights,
    /// An answer below this confidence is "not found".
    pub confidence_min: f32,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            memory: MemoryMode::Full,
            recall: RecallMode::Kv,
            surprise: true,
            fusion: Fusion::default(),
            focus_lines: crate::limits::FOCUS_LINES_DEFAULT,
            coarse_blocks: crate::limits::COARSE_BLOCKS_DEFAULT,
            question_gist: false,
            condense: Condenser::default(),
            ratio: Ratio::Fixed(crate::limits::RATIO_DEFAULT),
            control: Control::None,
            write_bytes_per_day: None,
            confidence: crate::confidence::STOCK,
            confidence_min: crate::confidence::THRESHOLD,
        }
    }
}
