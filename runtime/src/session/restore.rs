//! Bringing the recent region back from the store, without reading its text again.

use std::time::Instant;

use lcedge_compress::quant;
use lcedge_memory::{BlockId, KvBuf, Reader, SourceId};

use super::Session;
use super::point::Resume;
use super::recall::read_block;
use crate::error::AbsorbError;
use crate::gist::Gist;
use crate::window::Wanted;

impl Session {
    /// Places the newest stored blocks of the current source as the recent region, exact to the
    /// store's dtype. Does nothing without a store or when recent tokens are there already.
    pub(super) fn restore_recent(&mut self) -> Result<(), AbsorbError> {
        let source = self.source.as_ref().and_then(|s| s.id);
        let (Some(reader), Some(source)) = (self.reader.clone(), source) else { return Ok(()) };
        if self.window.recent() > self.tail.len() {
            return Ok(());
        }
        if !self.tail.is_empty() {
            // Unblocked tokens are still there and come last: nothing can be placed before them.
            return Ok(());
        }
        let resume = self.resume.take();
        // Blocks that a question recalled make room for the recent region.
        self.coarse.clear();
        self.gist.iter_mut().for_each(Gist::forget_question);
        self.recalls_exactly = false;
        self.lay_memory(&[], 0)?;
        self.resume_gist(&reader, source);
        let (ids, next) = self.newest_blocks(&reader, source, resume.as_ref());
        let tier = resume.as_ref().map_or(usize::MAX, |r| r.point.tier as usize);
        if let Some(last) = self.restore_beacons(&reader, next, &ids, tier) {
            self.catch_up(&reader, last)?;
        }
        self.fold_left()?;
        for &id in ids.iter().rev() {
            self.restore_block(&reader, id)?;
        }
        let recalled = resume.map_or_else(Vec::new, |r| self.take_over(&r.point));
        let over = self.window.recent().saturating_sub(self.plan.recent_tokens_max);
        self.drop_blocks(over)?;
        let blocks: Vec<BlockId> = recalled.iter().map(|r| r.0).collect();
        self.lay_memory(&blocks, recalled.iter().map(|r| r.1).sum())
    }

    /// The blocks that the recent region is restored from, newest first, and the one before them:
    /// those of the point and later ones, or as many of the newest as fit.
    fn newest_blocks(
        &mut self,
        reader: &Reader,
        source: SourceId,
        resume: Option<&Resume>,
    ) -> (Vec<BlockId>, Option<BlockId>) {
        let mut ids = Vec::new();
        let mut next = reader.last_block(source).ok().flatten();
        // Blocks that came after the point are less than a chunk.
        let later = if resume.is_some() { self.plan.chunk_tokens } else { 0 };
        let (mut tokens, mut of_point) = (0, 0);
        while let Some(id) = next {
            let Ok(info) = reader.block(id) else { break };
            let n = usize::from(info.tokens);
            if let Some(r) = resume.filter(|r| info.ordinal < r.blocks) {
                if of_point == r.point.recent {
                    break;
                }
                of_point += 1;
            }
            if tokens + n > self.plan.recent_tokens_max + later || !self.can_restore(reader, id) {
                break;
            }
            tokens += n;
            ids.push(id);
            next = reader.neighbour(id, -1);
        }
        (ids, next)
    }

    /// Whether a block can be brought back: its bytes are whole, or its text's tokens are there to
    /// be computed again. What is damaged ends the run of blocks, so that they and their beacons
    /// stay side by side.
    fn can_restore(&mut self, reader: &Reader, id: BlockId) -> bool {
        let s = &mut self.scratch;
        let whole = match reader.block(id).map(|b| b.kv) {
            // By its checksum: it is decoded when it is placed.
            Ok(Some(_)) => {
                reader.payload(id, &mut s.payload).map(|_| ()).map_err(|e| e.to_string())
            }
            _ => tokens_of(reader, id, &mut s.ids),
        };
        if let Err(e) = &whole {
            self.counters.damaged_blocks += 1;
            self.warning.get_or_insert(format!("a block could not be restored: {e}"));
        }
        whole.is_ok()
    }

