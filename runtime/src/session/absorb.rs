//! Absorbing: `tokens -> chunk -> step -> spill -> evict -> fold`.

use std::time::Instant;

use lcedge_memory::{Progress, SourceId, SourceState};

use super::{OpenSource, Session, Waiting, now_unix_ms};
use crate::beacons::{Beacons, BlockBeacons};
use crate::error::AbsorbError;
use crate::fates::Outcome;
use crate::limits::BLOCK_TOKENS;
use crate::tail::{Cut, TailToken, block_tokens};
use crate::when::LineTimes;
use crate::window::Wanted;

/// Most stored blocks in which the last line with a time is looked for.
const BLOCKS_BACK_MAX: usize = 16;

/// Where a source begins in this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStart {
    /// What earlier runs absorbed: feeding goes on behind it.
    pub absorbed_bytes: u64,
    /// BLAKE3 of those bytes; zeros when there are none.
    pub prefix_hash: [u8; 32],
    /// Version of the source, from 1.
    pub version: u32,
}

/// A chunk that was taken: its tokens are in the scratch buffers.
struct Chunk {
    tokens: usize,
}

/// A chunk in the window and in the tail.
struct Stepped {
    tokens: usize,
}

/// What was cut into blocks and handed to the writer.
struct Spilled;

/// How many tokens left the window.
struct Evicted {
    tokens: usize,
}

impl Session {
    /// Begins or continues a source. What an earlier run absorbed of it is not fed again: compare
    /// `prefix_hash` with the text and call [`Session::new_version`] when it changed.
    ///
    /// # Errors
    /// [`AbsorbError`]; no source is open then.
    pub fn begin_source(&mut self, name: &str) -> Result<SourceStart, AbsorbError> {
        self.open_source(name, false)
    }

    /// Begins a new version of a source from its first byte; the older one stays, superseded.
    ///
    /// # Errors
    /// [`AbsorbError`]; no source is open then.
    pub fn new_version(&mut self, name: &str) -> Result<SourceStart, AbsorbError> {
        self.source = None;
        self.open_source(name, true)
    }

    fn open_source(&mut self, name: &str, new: bool) -> Result<SourceStart, AbsorbError> {
        self.check()?;
        if self.read_only {
            return Err(AbsorbError::ReadOnly);
        }
        self.finish_source()?;
        let state = match &mut self.spill {
            Some(spill) => Some(spill.begin(name, new)?),
            None => None,
        };
        // Nothing of one source leaks into another's keys, except through recall.
        let forgotten = self.forget_recent();
        self.latch(forgotten)?;
        let (byte, lines) =
            state.as_ref().map_or((0, 0), |s: &SourceState| (s.absorbed_bytes, s.absorbed_lines));
        let mid_line = state.as_ref().is_some_and(|s| self.ends_mid_line(s.id));
        self.tail.start(byte, lines + 1, mid_line);
        self.lines.start(name, lines + 1);
        self.line_times = LineTimes::live();
        self.carry_nats = f32::NAN;
        self.source = Some(OpenSource {
            id: state.as_ref().map(|s| s.id),
            byte,
            hasher: blake3::Hasher::new(),
            hashed: byte,
        });
        if let Some(state) = state.as_ref().filter(|s| s.blocks > 0) {
            self.recent_lost = true;
            self.continue_times(state.id);
            self.find_point(name, state.id);
        }
        Ok(SourceStart {
            absorbed_bytes: byte,
            prefix_hash: state.as_ref().map_or([0; 32], |s| s.prefix_hash),
            version: state.as_ref().map_or(1, |s| s.version),
        })
    }

    /// Says when the open source was last written, milliseconds since 1970 UTC: a line's time that
    /// has no year is of the last one before. Without this, the present counts.
    pub fn written_at(&mut self, unix_ms: i64) {
        self.line_times.written_at(unix_ms);
    }

    /// A line without a time has that of the last line before it that carries one, also when an
    /// earlier run absorbed that.
    fn continue_times(&mut self, source: SourceId) {
        let Some(reader) = &self.reader else { return };
        let mut next = reader.last_block(source).ok().flatten();
        for _ in 0..BLOCKS_BACK_MAX {
            let Some(id) = next else { return };
            let (Ok(info), Ok(text)) = (reader.block(id), reader.text(id)) else { return };
            if self.line_times.go_on(&text, info.starts_mid_line, info.time_unix_ms) {
                return;
            }
            next = reader.neighbour(id, -1);
        }
    }

