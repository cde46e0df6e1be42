//! What can be typed. This one definition gives parsing, help, completions and the man page.
//!
//! A flag with an environment variable can also be set in `lcedge.toml`, under its long name.

mod common;
mod eval;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use common::{Color, Common, OnOff};
pub(crate) use eval::{
    BeamArgs, EvalCommand, Family, NeedlesArgs, PerplexityArgs, SetArgs, TiersArgs,
};

const ABOUT: &str = "Gives a small language model a memory that does not run out";

const LONG_ABOUT: &str = "\
Gives a small language model a memory that does not run out.

lcedge streams any amount of text through a small model in a fixed amount of RAM, keeps what left \
the model's window on disk, brings the right pieces back when they matter, and says which line of \
the input each answer comes from.";

const AFTER_HELP: &str = "\
Start here:
  lcedge stream --input server.log --ask \"Which address did root log in from?\"
  lcedge stream --input logs/ --store memory       keep what was read ...
  lcedge ask \"Who restarted the database?\" --store memory       ... and ask later

Settings come from flags, then LCEDGE_... variables, then lcedge.toml (in this folder, else in the \
per-user configuration folder). Exit codes: 0 done, 1 the answer is no, 2 could not run, 130/143 \
stopped.";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "lcedge",
    version,
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_help = AFTER_HELP,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read a file, a folder or standard input through the model, and answer questions about it
    Stream(StreamArgs),
    /// Ask the memory
    Ask(AskArgs),
    /// Talk, and be remembered: across restarts, with everything in the memory at hand
    Chat(ChatArgs),
    /// Look into the memory, check it, forget, carry it elsewhere
    #[command(subcommand)]
    Memory(MemoryCommand),
    /// List, inspect and prepare models
    #[command(subcommand)]
    Model(ModelCommand),
    /// Show every size before anything is allocated
    Plan,
    /// Check this machine: library, model, store, disk
    Doctor,
    /// Measure speed
    #[command(
        subcommand,
        after_help = "`--smoke` makes each of them as small as it can be: it shows that it works."
    )]
    Bench(BenchCommand),
    /// Measure quality
    #[command(subcommand)]
    Eval(EvalCommand),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the man page, or that of one command
    Man {
        /// The command, such as `stream` or `memory search`
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },
}

/// How a source's bytes are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text of any kind; binary files are refused
    Auto,
    /// Text, whatever its bytes look like
    Text,
    /// The same: a log
    Log,
    /// The same, and lines that are not JSON are counted
    Jsonl,
}

/// `stream`.
#[derive(Debug, Args)]
pub(crate) struct StreamArgs {
    /// What to read: a file, a folder (every text file in it) or - for standard input
    #[arg(long, short, value_name = "FILE|DIR|-")]
    pub(crate) input: PathBuf,
    /// Keep reading as the file grows, until Ctrl-C
    #[arg(long)]
    pub(crate) follow: bool,
    /// A question to answer after reading; may be given several times
    #[arg(long, value_name = "QUESTION")]
    pub(crate) ask: Vec<String>,
    /// A file of questions, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) questions: Option<PathBuf>,
    /// How many of the most surprising lines to show
    #[arg(long, value_name = "N", default_value_t = 5, env = "LCEDGE_TOP")]
    pub(crate) top: usize,
    /// What the input is
    #[arg(long, value_enum, default_value_t = Format::Auto, env = "LCEDGE_FORMAT")]
    pub(crate) format: Format,
    /// The name of the source in the memory, instead of the file's own
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

/// How answers are made.
#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    /// Longest answer, in tokens
    #[arg(long, value_name = "N", default_value_t = 40, env = "LCEDGE_MAX_TOKENS")]
    pub(crate) max_tokens: usize,
    /// Most citations of an answer
    #[arg(long, value_name = "N", default_value_t = 8, env = "LCEDGE_CITATIONS")]
    pub(crate) citations: usize,
    /// 0 always takes the most probable token
    #[arg(long, value_name = "T", default_value_t = 0.0, env = "LCEDGE_TEMPERATURE")]
    pub(crate) temperature: f32,
    /// Choose among the K most probable tokens; 0 for all
    #[arg(long, value_name = "K", default_value_t = 0, env = "LCEDGE_TOP_K")]
    pub(crate) top_k: usize,
    /// Choose among the most probable tokens that together have probability P
    #[arg(long, value_name = "P", default_value_t = 1.0, env = "LCEDGE_TOP_P")]
    pub(crate) top_p: f32,
    /// Leave out tokens less probable than P times the most probable one
    #[arg(long, value_name = "P", default_value_t = 0.0, env = "LCEDGE_MIN_P")]
    pub(crate) min_p: f32,
    /// Start of the random sequence
    #[arg(long, value_name = "N", default_value_t = 0, env = "LCEDGE_SEED")]
    pub(crate) seed: u64,
}

