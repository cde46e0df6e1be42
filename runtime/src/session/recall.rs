//! Finding blocks and laying them: by address, by text, fused, with the neighbours that complete
//! their lines.

use std::ops::Range;
use std::time::{Duration, Instant};

use heapless::Vec as Bounded;
use lcedge_compress::quant;
use lcedge_memory::{AddressQuery, BlockId, Filter, KvView, Reader};

use lcedge_targets::SlotError;

use super::Session;
use super::restore::read_beacons;
use crate::beacons::{Beacons, BlockBeacons};
use crate::config::Control;
use crate::error::AbsorbError;
use crate::limits::{BLOCK_TOKENS, CANDIDATE_BLOCKS, RECALL_BLOCKS_MAX, STALE_QUERY_TOKENS};
use crate::rank::{Fusion, Ranked};
use crate::window::Laying;

/// Stale recalls may take one in so much of the time of absorbing, however large the store is:
/// after one, as many chunks are skipped as that takes.
const STALE_SHARE: u128 = 64;

/// Most chunks that are skipped.
const SKIP_MAX: u128 = 4096;

/// Blocks on either side that may be needed to complete a block's lines.
const NEIGHBOURS_MAX: i32 = 3;

/// Times of recall without the model's own time.
#[derive(Clone, Debug, Default)]
pub struct RecallTimes {
    /// Search by address and text, and fusion: one entry a question.
    pub search: Vec<Duration>,
    /// Reading, decoding and laying blocks: one entry a question.
    pub place: Vec<Duration>,
    /// Stale recalls made while absorbing.
    pub stale_count: u64,
    /// Time spent in them.
    pub stale: Duration,
    skip: u32,
    last_chunk: Option<Instant>,
}

const TIMES_MAX: usize = 4096;

impl RecallTimes {
    /// Chunks without recall to come.
    pub(super) const fn skip(&self) -> u32 {
        self.skip
    }

    pub(super) const fn set_skip(&mut self, chunks: u32) {
        self.skip = chunks;
    }

    fn note(list: &mut Vec<Duration>, time: Duration) {
        if list.len() < TIMES_MAX {
            list.push(time);
        }
    }
}

/// What was found for a question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passages {
    /// Both rankings fused, best first.
    pub ranked: Vec<Ranked>,
    /// The ranking by address alone.
    pub by_address: Vec<BlockId>,
    /// The ranking by text alone.
    pub by_text: Vec<BlockId>,
    /// Blocks to lay, in order of time: the best, and neighbours that complete their lines.
    pub blocks: Vec<BlockId>,
    /// Their tokens.
    pub tokens: usize,
    /// Only lines of this time count, milliseconds since 1970 UTC.
    pub time: Option<Range<i64>>,
    /// What was replied in a conversation counts as well as what the user said.
    pub replies: bool,
}

/// A block's place in an order that has nothing to do with its content.
fn scattered(id: BlockId) -> u64 {
    id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29)
}

/// Looks in both indexes and fuses.
pub(super) fn find(
    reader: &Reader,
    fusion: &Fusion,
    query: Option<&AddressQuery>,
    text: &str,
    filter: &Filter<'_>,
) -> Result<Passages, AbsorbError> {
    let read = |e: lcedge_memory::ReadError| AbsorbError::Read(e.to_string());
    let mut found = Passages::default();
    let (by_address, by_text) = match query {
        Some(query) => reader.search_both(query, text, CANDIDATE_BLOCKS, filter).map_err(read)?,
        None => (Vec::new(), reader.search_text(text, CANDIDATE_BLOCKS, filter).map_err(read)?),
    };
    found.by_address.extend(by_address.iter().map(|h| h.id));
    found.by_text.extend(by_text.iter().map(|h| h.id));
    found.ranked = fusion.fuse(&found.by_address, &found.by_text);
    Ok(found)
}

/// Chooses what to lay: ranked blocks, best first, each with the neighbours that complete its
/// lines, while blocks and tokens last.
pub(super) fn choose(reader: &Reader, found: &mut Passages, tokens_max: usize) {
    let mut chosen: Bounded<(BlockId, usize), RECALL_BLOCKS_MAX> = Bounded::new();
    let mut used = 0;
    for r in &found.ranked {
        let whole = with_neighbours(reader, r.id);
        let new: Vec<_> =
            whole.into_iter().filter(|b| !chosen.iter().any(|c| c.0 == b.0)).collect();
        let tokens: usize = new.iter().map(|b| b.1).sum();
        if used + tokens > tokens_max || chosen.len() + new.len() > RECALL_BLOCKS_MAX {
            if used + BLOCK_TOKENS > tokens_max {
                break;
            }
            continue;
        }
        used += tokens;
        for b in new {
            // Room was checked above.
            let _ = chosen.push(b);
        }
    }
    chosen.sort_unstable();
    found.blocks = chosen.iter().map(|c| c.0).collect();
    found.tokens = used;
}