    /// Whether what is stored of a source ends inside a line.
    fn ends_mid_line(&self, source: SourceId) -> bool {
        let Some(reader) = &self.reader else { return false };
        let last = reader.last_block(source).ok().flatten();
        last.and_then(|b| reader.block(b).ok()).is_some_and(|b| b.ends_mid_line)
    }

    /// Continues the hash of a source's text behind what earlier runs absorbed: `hasher` has seen
    /// exactly those bytes.
    pub fn continue_hash(&mut self, hasher: blake3::Hasher) {
        if let Some(source) = &mut self.source {
            source.hasher = hasher;
        }
    }

    /// Feeds the next bytes of the source; runs every chunk that is full.
    ///
    /// # Errors
    /// [`AbsorbError`]; what was fed before stays absorbed.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), AbsorbError> {
        self.check()?;
        if self.source.is_none() {
            return Err(AbsorbError::NoSource);
        }
        self.pieces.push(bytes);
        self.encode_pieces(false)?;
        // One token more than a chunk, so that the last one's successor is known.
        self.absorb_ahead(usize::MAX).map(|_| ())
    }

    /// Feeds bytes without running any chunk (to measure or to test the chunks alone).
    ///
    /// # Errors
    /// [`AbsorbError`]; what was fed before stays absorbed.
    #[doc(hidden)]
    pub fn encode_ahead(&mut self, bytes: &[u8]) -> Result<(), AbsorbError> {
        self.pieces.push(bytes);
        self.encode_pieces(false)
    }

    /// Runs at most `chunks` full chunks of what was fed ahead; gives how many ran.
    ///
    /// # Errors
    /// [`AbsorbError`]; what was absorbed before stays absorbed.
    #[doc(hidden)]
    pub fn absorb_ahead(&mut self, chunks: usize) -> Result<usize, AbsorbError> {
        let mut n = 0;
        // Enough is known ahead to see where the chunk's blocks will be cut.
        while n < chunks && self.waiting.len() > self.plan.chunk_tokens.max(BLOCK_TOKENS) {
            let tokens = self.chunk_ahead(false);
            let absorbed = self.absorb_chunk(tokens, false);
            self.latch(absorbed)?;
            n += 1;
        }
        Ok(n)
    }

    /// Absorbs whatever has been fed, in whole blocks and a last short one, and notes how far the
    /// source came. It can still be fed (a file that grows).
    ///
    /// # Errors
    /// [`AbsorbError`]; what was absorbed before stays absorbed.
    pub fn drain(&mut self, complete: bool) -> Result<(), AbsorbError> {
        if self.source.is_none() {
            return Ok(());
        }
        self.check()?;
        self.encode_pieces(true)?;
        while !self.waiting.is_empty() {
            let n = self.chunk_ahead(true);
            let absorbed = self.absorb_chunk(n, n == self.waiting.len());
            self.latch(absorbed)?;
        }
        let cut = self.cut_blocks(true);
        self.latch(cut)?;
        self.note_progress(complete)?;
        if self.recent_lost {
            // Nothing was absorbed since the window was given up: its point stands.
            return Ok(());
        }
        self.keep_gist(true);
        Ok(self.note_point()?)
    }

    /// Ends the open source, if there is one.
    ///
    /// # Errors
    /// As [`Session::drain`].
    pub fn finish_source(&mut self) -> Result<(), AbsorbError> {
        self.drain(true)?;
        self.lines.end_line();
        self.source = None;
        Ok(())
    }

    fn encode_pieces(&mut self, rest: bool) -> Result<(), AbsorbError> {
        while self.pieces.take(rest, &mut self.piece) {
            let encoded = self.codec.encode(&self.piece)?;
            self.counters.dropped_bytes += encoded.dropped_bytes;
            self.counters.invalid_utf8 += encoded.invalid_utf8;
            self.counters.bytes += self.piece.len() as u64;
            self.counters.lines += self.piece.iter().filter(|&&b| b == b'\n').count() as u64;
            self.tail.push_text(&self.piece);
            let Some(source) = &mut self.source else { return Err(AbsorbError::NoSource) };
            let start = source.byte;
            source.byte += self.piece.len() as u64;
            let tokens = encoded.ids.iter().zip(&encoded.ends);
            self.waiting
                .extend(tokens.map(|(&id, &end)| Waiting { id, byte_end: start + u64::from(end) }));
        }
        Ok(())
    }

    /// Tokens of the next chunk: as many whole blocks as fit, or part of one that is larger than a
    /// chunk. Leaves in the scratch where its blocks will be cut.
    fn chunk_ahead(&mut self, rest: bool) -> usize {
        let max = self.plan.chunk_tokens.min(self.waiting.len());
        let (held, waiting, tail) = (self.tail.len(), &self.waiting, &self.tail);
        let end = |i: usize| match tail.tokens().get(i) {
            Some(t) => t.byte_end,
            None => waiting[i - held].byte_end,
        };
        let cuts = &mut self.scratch.cuts;
        cuts.clear();
        let (mut start, mut tokens) = (0, 0);
        while start < held + max {
            let ends_line = |i: usize| tail.ends_line(end(start + i));
            let left = held + waiting.len() - start;
            let Some(n) = block_tokens(left, BLOCK_TOKENS, rest, ends_line) else { break };
            start += n;
            cuts.push(start);
            if start > held && start <= held + max {
                tokens = start - held;
            }
        }
        if tokens == 0 { max } else { tokens }
    }

    /// One chunk through the whole flow.
    fn absorb_chunk(&mut self, tokens: usize, last: bool) -> Result<(), AbsorbError> {
        self.recalls_exactly = false;
        if std::mem::take(&mut self.recent_lost) {
            self.restore_recent()?;
        }
        let chunk = self.take_chunk(tokens);
        let stepped = self.step_chunk(chunk)?;
        let spilled = self.spill_blocks(stepped, last)?;
        let evicted = self.evict_old(spilled)?;
        self.fold(evicted)?;
        self.keep_gist(false);
        Ok(self.note_point()?)
    }

    fn take_chunk(&mut self, tokens: usize) -> Chunk {
        let s = &mut self.scratch;
        s.ids.clear();
        s.ids.extend(self.waiting.iter().take(tokens).map(|w| w.id));
        s.rows.clear();
        s.targets.clear();
        if self.config.surprise {
            let next = self.waiting.iter().skip(1).take(tokens).map(|w| w.id);
            s.targets.extend(next);
            s.rows.extend((0u32..).take(s.targets.len()));
        }
        Chunk { tokens }
    }

    fn step_chunk(&mut self, chunk: Chunk) -> Result<Stepped, AbsorbError> {
        let memory = self.tail.row() > 0;
        let queries = !memory && self.wants_stale_recall();
        let s = &self.scratch;
        let beacons = match &mut self.beacons {
            Some(b) => b.plan(&s.cuts, self.tail.len(), chunk.tokens),
            None => &[],
        };
        let wanted = Wanted {
            logit_rows: &[],
            score_rows: &s.rows,
            score_targets: &s.targets,
            queries,
            memory,
            beacons,
        };
        let start = Instant::now();
        self.window.step(&s.ids, wanted, &mut self.out)?;
        self.cost.note_computed(chunk.tokens, start.elapsed());
        self.take_beacons()?;
        self.counters.tokens_read_by_model += chunk.tokens as u64;
        self.ledger.absorb(chunk.tokens as u64);
        self.tail.push_rows(&self.out.memory_keys);
        let scored = &self.out.logprobs;
        for i in 0..chunk.tokens {
            let Some(w) = self.waiting.pop_front() else { break };
            let nats = if !self.config.surprise {
                f32::NAN
            } else if i == 0 {
                self.carry_nats
            } else {
                -scored[i - 1]
            };
            let from = self.tail.tokens().last().map_or(self.tail.byte_start(), |t| t.byte_end);
            if self.config.surprise {
                self.lines.push(nats, self.tail.text(from, w.byte_end));
            }
            self.tail.push(TailToken { id: w.id, byte_end: w.byte_end, nats });
            self.recent_ends.push_back(w.byte_end);
            if self.condenser.is_some() {
                self.recent_nats.push_back(nats);
            }
        }
        if let Some(beacons) = &mut self.beacons {
            beacons.surprised(-scored.iter().sum::<f32>() / scored.len() as f32);
        }
        self.carry_nats = match scored.get(chunk.tokens - 1) {
            Some(x) if self.config.surprise => -x,
            _ => f32::NAN,
        };
        Ok(Stepped { tokens: chunk.tokens })
    }

    /// Reads the step's beacons and takes them out of the window again.
    fn take_beacons(&mut self) -> Result<(), AbsorbError> {
        let Some(beacons) = &mut self.beacons else { return Ok(()) };
        let n = beacons.planned().len();
        let first = self.window.recent() - n;
        let window = &mut self.window;
        beacons.take(|r, out| window.read_recent(first + r.start..first + r.end, out))?;
        Ok(window.pop(n)?)
    }

    fn spill_blocks(&mut self, stepped: Stepped, last: bool) -> Result<Spilled, AbsorbError> {
        debug_assert!(stepped.tokens <= self.window.recent(), "the chunk is in the window");
        self.cut_blocks(false)?;
        self.drain_written();
        if self.tail.is_empty() || !last {
            self.note_progress(false)?;
        }
        Ok(Spilled)
    }

    /// Cuts every planned block that is whole (with `rest`, also what is left) and hands it over.
    pub(super) fn cut_blocks(&mut self, rest: bool) -> Result<(), AbsorbError> {
        let mut from = 0;
        for i in 0..self.scratch.cuts.len() {
            let tokens = self.scratch.cuts[i] - from;
            if tokens > self.tail.len() {
                break;
            }
            from += tokens;
            self.hand_over(&self.tail.cut(tokens))?;
        }
        self.scratch.cuts.clear();
        if rest {
            if let Some(beacons) = &mut self.beacons {
                beacons.close();
            }
            while let Some(cut) = self.tail.next_cut(BLOCK_TOKENS, true) {
                self.hand_over(&cut)?;
            }
        }
        Ok(())
    }

    /// Hands one block to the writer.
    fn hand_over(&mut self, cut: &Cut) -> Result<(), AbsorbError> {
        let (id, span) = (self.source.as_ref().and_then(|s| s.id), cut.span);
        let outcome = match (&mut self.spill, id) {
            (Some(spill), Some(id)) => {
                let mut block = spill.block()?;
                let from = self.window.recent() - self.tail.len();
                self.window.read_recent(from..from + cut.tokens, &mut block.kv)?;
                fill_block(&mut block, cut, &self.tail);
                let time = self.line_times.block(&block.text, block.starts_mid_line);
                block.time_unix_ms = time.unwrap_or_else(now_unix_ms);
                let fresh = self.beacons.as_ref().and_then(|b| b.fresh(self.recent_blocks.len()));
                fill_beacons(&mut block, self.beacons.as_ref().zip(fresh));
                block.source = id;
                spill.push(block)?;
                Outcome::Pending
            }
            _ => Outcome::Lost,
        };
        if let Some(source) = &mut self.source {
            let text = self.tail.text(span.byte_start, span.byte_end);
            source.hasher.update(text);
            source.hashed = span.byte_end;
        }
        self.counters.blocks += 1;
        self.recent_blocks.push_back(cut.tokens);
        self.ledger.block(cut.tokens as u64, outcome);
        self.tail.take(cut);
        Ok(())
    }

    pub(super) fn note_progress(&mut self, complete: bool) -> Result<(), AbsorbError> {
        let (Some(spill), Some(source)) = (&mut self.spill, &self.source) else { return Ok(()) };
        let Some(id) = source.id else { return Ok(()) };
        let progress = Progress {
            absorbed_bytes: source.hashed,
            absorbed_lines: self.tail.line_start() - 1,
            prefix_hash: *source.hasher.finalize().as_bytes(),
            complete: complete && source.hashed == source.byte,
        };
        Ok(spill.progress(id, progress)?)
    }

    /// Evicts the oldest blocks beyond the plan's number of recent tokens; the condenser sees
    /// them first.
    fn evict_old(&mut self, _: Spilled) -> Result<Evicted, AbsorbError> {
        let over = self.window.recent().saturating_sub(self.plan.recent_tokens_max);
        Ok(Evicted { tokens: self.drop_blocks(over)? })
    }

    /// Evicts the oldest blocks that hold at least `over` tokens together; gives how many they
    /// hold.
    pub(super) fn drop_blocks(&mut self, over: usize) -> Result<usize, AbsorbError> {
        let mut tokens = 0;
        for block in &self.recent_blocks {
            if tokens >= over {
                break;
            }
            tokens += block;
        }
        // A block larger than what may stay is not cut yet: its oldest tokens wait for it.
        let tokens = tokens.min(self.window.recent() - self.tail.len());
        self.condense_oldest(tokens)?;
        self.drop_oldest(tokens, true)?;
        Ok(tokens)
    }

    /// Takes the oldest recent tokens out of window and account. With `leave` they are gone for
    /// good: the beacons of their blocks enter attention.
    pub(super) fn drop_oldest(&mut self, tokens: usize, leave: bool) -> Result<(), AbsorbError> {
        self.window.evict(tokens)?;
        self.recent_ends.drain(..tokens.min(self.recent_ends.len()));
        let mut left = tokens;
        while let Some(front) = self.recent_blocks.front_mut().filter(|_| left > 0) {
            let n = left.min(*front);
            (*front, left) = (*front - n, left - n);
            if *front == 0 {
                self.recent_blocks.pop_front();
                if let Some(beacons) = self.beacons.as_mut().filter(|_| leave) {
                    beacons.leave();
                }
            }
        }
        let foreign = tokens.min(self.foreign_recent);
        self.foreign_recent -= foreign;
        self.ledger.evict((tokens - foreign) as u64);
        self.fold_left()
    }

    fn condense_oldest(&mut self, tokens: usize) -> Result<(), AbsorbError> {
        let Some(condenser) = &mut self.condenser else { return Ok(()) };
        let foreign = self.foreign_recent.min(tokens);
        let mut at = foreign;
        while at < tokens {
            let n = (tokens - at).min(BLOCK_TOKENS);
            self.window.read_recent(at..at + n, &mut self.scratch.kv)?;
            self.scratch.nats.clear();
            let nats = self.recent_nats.drain(..n.min(self.recent_nats.len()));
            self.scratch.nats.extend(nats.map(|x| if x.is_finite() { x } else { 0.0 }));
            self.scratch.nats.resize(n, 0.0);
            condenser
                .absorb(self.scratch.kv.view(), &self.scratch.nats, &mut self.condensed)
                .map_err(|e| AbsorbError::Read(e.to_string()))?;
            at += n;
        }
        Ok(())
    }

    /// What left the window is folded into the memory region: condensed states, and blocks that
    /// the chunk's own queries find again.
    fn fold(&mut self, evicted: Evicted) -> Result<(), AbsorbError> {
        if evicted.tokens > 0 || !self.recalled.is_empty() {
            self.recall_stale()?;
        }
        Ok(())
    }

    /// Empties recent and memory regions but for the sinks (a new source begins).
    pub(super) fn forget_recent(&mut self) -> Result<(), AbsorbError> {
        self.tail.start(0, 1, false);
        let recent = self.window.recent();
        self.drop_oldest(recent, false)?;
        if let Some(beacons) = &mut self.beacons {
            beacons.clear();
        }
        if let Some(gist) = &mut self.gist {
            gist.clear();
        }
        self.condensed.clear();
        self.coarse.clear();
        self.recalls_exactly = false;
        self.foreign_recent = 0;
        self.recent_nats.clear();
        self.recent_lost = false;
        self.resume = None;
        self.pieces.clear();
        self.waiting.clear();
        self.lay_memory(&[], 0)?;
        Ok(())
    }
}

fn fill_block(block: &mut crate::spill::Block, cut: &Cut, tail: &crate::tail::Tail) {
    block.span = cut.span;
    block.surprise_nats = cut.surprise_nats;
    block.starts_mid_line = cut.starts_mid_line;
    block.ends_mid_line = cut.ends_mid_line;
    block.tokens.clear();
    block.tokens.extend(tail.tokens()[..cut.tokens].iter().map(|t| t.id));
    block.memory_rows.clear();
    block.memory_rows.extend_from_slice(tail.rows(cut.tokens));
    block.text.clear();
    block.text.extend_from_slice(tail.text(cut.span.byte_start, cut.span.byte_end));
}

fn fill_beacons(block: &mut crate::spill::Block, made: Option<(&Beacons, &BlockBeacons)>) {
    let tokens = made.map_or(0, |(_, b)| b.kv.tokens());
    let (k, v) = block.beacons.fill(tokens);
    let Some((all, made)) = made else { return };
    block.beacon_ratio = all.ratio(made.ratio);
    k.copy_from_slice(made.kv.view().k());
    v.copy_from_slice(made.kv.view().v());
}