/// A time to look in.
#[derive(Debug, Args)]
pub(crate) struct TimeArgs {
    /// Only lines from this time on: 2026-03-02, 2026-03-02T04:10 (with Z or +01:00 for another
    /// zone), 04:10, yesterday, or 2h, 3d for so long ago. A line's time is the one that it
    /// carries, else when it was read
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only lines before this time; a date alone means the end of that day
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
}

/// `ask`.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// The questions
    #[arg(value_name = "QUESTION", required = true)]
    pub(crate) questions: Vec<String>,
    /// Search this source alone
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Search this conversation of `chat` alone
    #[arg(long, value_name = "NAME", conflicts_with = "source")]
    pub(crate) session: Option<String>,
    #[command(flatten)]
    pub(crate) time: TimeArgs,
    /// Exit with 1 when the memory does not hold an answer
    #[arg(long)]
    pub(crate) fail_if_absent: bool,
    /// How many citations to show (the same as --citations)
    #[arg(long, value_name = "N")]
    pub(crate) top: Option<usize>,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

/// `chat`.
#[derive(Debug, Args)]
#[command(after_help = CHAT_HELP)]
pub(crate) struct ChatArgs {
    /// The conversation to begin or to go on with
    #[arg(long, value_name = "NAME", default_value = "main", env = "LCEDGE_SESSION")]
    pub(crate) session: String,
    /// The system message of every reply, instead of the model's own
    #[arg(long, value_name = "TEXT", env = "LCEDGE_SYSTEM")]
    pub(crate) system: Option<String>,
    /// Longest reply, in tokens
    #[arg(long, value_name = "N", default_value_t = 160, env = "LCEDGE_CHAT_MAX_TOKENS")]
    pub(crate) max_tokens: usize,
    /// Most citations of an answer from memory
    #[arg(long, value_name = "N", default_value_t = 8, env = "LCEDGE_CITATIONS")]
    pub(crate) citations: usize,
    /// 0 always takes the most probable token; answers from memory always do
    #[arg(long, value_name = "T", default_value_t = 0.2, env = "LCEDGE_CHAT_TEMPERATURE")]
    pub(crate) temperature: f32,
    /// Choose among the most probable tokens that together have probability P
    #[arg(long, value_name = "P", default_value_t = 0.9, env = "LCEDGE_CHAT_TOP_P")]
    pub(crate) top_p: f32,
    /// Start of the random sequence
    #[arg(long, value_name = "N", default_value_t = 0, env = "LCEDGE_SEED")]
    pub(crate) seed: u64,
}

const CHAT_HELP: &str = "\
A question is first asked of the memory: of this conversation, of others, and of all that was \
read. When memory does not hold the answer, the model replies by itself. Every turn is kept, and \
the newer of two statements counts.

Lines that begin with / are commands: /help lists them. Ctrl-C stops a reply; a second one, /bye \
or the end of the input ends the program. Input that is piped in is one turn a line.";

/// `memory`.
#[derive(Debug, Subcommand)]
pub(crate) enum MemoryCommand {
    /// The sources in the memory
    List,
    /// Its sizes and counts
    Stats,
    /// One block: where it comes from, and its text
    Show {
        /// The block's number, as `search` shows it
        #[arg(value_name = "ID")]
        id: u64,
    },
    /// Find passages by their words (no model runs)
    Search {
        /// Words to look for
        #[arg(value_name = "QUERY", required = true)]
        query: Vec<String>,
        /// How many passages to show
        #[arg(long, value_name = "N", default_value_t = 8)]
        top: usize,
        /// Search this source alone
        #[arg(long, value_name = "NAME")]
        source: Option<String>,
    },
    /// Forget blocks: their text, tokens, keys and values, beacons and addresses leave every file
    Forget(ForgetArgs),
    /// Keep blocks whatever the disk budget says
    Pin {
        /// The blocks' numbers, as `search` shows them
        #[arg(value_name = "ID", required = true)]
        ids: Vec<u64>,
    },
    /// Let the disk budget have blocks again
    Unpin {
        /// The blocks' numbers
        #[arg(value_name = "ID", required = true)]
        ids: Vec<u64>,
    },
    /// Check everything against its checksums; exit 1 when something is damaged
    Verify {
        /// Check keys and values and the catalogue's own structure too
        #[arg(long)]
        deep: bool,
    },
    /// Make the catalogue anew from the segments
    Rebuild,
    /// Write sources to one file, to keep or to carry to another machine
    Export(ExportArgs),
    /// Take in a file that `export` wrote; all of it is checked first
    Import {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Put before the name of every source, such as `laptop/`
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        prefix: String,
    },
    /// Make the files of the memory smaller without changing what is in it
    Compact,
}

