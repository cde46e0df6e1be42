//! What `eval` takes.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, Subcommand, ValueEnum};

/// `eval`.
#[derive(Debug, Subcommand)]
pub(crate) enum EvalCommand {
    /// Hide facts in a log, stream it, ask for them and for facts that are not there
    Needles(NeedlesArgs),
    /// How well the model predicts a text
    #[command(after_help = "Without --history the whole text is read as one stream. With it, the \
        history before each of several places is read and what follows is predicted: compare \
        tiers with --memory, at an equal --window.")]
    Perplexity(PerplexityArgs),
    /// What each tier of memory is worth: next-chunk loss, tier by tier, at an equal window
    #[command(after_help = TIERS)]
    Tiers(TiersArgs),
    /// Whether odd lines surprise more than ordinary ones
    Surprise {
        /// The log
        #[arg(long, short, value_name = "FILE")]
        input: PathBuf,
        /// Which lines are odd: their numbers, one a line; or, with as many lines as the log, 0
        /// or 1 for each
        #[arg(long, value_name = "FILE")]
        labels: PathBuf,
    },
    /// BEAM: conversations; do the best passages hold the turns that answer a question?
    #[command(after_help = BEAM)]
    Beam(BeamArgs),
    /// RULER: needles, tracing, aggregation, by task and length
    #[command(after_help = SETS)]
    Ruler(SetArgs),
    /// BABILong: facts among the sentences of books, by task and length
    #[command(after_help = SETS)]
    Babilong(SetArgs),
    /// A pass key in a long text
    #[command(after_help = SETS)]
    Passkey(SetArgs),
    /// LongEval: one of many numbered lines
    #[command(after_help = SETS)]
    Longeval(SetArgs),
    /// Values of random keys (Lost in the Middle, InfiniteBench)
    #[command(after_help = SETS)]
    Kv(SetArgs),
    /// LoCoMo: long dialogues of two people, by kind of question
    #[command(after_help = SETS)]
    Locomo(SetArgs),
}

const SETS: &str = "\
The file is JSON in the set's published form, one object a line or one array, plain or packed \
(.zst, .gz). Each sample is read into a memory of its own; one loaded model serves all. `score` is \
the set's own score of what the model says, `score_given` of what is given out as found; \
`recall_at_8` is the share of the evidence among the 8 best passages, where the set tells it.";

const BEAM: &str = "\
A conversation a line: `turns` (id, role, time, text) and `questions` (ability, question, answer, \
source_ids). Turns are absorbed one by one. `evidence_at_8` is the share of the evidence's turns \
among the first 8 turns that the ranking of blocks touches; `evidence_blocks_at_8` counts the \
first 8 blocks alone. Without --answers the model reads and searches but says nothing.";

const TIERS: &str = "\
For each of several places in the text the history before it is read and the nats of what follows \
are measured, once for each arm, over one loaded model: the window alone, a longer window of equal \
cost, condensed states at each ratio (a stock model: by each condenser), recall, everything, and \
full attention where it fits. All but the longer window and full attention have --window slots.";

/// `eval ruler` and its like.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// A file of samples; may be given several times
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) data: Vec<PathBuf>,
    /// Samples of each file, at most
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Longest answer, in tokens [default: as the set needs]
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
}

/// `eval beam`.
#[derive(Debug, Args)]
pub(crate) struct BeamArgs {
    #[command(flatten)]
    pub(crate) set: SetArgs,
    /// Also answer the questions: how many are wrongly answered or refused
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = BoolishValueParser::new(),
        action = ArgAction::Set, value_name = "BOOL", hide_possible_values = true)]
    pub(crate) answers: bool,
}

/// `eval perplexity`.
#[derive(Debug, Args)]
pub(crate) struct PerplexityArgs {
    /// The text
    #[arg(long, short, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Tokens to read before each place; the whole text as one stream when not given
    #[arg(long, value_name = "TOKENS")]
    pub(crate) history: Option<usize>,
    /// Tokens to predict behind it
    #[arg(long, value_name = "TOKENS", default_value_t = 256, requires = "history")]
    pub(crate) targets: usize,
    /// Places, spread evenly over the text
    #[arg(long, value_name = "N", default_value_t = 8, requires = "history")]
    pub(crate) windows: usize,
}

/// `eval tiers`.
#[derive(Debug, Args)]
pub(crate) struct TiersArgs {
    /// The text
    #[arg(long, short, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Tokens to read before each place
    #[arg(long, value_name = "TOKENS", default_value_t = 4096)]
    pub(crate) history: usize,
    /// Tokens to predict behind it
    #[arg(long, value_name = "TOKENS", default_value_t = 256)]
    pub(crate) targets: usize,
    /// Places, spread evenly over the text
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) windows: usize,
    /// Slots of the condensed tier, of those of the window [default: an eighth of the history, at
    /// most 7 sixteenths of the window]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) slots: Option<usize>,
    /// The longer window [default: as long as costs what every tier together costs]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) longer_window: Option<usize>,
    /// Also break each tier on purpose (condensed states shuffled, random blocks recalled): it
    /// must then be worth less
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = BoolishValueParser::new(),
        action = ArgAction::Set, value_name = "BOOL", hide_possible_values = true)]
    pub(crate) controls: bool,
}

/// Which templates facts are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Family {
    /// For reporting
    Evaluation,
    /// For choosing thresholds
    Calibration,
}

/// `eval needles`.
#[derive(Debug, Args)]
pub(crate) struct NeedlesArgs {
    /// The text to hide facts in; a generated log when none is given
    #[arg(long, short, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Size of the generated log
    #[arg(long, value_name = "SIZE", default_value = "250kB", value_parser = crate::size::parse)]
    pub(crate) bytes: u64,
    /// Facts to hide
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub(crate) facts: usize,
    /// Questions about facts that are not there
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub(crate) absent: usize,
    /// Look-alikes to hide; as many as facts when not given
    #[arg(long, value_name = "N")]
    pub(crate) distractors: Option<usize>,
    /// Start of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Which templates
    #[arg(long, value_enum, default_value_t = Family::Evaluation)]
    pub(crate) family: Family,
    /// Leave out the comparison with the exact passage in the window
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = BoolishValueParser::new(),
        action = ArgAction::Set, value_name = "BOOL", hide_possible_values = true)]
    pub(crate) no_bounds: bool,
}
