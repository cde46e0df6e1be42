//! Folding into the gist: what left the condensed tier, and what a question found.

use std::time::{Duration, Instant};

use lcedge_memory::{AddressQuery, BlockId, Geometry, KvBuf, Reader, SourceId};

use super::Session;
use super::recall::Passages;
use super::restore::read_beacons;
use crate::config::{Control, SessionConfig};
use crate::error::AbsorbError;
use crate::gist::Gist;
use crate::limits::{BLOCK_TOKENS, GIST_CATCH_UP_BLOCKS, GIST_KEEP_FOLDS, GIST_QUESTION_BLOCKS};
use crate::plan::Plan;
use crate::spill::gist_name;

/// The gist of a session whose plan has slots for one.
pub(super) fn of(geometry: Geometry, plan: &Plan, config: &SessionConfig) -> Option<Gist> {
    let (asks, zeroed) = (config.question_gist, config.control == Control::ZeroGist);
    let (slots, fold) = (plan.gist_tokens, plan.fold_tokens);
    (slots > 0).then(|| Gist::new(geometry, slots, fold, asks, zeroed))
}

impl Session {
    /// The gist of the current source, where the model has one and the session folds.
    #[must_use]
    pub const fn gist(&self) -> Option<&Gist> {
        self.gist.as_ref()
    }

    /// Folds the beacons that left the condensed tier into the gist.
    pub(super) fn fold_left(&mut self) -> Result<(), AbsorbError> {
        if let (Some(gist), Some(beacons)) = (&mut self.gist, &mut self.beacons) {
            let (before, start) = (gist.state().folds(), Instant::now());
            gist.fold(beacons, &mut self.window)?;
            if gist.state().folds() > before {
                self.fold_time += start.elapsed();
            }
        }
        Ok(())
    }

    /// Time that folds into the gist took while reading.
    #[must_use]
    pub const fn fold_time(&self) -> Duration {
        self.fold_time
    }

    /// Keeps the state on disk, `now` or where enough was folded since the last time.
    pub(super) fn keep_gist(&mut self, now: bool) {
        let source = self.source.as_ref().and_then(|s| s.id);
        let (Some(gist), Some(spill)) = (&mut self.gist, &mut self.spill) else { return };
        let folds = if now { 1 } else { GIST_KEEP_FOLDS };
        if let Some(source) = source.filter(|_| gist.unkept() >= folds) {
            spill.keep_gist(source, |out| gist.write_bytes(out));
        }
    }

    /// Takes over what an earlier run kept of the current source's state.
    pub(super) fn resume_gist(&mut self, reader: &Reader, source: SourceId) {
        let Some(gist) = self.gist.as_mut().filter(|g| g.blocks() == 0) else { return };
        let name = reader.source(source).map(|s| gist_name(&s.name));
        let Ok(name) = name.map_err(|_| ()) else { return };
        let resumed = match reader.session(&name) {
            Ok(Some(p)) if p.source == source => gist.resume(&p.state).map_err(|e| e.to_string()),
            Ok(_) => Ok(()),
            Err(e) => Err(e.to_string()),
        };
        if let Err(e) = resumed {
            self.warn(format!("the gist is folded anew from stored beacons: {e}"));
        }
    }

    /// Brings the state up to the block `last`, the newest that is not in the condensed tier any
    /// more: folds the stored beacons of the blocks up to it that it does not hold yet.
    pub(super) fn catch_up(&mut self, reader: &Reader, last: BlockId) -> Result<(), AbsorbError> {
        let (Some(gist), Ok(info)) = (&mut self.gist, reader.block(last)) else { return Ok(()) };
        let (from, end) = (gist.blocks(), info.ordinal + 1);
        let mut ids = Vec::new();
        let mut next = Some(last);
        while let Some(id) = next.filter(|_| ids.len() < GIST_CATCH_UP_BLOCKS) {
            if reader.block(id).map_or(true, |b| b.ordinal < from) {
                break;
            }
            ids.push(id);
            next = reader.neighbour(id, -1);
        }
        let (mut group, mut rows, mut covers) = (Vec::new(), 0, 0);
        for &id in ids.iter().rev() {
            let count = reader.block(id).ok().and_then(|b| b.beacons).map(|b| usize::from(b.count));
            let Some(count) = count.filter(|&n| n <= gist.fold_tokens()) else { continue };
            if rows + count > gist.fold_tokens() {
                gist.fold_stored(&mut self.window, &group, std::mem::take(&mut covers))?;
                group.clear();
                rows = 0;
            }
            let mut kv = KvBuf::with_capacity(self.scratch.kv.geometry(), count);
            let read = read_beacons(reader, id, &mut self.scratch.payload, &mut kv);
            if let Ok((_, tokens)) = read {
                group.push(kv);
                rows += count;
                covers += tokens as u64;
            }
        }
        gist.fold_stored(&mut self.window, &group, covers)?;
        gist.skip_to(gist.blocks().max(end));
        Ok(())
    }

    /// Folds the stored beacons of the blocks that a question found, the best first as far as a
    /// fold has room, into a gist for it; only where the session is told to.
    pub(super) fn fold_for_question(
        &mut self,
        passages: &Passages,
        query: Option<&AddressQuery>,
    ) -> Result<(), AbsorbError> {
        let (Some(gist), Some(reader)) = (&mut self.gist, &self.reader) else { return Ok(()) };
        let vector = query.and_then(|q| q.heads.first()).map(|h| &h.vectors[..]);
        let Some(vector) = vector.filter(|_| gist.asks()) else { return Ok(()) };
        let mut room = self.plan.fold_tokens;
        let mut found: Vec<(BlockId, KvBuf)> = Vec::new();
        let mut damaged = None;
        for id in passages.ranked.iter().map(|r| r.id) {
            if found.len() == GIST_QUESTION_BLOCKS {
                break;
            }
            let count = reader.block(id).ok().and_then(|b| b.beacons).map(|b| usize::from(b.count));
            let Some(count) = count.filter(|&n| n <= room.min(BLOCK_TOKENS)) else { continue };
            let mut kv = KvBuf::with_capacity(self.scratch.kv.geometry(), count);
            match read_beacons(reader, id, &mut self.scratch.payload, &mut kv) {
                Ok(_) => {
                    room -= count;
                    found.push((id, kv));
                }
                Err(e) => damaged = Some(e),
            }
        }
        found.sort_unstable_by_key(|f| f.0);
        let blocks: Vec<KvBuf> = found.into_iter().map(|f| f.1).collect();
        gist.fold_for(vector, &mut self.window, &blocks)?;
        if let Some(e) = damaged {
            self.counters.damaged_blocks += 1;
            self.warn(format!("beacons were left out of a question's gist: {e}"));
        }
        Ok(())
    }
}