/// `memory export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The file to write; it must not exist
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// This source alone, all its versions; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Vec<String>,
    /// Leave keys and values out: the file is small, and serves any model
    #[arg(long)]
    pub(crate) text_only: bool,
}

/// `memory forget`.
#[derive(Debug, Args)]
#[command(after_help = "Exactly one of: IDs, --source, --session, --matching, or a time.")]
pub(crate) struct ForgetArgs {
    /// Blocks by number, as `search` shows them
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<u64>,
    /// Everything of this source, all its versions
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Everything of this conversation of `chat`
    #[arg(long, value_name = "NAME")]
    pub(crate) session: Option<String>,
    /// Every block that holds this text, upper and lower case alike
    #[arg(long, value_name = "TEXT")]
    pub(crate) matching: Option<String>,
    /// Every block whose first line was written (else read) at this time or later
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Every block whose first line was written (else read) before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Also leave what was read after it as text only: its keys and values were computed in the
    /// presence of what is forgotten
    #[arg(long)]
    pub(crate) strict: bool,
}

/// `model`.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// The models known by name, and those that are prepared
    List,
    /// Shapes, licence and sizes of a model
    Inspect {
        /// A name, a folder or a .gguf file
        #[arg(value_name = "MODEL")]
        name: String,
    },
    /// Fetch a model if need be, and build its graph
    Prepare {
        /// A name, a folder or a .gguf file
        #[arg(value_name = "MODEL")]
        name: String,
    },
}

/// `bench`.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// The full streaming loop against the engine alone, interleaved
    Loop(LoopArgs),
    /// What each tier of memory costs while reading, interleaved: several sessions at once
    Tiers(LoopArgs),
    /// Whether resident memory and speed stay flat while the store grows
    Growth(GrowthArgs),
    /// Search, fuse, read and place, without the model's own time
    Recall(RecallArgs),
    /// Opening: model, library, store
    Open(BlocksArgs),
    /// Writing blocks to the store
    Spill(BlocksArgs),
}

/// `bench loop` and `bench tiers`.
#[derive(Debug, Args)]
pub(crate) struct LoopArgs {
    /// Text to stream; a generated log when none is given
    #[arg(long, short, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Rounds of each loop
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub(crate) rounds: usize,
    /// Chunks of one round
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) chunks: usize,
    /// As small as it can be: shows that it works, measures nothing
    #[arg(long)]
    pub(crate) smoke: bool,
}

/// `bench growth`.
#[derive(Debug, Args)]
pub(crate) struct GrowthArgs {
    /// Tokens to read
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) tokens: u64,
    /// Tokens after which the first figures are taken
    #[arg(long, value_name = "N", default_value_t = 15_000)]
    pub(crate) first: u64,
    /// Start of everything random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// As small as it can be: shows that it works, measures nothing
    #[arg(long)]
    pub(crate) smoke: bool,
}

/// `bench recall`.
#[derive(Debug, Args)]
pub(crate) struct RecallArgs {
    #[command(flatten)]
    pub(crate) of: BlocksArgs,
    /// Addresses of the size of SmolLM2's trained memory (4 vectors of 128 values a block, 1 a
    /// question), made up, whatever the model: with a tiny model a store of many blocks is small
    #[arg(long)]
    pub(crate) trained_address: bool,
    /// Questions asked after the store left the page cache; as many as warm ones, 40 at most, when
    /// not given
    #[arg(long, value_name = "N")]
    pub(crate) cold: Option<usize>,
}

/// Benches over a store of synthetic blocks.
#[derive(Debug, Args)]
pub(crate) struct BlocksArgs {
    /// Blocks in the store
    #[arg(long, value_name = "N", default_value_t = 5000)]
    pub(crate) blocks: usize,
    /// How often to measure
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) rounds: usize,
    /// As small as it can be: shows that it works, measures nothing
    #[arg(long)]
    pub(crate) smoke: bool,
}
