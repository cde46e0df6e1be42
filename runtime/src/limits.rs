//! Every bound in one place, units in the names, with the relations between them asserted.

/// Most tokens of a block: the unit of memory.
pub const BLOCK_TOKENS: usize = 64;

/// A block is cut at a line's end when at least this many tokens come before it.
pub const BLOCK_TOKENS_MIN: usize = 24;

/// Exact tokens in attention when a chunk starts (memory region and recent region together).
pub const WINDOW_TOKENS_DEFAULT: usize = 1024;

/// Smallest window: two blocks and a few sinks must fit.
pub const WINDOW_TOKENS_MIN: usize = 4 * BLOCK_TOKENS;

/// Tokens of one decoder call while absorbing.
pub const CHUNK_TOKENS_DEFAULT: usize = 512;

/// Largest chunk.
pub const CHUNK_TOKENS_MAX: usize = 4096;

/// Attention sinks at the start of a session.
pub const SINK_TOKENS_MAX: usize = 64;

/// Finished blocks that wait for the writer thread. A full queue makes the session wait.
pub const SPILL_QUEUE_BLOCKS: usize = 8;

/// The writer makes what it wrote durable and searchable at least every so many blocks.
pub const COMMIT_BLOCKS_MAX: usize = 64;

/// Most blocks that one question recalls (neighbours included).
pub const RECALL_BLOCKS_MAX: usize = 32;

/// Blocks that each ranking hands to fusion.
pub const CANDIDATE_BLOCKS: usize = 64;

/// Slots for recalled blocks while a question is answered.
pub const ASK_RECALL_TOKENS_DEFAULT: usize = 512;

/// Longest question with its chat turn.
pub const QUESTION_TOKENS_MAX: usize = 256;

/// Longest answer.
pub const ANSWER_TOKENS_MAX: usize = 256;

/// Answer length when none is asked for.
pub const ANSWER_TOKENS_DEFAULT: usize = 40;

/// Blocks recalled with the previous chunk's queries while absorbing.
pub const STALE_BLOCKS_DEFAULT: usize = 4;

/// Query tokens that a stale recall looks with.
pub const STALE_QUERY_TOKENS: usize = 12;

/// Index of the ratio that beacons have when nothing else is asked for, of 4, 8, 16 and 32.
pub const RATIO_DEFAULT: u8 = 1;

/// Blocks that a question sees as beacons: none, since exact passages alone are answered from
/// better (94 against 84% of 50 facts of the calibration family).
pub const COARSE_BLOCKS_DEFAULT: usize = 0;

/// Slots of the tier of beacons.
pub const BEACON_TOKENS_DEFAULT: usize = 128;

/// Most blocks whose beacons fold into a question's own gist: as many as it was trained with.
pub const GIST_QUESTION_BLOCKS: usize = 8;

/// The gist of a source is kept on disk once in so many folds, and whenever a source rests.
pub const GIST_KEEP_FOLDS: u64 = 16;

/// Most blocks whose stored beacons are folded anew when a source goes on: the newest that the
/// kept gist does not hold.
pub const GIST_CATCH_UP_BLOCKS: usize = 256;

/// Slots of the condensed tier of a model without beacons.
pub const CONDENSED_TOKENS_DEFAULT: usize = 96;

/// Most surprising lines kept while streaming.
pub const SURPRISE_LINES_MAX: usize = 128;

/// Tokens at the start of a source that are not ranked by surprise: everything is new there.
pub const SURPRISE_WARM_TOKENS: u64 = 256;

/// A piece of text given to the tokenizer is cut, where the text allows, at about this size.
pub const PIECE_BYTES: usize = 4 * 1024;

/// A piece is cut at any character beyond this size.
pub const PIECE_BYTES_MAX: usize = 16 * 1024;

/// Resident bytes of the mapped index that the plan makes room for at least, where RAM has no
/// limit.
pub const INDEX_BYTES: u64 = 16 << 20;

/// The same at most, however large the store is: the rest is mapped in when it is searched, and
/// given back.
pub const INDEX_BYTES_MAX: u64 = 256 << 20;

/// Least bytes of the index that stay resident from search to search.
pub const INDEX_BYTES_MIN: u64 = 1 << 20;

/// Attention sinks when a model does not say otherwise.
pub const SINK_TOKENS_DEFAULT: usize = 4;

/// Lines of the recalled passages whose blocks stay in attention for the answer: small models read
/// one passage better than eight, trained or not.
pub const FOCUS_LINES_DEFAULT: usize = 1;

/// Most citations of an answer.
pub const CITATIONS_MAX: usize = 16;

/// Tokens of earlier exchanges that an ordinary reply is made behind.
pub const CHAT_HISTORY_TOKENS: usize = 320;

/// Citations of an answer when none is asked for.
pub const CITATIONS_DEFAULT: usize = 8;

const _: () = {
    assert!(BLOCK_TOKENS_MIN <= BLOCK_TOKENS);
    assert!(WINDOW_TOKENS_MIN <= WINDOW_TOKENS_DEFAULT);
    assert!(CHUNK_TOKENS_DEFAULT <= CHUNK_TOKENS_MAX);
    assert!(PIECE_BYTES < PIECE_BYTES_MAX);
    assert!(ASK_RECALL_TOKENS_DEFAULT <= RECALL_BLOCKS_MAX * BLOCK_TOKENS);
    assert!(RECALL_BLOCKS_MAX <= CANDIDATE_BLOCKS);
    assert!(SINK_TOKENS_MAX + 2 * BLOCK_TOKENS <= WINDOW_TOKENS_MIN);
};

/// Most first tokens that answers are tried with.
pub const FIRST_TOKENS: usize = 3;

/// Least probability of a first token that an answer is tried with.
pub const FIRST_TOKEN_MIN: f32 = 0.03;

/// An answer that stands in what was recalled and begins with at least this probability is taken
/// without trying another.
pub const FIRST_TOKEN_SURE: f32 = 0.8;

/// Bytes that a day may write to the store: a 64 GB eMMC lasts three years when it stands 1,000
/// writes of its whole size (a low figure for TLC flash, write amplification taken off).
pub const WRITE_BYTES_PER_DAY_DEFAULT: u64 = 64_000_000_000 / 1095 * 1000;

/// Most recalled blocks that a resume point names.
pub const POINT_BLOCKS_MAX: usize = 16;