/// A block and the blocks that hold the rest of its first and last line.
fn with_neighbours(reader: &Reader, id: BlockId) -> Vec<(BlockId, usize)> {
    let mut all = Vec::new();
    let Ok(info) = reader.block(id) else { return all };
    all.push((id, usize::from(info.tokens)));
    for direction in [-1, 1] {
        let mut open = if direction < 0 { info.starts_mid_line } else { info.ends_mid_line };
        for distance in 1..=NEIGHBOURS_MAX {
            if !open {
                break;
            }
            let Some(next) = reader.neighbour(id, direction * distance) else { break };
            let Ok(n) = reader.block(next) else { break };
            all.push((next, usize::from(n.tokens)));
            // A block that holds another line's end as well already completes this line.
            let one_line = n.span.line_start == n.span.line_end;
            open = one_line && if direction < 0 { n.starts_mid_line } else { n.ends_mid_line };
        }
    }
    all
}

/// Chunks without recall after one that took so long, where a chunk takes so long.
fn chunks_to_skip(took: Duration, chunk: Duration) -> u32 {
    let ratio = took.as_micros() * STALE_SHARE / chunk.as_micros().max(1);
    u32::try_from(ratio.min(SKIP_MAX)).unwrap_or(u32::MAX)
}

impl Session {
    /// Lays the gist, condensed states and `blocks` (of `tokens` tokens together) into the memory
    /// region, in this order; a block that cannot be read is left out and counted.
    pub(super) fn lay_memory(
        &mut self,
        blocks: &[BlockId],
        tokens: usize,
    ) -> Result<(), AbsorbError> {
        let condenses = self.condenser.is_some() || self.beacons.is_some();
        if blocks.is_empty() && self.recalled.is_empty() && !condenses {
            return Ok(());
        }
        self.recalled.clear();
        let mut damaged = None;
        let coarse: usize = self.coarse.iter().map(|b| b.1).sum();
        let lost = self.recent_lost;
        // A question that exact passages are recalled for sees no beacons beside them.
        let taken = if self.recalls_exactly { usize::MAX } else { coarse };
        let beacons: usize = shown(&self.beacons, lost, taken).map(|b| b.kv.tokens()).sum();
        let gist = self.gist.as_ref().and_then(|g| g.shown(self.recalls_exactly));
        let slots = gist.map_or(0, |g| g.tokens()) + self.condensed.len() + coarse + beacons;
        let mut laying = self.window.lay(slots + tokens)?;
        if let Some(gist) = gist {
            laying.piece(gist)?;
        }
        if !self.condensed.is_empty() {
            laying.piece(self.condensed.kv.view())?;
        }
        let shuffled = self.config.control == Control::ShuffledBeacons;
        let s = &mut self.scratch;
        for &(id, _) in &self.coarse {
            let Some(reader) = &self.reader else { break };
            match read_beacons(reader, id, &mut s.payload, &mut s.kv) {
                Ok(_) => {
                    laying.piece(s.kv.view())?;
                }
                Err(e) => damaged = Some(e),
            }
        }
        lay_beacons(&mut laying, shown(&self.beacons, lost, taken), shuffled)?;
        for &id in blocks {
            let Some(reader) = &self.reader else { break };
            let start = Instant::now();
            let read = read_block(reader, id, &mut s.payload, &mut s.kv);
            match read {
                Ok(n) => {
                    if laying.piece(s.kv.view())? {
                        self.recalled.push((id, n));
                        self.cost.note_read(n, start.elapsed());
                    }
                }
                Err(e) => damaged = Some(e),
            }
        }
        laying.finish()?;
        self.counters.recalled_blocks += self.recalled.len() as u64;
        if let Some(e) = damaged {
            self.counters.damaged_blocks += 1;
            self.warn(format!("a block was left out of recall: {e}"));
        }
        Ok(())
    }

    /// Chooses the blocks that a question sees as beacons: those ranked behind the exact ones,
    /// as far as the condensed tier has slots.
    pub(super) fn choose_coarse(&mut self, passages: &Passages) {
        self.coarse.clear();
        let (Some(beacons), Some(reader)) = (&self.beacons, &self.reader) else { return };
        let mut left = beacons.capacity();
        let ranked = passages.ranked.iter().map(|r| r.id);
        for id in ranked.filter(|id| !passages.blocks.contains(id)) {
            if self.coarse.len() == self.config.coarse_blocks {
                break;
            }
            let count = reader.block(id).ok().and_then(|b| b.beacons).map(|b| usize::from(b.count));
            let Some(count) = count.filter(|&n| n <= left) else { continue };
            left -= count;
            self.coarse.push((id, count));
        }
        self.coarse.sort_unstable();
    }

    /// Whether the next step's queries are wanted for a stale recall.
    pub(super) fn wants_stale_recall(&self) -> bool {
        self.plan.stale_blocks > 0
            && self.finder.is_some()
            && self.times.skip == 0
            && self.reader.as_ref().is_some_and(|r| r.blocks() > 0)
    }

