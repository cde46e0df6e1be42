//! Recalled passages as lines: neighbouring blocks joined, their text cut at line ends, and each
//! line scored by late interaction with the keys of its own tokens.

use std::ops::Range;

use lcedge_memory::{AddressQuery, BlockId, Reader, SourceId};

use super::Session;
use super::recall::Passages;
use crate::cite::Line;
use crate::conversation;
use crate::rank::FoundBy;
use crate::when::InTime;

impl Session {
    /// The lines of what was recalled, with their scores by address.
    pub(super) fn passage_lines(
        &self,
        passages: &Passages,
        query: Option<&AddressQuery>,
    ) -> Vec<Line> {
        let Some(reader) = &self.reader else { return Vec::new() };
        let mut lines = Vec::new();
        for run in runs(Some(reader), &passages.blocks) {
            let name = reader.source(run.source).map(|s| s.name).unwrap_or_default();
            let scores = self.line_scores(reader, &run, query);
            let mut times = run.times(passages.time.as_ref());
            for (part, address) in run.lines().into_iter().zip(scores) {
                if !times.holds(&run.text[part.start..part.end], run.written(part.start)) {
                    continue;
                }
                let text = String::from_utf8_lossy(&run.text[part.start..part.end]);
                if conversation::is_one(&name)
                    && !conversation::is_evidence(&text, passages.replies)
                {
                    continue;
                }
                let blocks: Vec<BlockId> =
                    run.overlapping(part.start, part.end).map(|i| run.blocks[i].0).collect();
                let ranked = passages.ranked.iter().filter(|r| blocks.contains(&r.id));
                let best = ranked.max_by(|a, b| a.score.total_cmp(&b.score));
                lines.push(Line {
                    source: name.clone(),
                    number: part.number,
                    byte_start: run.byte_start + part.start as u64,
                    byte_end: run.byte_start + part.end as u64,
                    text: text.trim_end_matches(['\r', '\n']).to_owned(),
                    address,
                    block_score: best.map_or(0.0, |r| r.score),
                    found_by: best.map_or_else(FoundBy::default, |r| r.found_by),
                    blocks,
                });
            }
        }
        lines
    }

    /// The largest score that a line's keys get in any block that holds part of it.
    fn line_scores(&self, reader: &Reader, run: &Run, query: Option<&AddressQuery>) -> Vec<f32> {
        let lines = run.lines();
        let mut best = vec![f32::MIN; lines.len()];
        let (Some(query), Some(finder)) = (query, &self.finder) else { return best };
        let mut from = 0;
        for &(id, bytes, tokens) in &run.blocks {
            let to = from + bytes;
            let text = &run.text[from..to];
            let (Ok(address), Ok(encoded)) = (reader.address(id), self.codec.encode(text)) else {
                from = to;
                continue;
            };
            // Tokens of the block's text alone; where they differ from the stored ones (a block
            // cut inside a line), places are scaled.
            let n = encoded.ends.len().max(1);
            let token_at = |byte: usize| {
                let i = encoded.ends.partition_point(|&e| (e as usize) <= byte);
                (i * tokens / n).min(tokens)
            };
            let groups: Vec<Range<usize>> = lines
                .iter()
                .map(|l| {
                    let (a, b) = (l.start.clamp(from, to) - from, l.end.clamp(from, to) - from);
                    if a < b {
                        token_at(a)..token_at(b).max(token_at(a) + 1).min(tokens)
                    } else {
                        0..0
                    }
                })
                .collect();
            for (b, s) in best.iter_mut().zip(finder.score_groups(&address, query, &groups)) {
                *b = b.max(s);
            }
            from = to;
        }
        best
    }
}

/// Neighbouring blocks of one source, joined.
pub(super) struct Run {
    source: SourceId,
    byte_start: u64,
    line_start: u64,
    pub(super) text: Vec<u8>,
    /// Id, bytes and tokens of each block.
    blocks: Vec<(BlockId, usize, usize)>,
    /// When each was written.
    times: Vec<i64>,
}

/// A line within a run: offsets in its text.
#[derive(Clone, Copy)]
struct Part {
    number: u64,
    start: usize,
    end: usize,
}

impl Run {
    /// Which of the lines lie in a time.
    fn times<'a>(&self, time: Option<&'a Range<i64>>) -> InTime<'a> {
        InTime::new(time, self.times.first().copied().unwrap_or(0))
    }

    /// When the block that holds a byte was written.
    fn written(&self, at: usize) -> i64 {
        let mut end = 0;
        let in_it = |b: &(BlockId, usize, usize)| {
            end += b.1;
            at < end
        };
        let block = self.blocks.iter().position(in_it);
        self.times.get(block.unwrap_or(0)).copied().unwrap_or(0)
    }

    fn lines(&self) -> Vec<Part> {
        let mut all = Vec::new();
        let (mut start, mut number) = (0, self.line_start);
        for line in self.text.split_inclusive(|&b| b == b'\n') {
            let end = start + line.len() - usize::from(line.ends_with(b"\n"));
            all.push(Part { number, start, end });
            start += line.len();
            number += 1;
        }
        all
    }

    /// Indices of the blocks that hold a byte of `start..end`.
    fn overlapping(&self, start: usize, end: usize) -> impl Iterator<Item = usize> + '_ {
        let mut from = 0;
        self.blocks.iter().enumerate().filter_map(move |(i, b)| {
            let (a, z) = (from, from + b.1);
            from = z;
            (a < end && start < z).then_some(i)
        })
    }
}

/// Joins neighbouring blocks of `ids` (in order of time); unreadable text is left out.
pub(super) fn runs(reader: Option<&Reader>, ids: &[BlockId]) -> Vec<Run> {
    let mut all: Vec<Run> = Vec::new();
    let Some(reader) = reader else { return all };
    for &id in ids {
        let (Ok(info), Ok(text)) = (reader.block(id), reader.text(id)) else { continue };
        let block = (id, text.len(), usize::from(info.tokens));
        match all.last_mut() {
            Some(run)
                if run.source == info.source
                    && run.byte_start + run.text.len() as u64 == info.span.byte_start =>
            {
                run.text.extend_from_slice(&text);
                run.blocks.push(block);
                run.times.push(info.time_unix_ms);
            }
            _ => all.push(Run {
                source: info.source,
                byte_start: info.span.byte_start,
                line_start: info.span.line_start,
                text,
                blocks: vec![block],
                times: vec![info.time_unix_ms],
            }),
        }
    }
    all
}
