//! Where a session goes on after a restart: which blocks were in attention, and the few running
//! values that the next chunk depends on. Never keys or values: those are in the store.

use heapless::Vec as Bounded;
use lcedge_memory::{BlockId, SourceId};

use super::Session;
use crate::limits::POINT_BLOCKS_MAX;

const VERSION: u8 = 1;
const FIXED_BYTES: usize = 1 + 3 * 4 + 3 * 4 + 2;

/// A resume point. Bytes: version (u8), `recent`, `tier`, `skip` (u32), `carry_nats`, `usual`,
/// `latest` (f32), the number of recalled blocks (u16) and their ids (u64); little-endian.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Blocks of the recent region: the newest of the source.
    pub recent: u32,
    /// Blocks before those whose beacons were in attention.
    pub tier: u32,
    /// Chunks without recall to come.
    pub skip: u32,
    /// Surprise of the next token; NaN when it is not known.
    pub carry_nats: f32,
    /// Running mean of surprise, for the adaptive ratio; NaN at the start.
    pub usual: f32,
    /// Surprise of the latest chunk.
    pub latest: f32,
    /// Blocks that were recalled into attention, in order of time.
    pub recalled: Bounded<u64, POINT_BLOCKS_MAX>,
}

impl Point {
    /// The point as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED_BYTES + 8 * self.recalled.len());
        out.push(VERSION);
        for n in [self.recent, self.tier, self.skip] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        for x in [self.carry_nats, self.usual, self.latest] {
            out.extend_from_slice(&x.to_le_bytes());
        }
        let n = u16::try_from(self.recalled.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&n.to_le_bytes());
        for id in &self.recalled {
            out.extend_from_slice(&id.to_le_bytes());
        }
        out
    }

    /// Reads [`Point::to_bytes`]; `None` for bytes of another version or length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, ids) = bytes.split_at_checked(FIXED_BYTES)?;
        let word = |i: usize| head.get(1 + 4 * i..5 + 4 * i)?.try_into().ok();
        let n = u16::from_le_bytes(head.get(FIXED_BYTES - 2..)?.try_into().ok()?);
        if head.first() != Some(&VERSION) || ids.len() != 8 * usize::from(n) {
            return None;
        }
        let mut recalled = Bounded::new();
        for id in ids.chunks_exact(8) {
            recalled.push(u64::from_le_bytes(id.try_into().ok()?)).ok()?;
        }
        Some(Self {
            recent: u32::from_le_bytes(word(0)?),
            tier: u32::from_le_bytes(word(1)?),
            skip: u32::from_le_bytes(word(2)?),
            carry_nats: f32::from_le_bytes(word(3)?),
            usual: f32::from_le_bytes(word(4)?),
            latest: f32::from_le_bytes(word(5)?),
            recalled,
        })
    }
}

/// What the recent and memory regions are restored to.
#[derive(Clone, Debug)]
pub(super) struct Resume {
    pub(super) point: Point,
    /// Blocks of the source when the point was set; later ones come behind them.
    pub(super) blocks: u32,
}

impl Session {
    /// The point where the session stands.
    pub(super) fn point(&self) -> Point {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (usual, latest) = self.beacons.as_ref().map_or((f32::NAN, f32::NAN), |b| b.surprise());
        let mut recalled = Bounded::new();
        for (id, _) in &self.recalled {
            // What does not fit is only not recalled again.
            let _ = recalled.push(id.0);
        }
        Point {
            recent: count(self.recent_blocks.len()),
            tier: count(self.beacons.as_ref().map_or(0, |b| b.tier().count())),
            skip: self.times.skip(),
            carry_nats: self.carry_nats,
            usual,
            latest,
            recalled,
        }
    }

    /// Notes where the session stands, to be stored with the blocks handed over before.
    pub(super) fn note_point(&mut self) -> Result<(), crate::spill::SpillError> {
        let Some(id) = self.source.as_ref().and_then(|s| s.id) else { return Ok(()) };
        let point = self.point();
        self.spill.as_mut().map_or(Ok(()), |spill| spill.point(id, point))
    }

    /// Finds where an earlier run left a source.
    pub(super) fn find_point(&mut self, name: &str, source: SourceId) {
        self.resume = None;
        let Some(reader) = &self.reader else { return };
        match reader.session(name) {
            Ok(Some(p)) if p.source == source => {
                let blocks = p.blocks;
                self.resume = Point::from_bytes(&p.state).map(|point| Resume { point, blocks });
            }
            Ok(_) => {}
            Err(e) => self.warn(format!("the newest blocks are restored instead: {e}")),
        }
    }

    /// Takes the running values of a point over; gives its recalled blocks that are still whole.
    pub(super) fn take_over(&mut self, point: &Point) -> Vec<(BlockId, usize)> {
        if self.carry_nats.is_nan() {
            self.carry_nats = point.carry_nats;
        }
        self.times.set_skip(point.skip);
        if let Some(beacons) = &mut self.beacons {
            beacons.set_surprise(point.usual, point.latest);
        }
        let Some(reader) = &self.reader else { return Vec::new() };
        let known = point.recalled.iter().filter_map(|&id| reader.block(BlockId(id)).ok());
        let whole = known.filter(|b| b.kv.is_some()).take(self.plan.stale_blocks);
        whole.map(|b| (b.id, usize::from(b.tokens))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_survives_its_bytes_and_others_are_refused() {
        let mut point = Point {
            recent: 9,
            tier: 3,
            skip: 1,
            carry_nats: f32::NAN,
            usual: 2.5,
            latest: -0.0,
            recalled: Bounded::new(),
        };
        for id in [7, u64::MAX] {
            point.recalled.push(id).unwrap();
        }
        let bytes = point.to_bytes();
        assert_eq!(bytes.len(), FIXED_BYTES + 16);
        let read = Point::from_bytes(&bytes).unwrap();
        assert!(read.carry_nats.is_nan());
        assert_eq!(read.to_bytes(), bytes);
        for n in 0..bytes.len() {
            assert_eq!(Point::from_bytes(&bytes[..n]), None, "{n} bytes");
        }
        let mut other = bytes;
        other[0] = 2;
        assert_eq!(Point::from_bytes(&other), None);
    }
}
