//! Folding into the gist: what left the condensed tier, and what a question found.

use lcedge_memory::{AddressQuery, BlockId, Geometry, KvBuf};

use super::Session;
use super::recall::Passages;
use super::restore::read_beacons;
use crate::config::{Control, SessionConfig};
use crate::error::AbsorbError;
use crate::gist::Gist;
use crate::limits::{BLOCK_TOKENS, CANDIDATE_BLOCKS};
use crate::plan::Plan;

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
            gist.fold(beacons, &mut self.window)?;
        }
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
        for id in passages.ranked.iter().take(CANDIDATE_BLOCKS).map(|r| r.id) {
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
