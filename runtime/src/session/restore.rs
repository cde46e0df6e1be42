//! Bringing the recent region back from the store, without reading its text again.

use super::Session;
use super::recall::read_block;
use crate::error::AbsorbError;

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
        // Blocks that a question recalled make room for the recent region.
        self.lay_memory(&[], 0)?;
        let (mut ids, mut tokens) = (Vec::new(), 0);
        let mut next = reader.blocks_of(source).last().copied();
        while let Some(id) = next {
            let Ok(info) = reader.block(id) else { break };
            let n = usize::from(info.tokens);
            if info.kv.is_none() || tokens + n > self.plan.recent_tokens_max {
                break;
            }
            tokens += n;
            ids.push(id);
            next = reader.neighbour(id, -1);
        }
        if let Some(beacons) = &mut self.beacons {
            while beacons.fresh_blocks() > ids.len() {
                beacons.leave();
            }
        }
        let s = &mut self.scratch;
        for &id in ids.iter().rev() {
            let end = reader.block(id).map_or(0, |b| b.span.byte_end);
            match read_block(&reader, id, &mut s.payload, &mut s.kv) {
                Ok(n) => {
                    self.window.append_placed(s.kv.view())?;
                    self.foreign_recent += n;
                    self.recent_blocks.push_back(n);
                    self.recent_ends.extend(std::iter::repeat_n(end, n));
                    self.counters.restored_tokens += n as u64;
                }
                Err(e) => {
                    self.counters.damaged_blocks += 1;
                    self.warning.get_or_insert(format!("a block could not be restored: {e}"));
                }
            }
        }
        Ok(())
    }
}