    /// Recall while absorbing: this chunk's queries choose what the next chunk sees ("stale", as
    /// InfLLM and its successors allow). Skipped for some chunks where it costs more than its
    /// share.
    pub(super) fn recall_stale(&mut self) -> Result<(), AbsorbError> {
        let start = Instant::now();
        let chunk = self.times.last_chunk.replace(start).map(|t| start - t);
        if !self.wants_stale_recall() {
            self.times.skip = self.times.skip.saturating_sub(1);
            let condenses = self.condenser.is_some() || self.beacons.is_some();
            return if condenses { self.lay_memory(&[], 0) } else { Ok(()) };
        }
        let mut blocks = self.find_stale()?;
        blocks.sort_unstable();
        if blocks != self.recalled || self.condenser.is_some() || self.beacons.is_some() {
            let tokens = blocks.iter().map(|b| b.1).sum();
            let ids: Vec<BlockId> = blocks.iter().map(|b| b.0).collect();
            self.lay_memory(&ids, tokens)?;
        }
        let took = start.elapsed();
        self.times.stale_count += 1;
        self.times.stale += took;
        if let Some(chunk) = chunk {
            self.times.skip = chunks_to_skip(took, chunk);
        }
        Ok(())
    }

    fn find_stale(&self) -> Result<Vec<(BlockId, usize)>, AbsorbError> {
        let (Some(reader), Some(finder)) = (&self.reader, &self.finder) else {
            return Ok(Vec::new());
        };
        let n = self.scratch.ids.len();
        let step = (n / STALE_QUERY_TOKENS).max(1);
        let rows: Vec<usize> = (0..n).rev().step_by(step).take(STALE_QUERY_TOKENS).collect();
        let Some(query) = finder.query(&self.out, n, &rows) else { return Ok(Vec::new()) };
        let random = self.config.control == Control::RandomRecall;
        let near = self.plan.stale_blocks + self.plan.recent_tokens_max / BLOCK_TOKENS * 3;
        let k = if random { reader.blocks() } else { near };
        let mut hits = reader
            .search_address(&query, k, &Filter::default())
            .map_err(|e| AbsorbError::Read(e.to_string()))?;
        if random {
            hits.sort_by_key(|h| scattered(h.id));
        }
        // The oldest recent token ends here; blocks that end before it are not in the window.
        let oldest = self.recent_ends.front().copied().unwrap_or(u64::MAX);
        let current = self.source.as_ref().and_then(|s| s.id);
        let away = hits
            .iter()
            .filter_map(|h| reader.block(h.id).ok())
            .filter(|b| b.kv.is_some())
            .filter(|b| Some(b.source) != current || b.span.byte_end < oldest);
        Ok(away.take(self.plan.stale_blocks).map(|b| (b.id, usize::from(b.tokens))).collect())
    }

    pub(super) fn note_recall(&mut self, search: Duration, place: Duration) {
        RecallTimes::note(&mut self.times.search, search);
        RecallTimes::note(&mut self.times.place, place);
    }
}

/// The beacons in attention.
fn shown(
    beacons: &Option<Beacons>,
    recent_lost: bool,
    taken: usize,
) -> impl Iterator<Item = &BlockBeacons> + Clone {
    beacons.iter().flat_map(move |b| b.shown(recent_lost, taken))
}

/// Lays beacons; `shuffled`: each block's keys with the values of another, so that what it says is
/// not what it is about.
fn lay_beacons<'a>(
    laying: &mut Laying<'_>,
    beacons: impl Iterator<Item = &'a BlockBeacons> + Clone,
    shuffled: bool,
) -> Result<(), SlotError> {
    let count = beacons.clone().count();
    for (i, block) in beacons.clone().enumerate() {
        let own = block.kv.view();
        let other = beacons.clone().nth((i + count / 2) % count).map(|b| b.kv.view());
        let other = other.filter(|o| shuffled && o.tokens() == own.tokens());
        let values = other.map_or(own.v(), |o| o.v());
        laying.piece(KvView::new(own.geometry(), own.tokens(), own.k(), values))?;
    }
    Ok(())
}

/// Reads and decodes one block's keys and values; gives its tokens.
pub(super) fn read_block(
    reader: &Reader,
    id: BlockId,
    payload: &mut Vec<u8>,
    kv: &mut lcedge_memory::KvBuf,
) -> Result<usize, String> {
    let info = reader.block(id).map_err(|e| e.to_string())?;
    let dtype = reader.payload(id, payload).map_err(|e| e.to_string())?;
    let tokens = usize::from(info.tokens);
    quant::decode(dtype, payload, tokens, kv).map_err(|e| e.to_string())?;
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_long_a_recall_takes_its_share_stays() {
        let ms = Duration::from_millis;
        // A small store: every chunk has a recall.
        assert_eq!(chunks_to_skip(Duration::from_micros(300), ms(40)), 0);
        for took in [1, 5, 20, 100] {
            let skipped = u64::from(chunks_to_skip(ms(took), ms(40)));
            let share = took as f64 / (40 * (skipped + 1)) as f64;
            assert!(share <= 1.0 / 64.0, "{took} ms: {share}");
        }
        assert_eq!(chunks_to_skip(Duration::from_secs(9999), ms(1)), 4096);
        assert_eq!(chunks_to_skip(ms(1), Duration::ZERO), 4096);
    }
}
