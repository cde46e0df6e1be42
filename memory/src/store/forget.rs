//! Forgetting: passages leave the store with all that was derived from them alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use serde::{Deserialize, Serialize};

use super::{
    Store,
    rewrite::{Fate, Plan},
};
use crate::{BlockId, ReadError, RewriteError, SourceId, catalogue::SessionRow, snapshot::Entry};

/// What is to be forgotten.
#[derive(Clone, Debug)]
pub enum Forget<'a> {
    /// These blocks. Those that there are not are passed over.
    Blocks(&'a [BlockId]),
    /// These source versions, with their names and how far they were absorbed.
    Sources(&'a [SourceId]),
    /// All blocks of this time, milliseconds since 1970 UTC, half-open.
    Time(Range<i64>),
    /// All blocks whose text holds this one, whether letters are large or small, also where it goes
    /// on from one block to the next.
    Text(&'a str),
}

/// How much of what may have been derived goes too: keys and values of later tokens were
/// computed while what is forgotten was in attention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strictness {
    /// Only the passages themselves.
    #[default]
    Passage,
    /// Later blocks of the same sources are left as text.
    Source,
    /// All later blocks of the store are left as text: nothing computed in the presence of what
    /// is forgotten remains.
    Store,
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Blocks that are gone.
    pub blocks: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Source versions that are gone.
    pub sources: u64,
    /// Later blocks that were left as text.
    pub left_as_text: u64,
    /// Resume points that are gone: all there were.
    pub sessions: u64,
    /// Damaged blocks of the same segments that could not be carried over.
    pub damaged: u64,
    /// Segments that were written anew or removed.
    pub segments: u64,
    /// No trace is left in the catalogue's log. False while another process reads: the log is
    /// emptied when the store is next opened and nobody reads.
    pub log_emptied: bool,
}

impl Store {
    /// Forgets. Text, tokens, keys and values, beacons and addresses of the blocks leave every file
    /// of the store: their segments and pages are written anew and unlinked, the text index and
    /// the catalogue are written anew, the log is emptied. All resume points go, because a session
    /// may have been reading the passage. What was appended before is committed first.
    ///
    /// What the disk itself keeps of files that were unlinked is beyond this.
    ///
    /// # Errors
    /// [`RewriteError`]. After `DiskFull` nothing is forgotten; after any other error, forget again
    /// once the store is open: some of it may be gone.
    pub fn forget(
        &mut self,
        what: &Forget<'_>,
        strictness: Strictness,
    ) -> Result<Forgotten, RewriteError> {
        self.seal_all()?;
        let gone = self.selected(what)?;
        let sources: &[SourceId] = if let Forget::Sources(s) = what { s } else { &[] };
        let known: Vec<SourceId> = {
            let snapshot = self.shared.snapshot();
            sources.iter().copied().filter(|s| snapshot.sources().contains_key(s)).collect()
        };
        let mut report = Forgotten::default();
        let plan = self.plan(&gone, strictness, &known, &mut report);
        let names = self.reading.view(|view| view.session_names())?;
        report.sessions = names.len() as u64;
        report.sources = known.len() as u64;
        let sessions: Vec<(String, Option<SessionRow>)> =
            names.into_iter().map(|name| (name, None)).collect();
        let done = self.rewrite(&plan, &known, &sessions)?;
        self.restate_newest();
        let pins = self.pins.difference(&gone).copied().collect();
        // An id that stays pinned names nothing: a file that cannot be written does no harm.
        let _ = self.save_pins(pins);
        (report.segments, report.damaged) = (done.segments, done.damaged);
        report.log_emptied = self.catalogue.scrub()?;
        self.bytes.catalogue = self.catalogue.bytes();
        Ok(report)
    }

    /// After source versions went: which version of each name is the newest now. One that was the
    /// newest before stays what it was.
    pub(super) fn restate_newest(&mut self) {
        let snapshot = self.shared.snapshot();
        let mut newest: BTreeMap<String, (u32, SourceId)> = BTreeMap::new();
        for entry in snapshot.sources().values() {
            let row = entry.row();
            let best = newest.entry(row.name.clone()).or_insert((row.version, row.id));
            *best = (*best).max((row.version, row.id));
        }
        drop(snapshot);
        let newest = newest.into_iter().map(|(name, (_, id))| (name, id)).collect();
        let before = std::mem::replace(&mut self.newest, newest);
        let new = self.newest.iter().filter(|(name, id)| before.get(*name) != Some(*id));
        let ids: Vec<SourceId> = new.map(|(_, id)| *id).collect();
        for id in ids {
            if self.entry(id).is_ok_and(|e| e.row().superseded) {
                self.update_source(id, |row| row.superseded = false);
                self.restated.insert(id);
            }
        }
    }

    /// Commits, and seals every segment.
    pub(super) fn seal_all(&mut self) -> Result<(), RewriteError> {
        for earlier in &mut self.closing {
            earlier.resumable = false;
        }
        self.seal()?;
        Ok(())
    }

    /// What becomes of which segment.
    pub(super) fn plan(
        &self,
        gone: &BTreeSet<BlockId>,
        strictness: Strictness,
        sources: &[SourceId],
        report: &mut Forgotten,
    ) -> Plan {
        let snapshot = self.shared.snapshot();
        let mut plan = Plan::new();
        // Of each source the first block that goes, and of all.
        let mut first: BTreeMap<SourceId, BlockId> = BTreeMap::new();
        for entry in snapshot.iter() {
            let (id, source) = (entry.info.id, entry.info.source);
            let mut put = |fate| plan.entry(entry.segment).or_default().insert(id, fate);
            if gone.contains(&id) {
                put(Fate::Drop);
                first.entry(source).or_insert(id);
                report.blocks += 1;
                report.tokens += u64::from(entry.info.tokens);
                continue;
            }
            let later = match strictness {
                Strictness::Passage => false,
                Strictness::Source => first.contains_key(&source),
                Strictness::Store => !first.is_empty(),
            };
            if later && (entry.info.kv.is_some() || entry.info.beacons.is_some()) {
                put(Fate::Text);
                report.left_as_text += 1;
            }
        }
        // Segments of a source that goes have nothing left, not even damaged blocks or progress.
        for number in self.segments_of(sources) {
            plan.entry(number).or_default();
        }
        // Damaged blocks that are asked for by name.
        for q in self.shared.quarantined_all() {
            if gone.contains(&q.id) {
                plan.entry(q.segment).or_default();
            }
        }
        plan
    }

    fn segments_of(&self, sources: &[SourceId]) -> Vec<u32> {
        if sources.is_empty() {
            return Vec::new();
        }
        let numbers = self.shared.segment_numbers().into_iter();
        let of_them = |n: &u32| {
            let segment = self.shared.segment(*n);
            segment.is_ok_and(|s| sources.contains(&s.head.header.source))
        };
        numbers.filter(of_them).collect()
    }

    fn selected(&self, what: &Forget<'_>) -> Result<BTreeSet<BlockId>, RewriteError> {
        let snapshot = self.shared.snapshot();
        let ids = |keep: &dyn Fn(&Entry) -> bool| {
            snapshot.iter().filter(|e| keep(e)).map(|e| e.info.id).collect()
        };
        Ok(match what {
            Forget::Blocks(ids) => ids.iter().copied().collect(),
            Forget::Sources(sources) => ids(&|e| sources.contains(&e.info.source)),
            Forget::Time(range) => ids(&|e| range.contains(&e.info.time_unix_ms)),
            Forget::Text(text) => self.holding(text)?,
        })
    }

    /// Blocks that hold a text, or a part of one that goes on in the blocks around them.
    fn holding(&self, text: &str) -> Result<BTreeSet<BlockId>, RewriteError> {
        let wanted = text.to_lowercase();
        let mut found = BTreeSet::new();
        if wanted.trim().is_empty() {
            return Ok(found);
        }
        let reader = self.reader();
        // Of each source, the end of what was read before, and the blocks that it is of.
        let mut before: BTreeMap<SourceId, Tail> = BTreeMap::new();
        for entry in self.shared.snapshot().iter() {
            let bytes = match reader.text(entry.info.id) {
                Ok(bytes) => bytes,
                // What cannot be read is not searched; it is never served either.
                Err(ReadError::Corrupt { .. } | ReadError::Quarantined { .. }) => continue,
                Err(e) => return Err(e.into()),
            };
            let own = String::from_utf8_lossy(&bytes).to_lowercase();
            let tail = before.entry(entry.info.source).or_default();
            if entry.info.ordinal != tail.next {
                *tail = Tail::default();
            }
            tail.push(entry.info.id, &own);
            tail.next = entry.info.ordinal + 1;
            found.extend(tail.matches(&wanted));
            tail.shorten(wanted.len());
        }
        Ok(found)
    }
}

/// Text that has been read last, and which bytes of it are of which block.
#[derive(Default)]
struct Tail {
    text: String,
    /// Blocks, with where each ends.
    ends: Vec<(BlockId, usize)>,
    next: u32,
}

impl Tail {
    fn push(&mut self, id: BlockId, text: &str) {
        self.text.push_str(text);
        self.ends.push((id, self.text.len()));
    }

    /// Blocks that have a part in a match.
    fn matches(&self, wanted: &str) -> Vec<BlockId> {
        let mut out = Vec::new();
        let mut from = 0;
        while let Some(at) = self.text.get(from..).and_then(|rest| rest.find(wanted)) {
            let (start, end) = (from + at, from + at + wanted.len());
            let mut block_start = 0;
            for (id, block_end) in &self.ends {
                if block_start < end && *block_end > start {
                    out.push(*id);
                }
                block_start = *block_end;
            }
            from = start + self.text[start..].chars().next().map_or(1, char::len_utf8);
        }
        out
    }

    /// Keeps so much that a match which goes on is still found.
    fn shorten(&mut self, wanted: usize) {
        let mut cut = self.text.len().saturating_sub(wanted);
        while !self.text.is_char_boundary(cut) {
            cut -= 1;
        }
        self.text.drain(..cut);
        self.ends.retain_mut(|(_, end)| {
            *end = end.saturating_sub(cut);
            *end > 0
        });
    }
}