    /// Brings one block back as the newest of the recent region: from its keys and values, or,
    /// where they were given up or take longer to read than to compute, by running its tokens
    /// again.
    fn restore_block(&mut self, reader: &Reader, id: BlockId) -> Result<(), AbsorbError> {
        let Ok(info) = reader.block(id) else { return Ok(()) };
        let s = &mut self.scratch;
        let start = Instant::now();
        // Where reading costs more than computing, tokens are run again that are as good as read.
        let read =
            info.kv.is_some() && (self.cost.reads() || tokens_of(reader, id, &mut s.ids).is_err());
        let n = if read {
            let n = read_block(reader, id, &mut s.payload, &mut s.kv).map_err(AbsorbError::Read)?;
            self.window.append_placed(s.kv.view())?;
            self.counters.restored_tokens += n as u64;
            self.cost.note_read(n, start.elapsed());
            n
        } else {
            tokens_of(reader, id, &mut s.ids).map_err(AbsorbError::Read)?;
            self.window.step(&s.ids, Wanted::default(), &mut self.out)?;
            self.cost.note_computed(s.ids.len(), start.elapsed());
            self.counters.tokens_read_by_model += s.ids.len() as u64;
            self.counters.prefilled_tokens += s.ids.len() as u64;
            s.ids.len()
        };
        self.foreign_recent += n;
        self.recent_blocks.push_back(n);
        self.recent_ends.extend(std::iter::repeat_n(info.span.byte_end, n));
        Ok(())
    }

    /// Keeps in mind what is in attention, for after a question.
    pub(super) fn remember_window(&mut self) {
        if self.recent_lost || self.window.recent() == 0 {
            return;
        }
        let blocks = u32::MAX;
        self.resume = Some(Resume { point: self.point(), blocks });
    }

    /// Brings the beacons of the recent blocks `ids` (newest first) and of those before them
    /// (`older` and its predecessors) back, where they are not there any more; gives then the
    /// newest block that is in neither, if there is one.
    fn restore_beacons(
        &mut self,
        reader: &Reader,
        older: Option<BlockId>,
        ids: &[BlockId],
        blocks_max: usize,
    ) -> Option<BlockId> {
        let beacons = self.beacons.as_mut()?;
        while beacons.fresh_blocks() > ids.len() {
            beacons.leave();
        }
        if beacons.fresh_blocks() > 0 || beacons.held() > 0 || ids.is_empty() {
            return None;
        }
        let folded = self.gist.as_ref().map_or(0, Gist::blocks);
        let (mut before, mut held, mut next) = (Vec::new(), 0, older);
        while let Some(id) = next.filter(|_| before.len() < blocks_max) {
            let info = reader.block(id).ok().filter(|b| b.ordinal >= folded);
            let count = info.and_then(|b| b.beacons).map(|b| usize::from(b.count));
            let Some(count) = count.filter(|n| held + n <= beacons.capacity()) else { break };
            held += count;
            before.push(id);
            next = reader.neighbour(id, -1);
        }
        let all = before.iter().rev().map(|id| (id, false));
        for (&id, recent) in all.chain(ids.iter().rev().map(|id| (id, true))) {
            let s = &mut self.scratch;
            match read_beacons(reader, id, &mut s.payload, &mut s.kv) {
                Ok((ratio, tokens)) => beacons.restore(ratio, tokens, s.kv.view(), recent),
                // Recent blocks and their beacons go side by side: a block without any has none.
                Err(_) if recent => {
                    s.kv.fill(0);
                    beacons.restore(0, 0, s.kv.view(), true);
                }
                Err(_) => {}
            }
        }
        next
    }
}

/// The tokens of a block; none is an error.
fn tokens_of(reader: &Reader, id: BlockId, out: &mut Vec<u32>) -> Result<(), String> {
    reader.tokens(id, out).map_err(|e| e.to_string())?;
    if out.is_empty() { Err("its tokens are not stored".to_owned()) } else { Ok(()) }
}

/// Reads and decodes one block's beacons; gives their ratio and the block's tokens.
pub(super) fn read_beacons(
    reader: &Reader,
    id: BlockId,
    payload: &mut Vec<u8>,
    kv: &mut KvBuf,
) -> Result<(u16, usize), String> {
    let tokens = usize::from(reader.block(id).map_err(|e| e.to_string())?.tokens);
    let info = reader.beacons(id, payload).map_err(|e| e.to_string())?;
    quant::decode(info.dtype, payload, usize::from(info.count), kv).map_err(|e| e.to_string())?;
    Ok((info.ratio, tokens))
}
