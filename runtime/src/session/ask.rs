//! Asking: `question -> probe -> recall -> place -> step -> sample -> answer`.

use std::time::Instant;

use lcedge_compress::address::score_groups;
use lcedge_memory::{AddressQuery, BlockId, Reader, SourceId};

use super::Session;
use super::recall::{Passages, choose, find};
use crate::cite::{Citation, Line, LineWeights, Support, cite, support};
use crate::confidence::{Signals, confidence, is_telling};
use crate::config::RecallMode;
use crate::error::AskError;
use crate::limits::{ANSWER_TOKENS_DEFAULT, CITATIONS_DEFAULT};
use crate::rank::FoundBy;
use crate::sample::{Choice, Sampler, Sampling};
use crate::text::Turn;
use crate::window::Wanted;

/// A question and how it is to be answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What is asked.
    pub text: String,
    /// Longest answer in tokens.
    pub answer_tokens_max: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most citations.
    pub citations_max: usize,
    /// Only these sources; `None` for all.
    pub sources: Option<Vec<SourceId>>,
    /// What is recalled, where it differs from the session's mode.
    pub recall: Option<RecallMode>,
    /// Recalls these blocks, as far as the plan has room, instead of those that are found
    /// (evaluations: the right passage).
    pub blocks: Option<Vec<BlockId>>,
}

impl Question {
    /// A question with the defaults: greedy, short.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            answer_tokens_max: ANSWER_TOKENS_DEFAULT,
            sampling: Sampling::default(),
            citations_max: CITATIONS_DEFAULT,
            sources: None,
            recall: None,
            blocks: None,
        }
    }
}

/// An answer, where it stands, and how it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What was asked.
    pub question: String,
    /// The answer; empty when memory does not hold it.
    pub text: String,
    /// What the model said, also when it was not believed.
    pub said: String,
    /// Whether memory holds the answer.
    pub found: bool,
    /// How sure that is, 0 to 1.
    pub confidence: f32,
    /// What the confidence is made of.
    pub signals: Signals,
    /// Passages, the best first.
    pub citations: Vec<Citation>,
    /// What was found.
    pub passages: Passages,
    /// What the question looked with, run over all passages.
    pub query: Option<AddressQuery>,
    /// Blocks laid into attention.
    pub recalled_blocks: usize,
    /// How they were recalled.
    pub recall: RecallMode,
    /// Tokens computed before the answer: the question's, and text encoded again.
    pub prefilled_tokens: usize,
    /// Tokens of K,V placed from the store.
    pub restored_tokens: usize,
    /// Tokens of the answer.
    pub answer_tokens: usize,
    /// Time of it all.
    pub ms: u64,
}

/// A question as tokens.
struct Asked<'a> {
    question: &'a Question,
    turn: Turn,
    start: Instant,
}

/// The queries of a question's own tokens, run on the window alone.
struct Probed {
    query: Option<AddressQuery>,
}

/// What was found and put into attention.
struct Placed {
    passages: Passages,
    query: Option<AddressQuery>,
    recall: RecallMode,
    restored_tokens: usize,
    text_tokens: usize,
}

/// What the model said.
struct Said {
    placed: Placed,
    text: String,
    telling_logprob: f32,
    tokens: usize,
}

impl Session {
    /// Answers a question from memory. What has been fed is absorbed first; the recent region is
    /// given up for recalled blocks where a store can restore it.
    ///
    /// # Errors
    /// [`AskError`]; the session goes on.
    pub fn ask(&mut self, question: &Question) -> Result<Answer, AskError> {
        let asked = self.read_question(question)?;
        let probed = self.probe(&asked)?;
        let placed = self.place(&asked, probed)?;
        let said = self.say(&asked, placed)?;
        self.answer(asked, said)
    }

    fn read_question<'a>(&mut self, question: &'a Question) -> Result<Asked<'a>, AskError> {
        let start = Instant::now();
        self.check()?;
        if question.text.trim().is_empty() {
            return Err(AskError::Empty);
        }
        let turn = self.codec.turn(question.text.trim())?;
        let max = self.plan.question_tokens_max;
        if turn.ids.len() > max {
            return Err(AskError::Long { tokens: turn.ids.len(), max });
        }
        self.drain(false)?;
        self.flush()?;
        Ok(Asked { question, turn, start })
    }

    /// Makes room and runs the question once, for its queries.
    fn probe(&mut self, asked: &Asked<'_>) -> Result<Probed, AskError> {
        self.make_room(asked)?;
        let Some(addresser) = self.addresser.clone() else { return Ok(Probed { query: None }) };
        if self.reader.as_ref().is_none_or(|r| r.blocks() == 0) {
            return Ok(Probed { query: None });
        }
        let turn = &asked.turn;
        let wanted = Wanted { queries: true, ..Wanted::default() };
        self.window.step(&turn.ids, wanted, &mut self.out)?;
        self.window.pop(turn.ids.len())?;
        self.counters.tokens_read_by_model += turn.ids.len() as u64;
        let rows: Vec<usize> = turn.question.clone().collect();
        let query = addresser.query(&self.out.queries, turn.ids.len(), &rows);
        Ok(Probed { query: Some(query) })
    }

    /// With a store, all recent tokens go (they are stored); without, as many stay as fit.
    fn make_room(&mut self, asked: &Asked<'_>) -> Result<(), AskError> {
        if self.reader.is_some() {
            let recent = self.window.recent();
            self.drop_oldest(recent)?;
            self.recent_lost |= recent > 0;
            self.lay_memory(&[], 0)?;
            return Ok(());
        }
        let need = asked.turn.ids.len() + self.answer_max(asked.question);
        let over = need.saturating_sub(self.window.room());
        Ok(self.drop_oldest(over.min(self.window.recent()))?)
    }

    fn place(&mut self, asked: &Asked<'_>, probed: Probed) -> Result<Placed, AskError> {
        let question = asked.question;
        let recall = question.recall.unwrap_or(self.config.recall);
        let search = Instant::now();
        let mut passages = self.search(question, probed.query.as_ref())?;
        let searched = search.elapsed();
        let place = Instant::now();
        let mut placed = Placed {
            query: probed.query,
            recall,
            restored_tokens: 0,
            text_tokens: 0,
            passages: Passages::default(),
        };
        match recall {
            RecallMode::Kv => {
                let blocks = std::mem::take(&mut passages.blocks);
                self.lay_memory(&blocks, passages.tokens)?;
                passages.blocks = self.recalled.iter().map(|r| r.0).collect();
                placed.restored_tokens = self.recalled.iter().map(|r| r.1).sum();
                if question.blocks.is_none() {
                    self.focus(asked, &mut placed, &passages)?;
                }
            }
            RecallMode::Text => placed.text_tokens = self.read_again(&passages)?,
        }
        self.counters.restored_tokens += placed.restored_tokens as u64;
        if self.reader.is_some() {
            self.note_recall(searched, place.elapsed());
        }
        placed.passages = passages;
        Ok(placed)
    }

    /// From coarse to fine: with all passages in attention the question is run again, and only
    /// the blocks of the lines that its queries and words support best stay for the answer. An
    /// untrained small model reads one passage twice as well as eight.
    fn focus(
        &mut self,
        asked: &Asked<'_>,
        placed: &mut Placed,
        passages: &Passages,
    ) -> Result<(), AskError> {
        let (lines_max, Some(addresser)) = (self.config.focus_lines, self.addresser.clone()) else {
            return Ok(());
        };
        if lines_max == 0 || passages.blocks.len() <= lines_max {
            return Ok(());
        }
        let turn = &asked.turn;
        let wanted = Wanted { queries: true, ..Wanted::default() };
        self.window.step(&turn.ids, wanted, &mut self.out)?;
        self.window.pop(turn.ids.len())?;
        self.counters.tokens_read_by_model += turn.ids.len() as u64;
        let rows: Vec<usize> = turn.question.clone().collect();
        placed.query = Some(addresser.query(&self.out.queries, turn.ids.len(), &rows));
        let lines = self.passage_lines(passages, placed.query.as_ref());
        let weights = LineWeights::default();
        let best = support(&lines, &asked.question.text, "", &weights);
        let mut blocks: Vec<BlockId> =
            best.iter().take(lines_max).flat_map(|s| lines[s.line].blocks.clone()).collect();
        blocks.sort_unstable();
        blocks.dedup();
        let sizes: Vec<_> =
            self.recalled.iter().filter(|r| blocks.contains(&r.0)).copied().collect();
        let ids: Vec<BlockId> = sizes.iter().map(|r| r.0).collect();
        self.lay_memory(&ids, sizes.iter().map(|r| r.1).sum())?;
        Ok(())
    }

    fn search(
        &mut self,
        question: &Question,
        query: Option<&AddressQuery>,
    ) -> Result<Passages, AskError> {
        let Some(reader) = &self.reader else { return Ok(Passages::default()) };
        let sources = question.sources.as_deref();
        let mut found = find(reader, &self.config.fusion, query, &question.text, sources)?;
        if let Some(blocks) = &question.blocks {
            for &id in blocks {
                let tokens = reader.block(id).map_or(0, |i| usize::from(i.tokens));
                if found.tokens + tokens <= self.plan.ask_recall_tokens {
                    found.tokens += tokens;
                    found.blocks.push(id);
                }
            }
        } else {
            choose(reader, &mut found, self.plan.ask_recall_tokens);
        }
        Ok(found)
    }

    /// Encodes the passages' text again, as the recall that needs no stored K,V.
    fn read_again(&mut self, passages: &Passages) -> Result<usize, AskError> {
        let mut n = 0;
        for run in runs(self.reader.as_ref(), &passages.blocks) {
            let ids = self.codec.encode(&run.text)?.ids;
            let ids = &ids
                [..ids.len().min(self.plan.ask_recall_tokens - n.min(self.plan.ask_recall_tokens))];
            for part in ids.chunks(self.plan.chunk_tokens) {
                self.window.step(part, Wanted::default(), &mut self.out)?;
                n += part.len();
            }
        }
        self.counters.tokens_read_by_model += n as u64;
        self.counters.prefilled_tokens += n as u64;
        Ok(n)
    }

    /// Runs the question for real and samples the answer; takes both out of the window again.
    fn say(&mut self, asked: &Asked<'_>, placed: Placed) -> Result<Said, AskError> {
        let question = asked.question;
        let mut sampler = Sampler::new(question.sampling);
        let mut ids: Vec<u32> = Vec::new();
        let mut chosen: Vec<Choice> = Vec::new();
        let mut input: &[u32] = &asked.turn.ids;
        let mut next = [0u32];
        let mut in_window = placed.text_tokens;
        let mut stepped = 0;
        while ids.len() < self.answer_max(question) {
            let last = [u32::try_from(input.len() - 1).unwrap_or(0)];
            let wanted = Wanted { logit_rows: &last, ..Wanted::default() };
            self.window.step(input, wanted, &mut self.out)?;
            in_window += input.len();
            stepped += input.len();
            let Some(choice) = sampler.choose(&self.out.logits) else { break };
            if self.codec.ends_answer(choice.id) {
                break;
            }
            ids.push(choice.id);
            chosen.push(choice);
            next[0] = choice.id;
            input = &next;
        }
        self.window.pop(in_window)?;
        self.counters.tokens_read_by_model += stepped as u64;
        let text = self.codec.decode(&ids).trim().to_owned();
        let telling_logprob = self.telling_logprob(&chosen, &question.text);
        Ok(Said { placed, text, telling_logprob, tokens: ids.len() })
    }

    fn answer_max(&self, question: &Question) -> usize {
        question.answer_tokens_max.clamp(1, self.plan.answer_tokens_max)
    }

    /// Mean log-probability of the answer's tokens that tell something, the question's own words
    /// left out.
    fn telling_logprob(&self, chosen: &[Choice], question: &str) -> f32 {
        let mean = |keep: &dyn Fn(&str) -> bool| {
            let kept = chosen.iter().filter(|c| keep(&self.codec.decode(&[c.id])));
            let (n, sum) =
                kept.fold((0, 0.0), |(n, s), c| (n + 1, s + c.probability.max(1e-6).ln()));
            (n > 0).then(|| sum / n as f32)
        };
        let new = |t: &str| is_telling(t) && !question.contains(t.trim());
        mean(&new).or_else(|| mean(&|_| true)).unwrap_or(-6.0)
    }

    fn answer(&mut self, asked: Asked<'_>, said: Said) -> Result<Answer, AskError> {
        let question = asked.question;
        let lines = self.passage_lines(&said.placed.passages, said.placed.query.as_ref());
        let supports = support(&lines, &question.text, &said.text, &LineWeights::default());
        let signals = signals(&said, &lines, &supports, &question.text);
        let confidence = if said.text.is_empty() { 0.0 } else { confidence(&signals) };
        let found = confidence >= self.config.confidence_min && !is_refusal(&said.text);
        let citations = cite(&lines, &supports, question.citations_max);
        let Said { placed, text, tokens, .. } = said;
        Ok(Answer {
            question: question.text.clone(),
            text: if found { text.clone() } else { String::new() },
            said: text,
            found,
            confidence,
            signals,
            citations,
            recalled_blocks: placed.passages.blocks.len(),
            recall: placed.recall,
            prefilled_tokens: asked.turn.ids.len() + placed.text_tokens,
            restored_tokens: placed.restored_tokens,
            answer_tokens: tokens,
            query: placed.query,
            passages: placed.passages,
            ms: u64::try_from(asked.start.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Lines and their scores, for evaluations.
    #[doc(hidden)]
    #[must_use]
    pub fn lines_of(&self, answer: &Answer, query: Option<&AddressQuery>) -> Vec<Line> {
        self.passage_lines(&answer.passages, query)
    }

    /// The lines of what was recalled, with their scores by address.
    fn passage_lines(&self, passages: &Passages, query: Option<&AddressQuery>) -> Vec<Line> {
        let Some(reader) = &self.reader else { return Vec::new() };
        let mut lines = Vec::new();
        for run in runs(Some(reader), &passages.blocks) {
            let name = reader.source(run.source).map(|s| s.name).unwrap_or_default();
            let scores = self.line_scores(reader, &run, query);
            for (part, address) in run.lines().into_iter().zip(scores) {
                let blocks: Vec<BlockId> =
                    run.overlapping(part.start, part.end).map(|i| run.blocks[i].0).collect();
                let ranked = passages.ranked.iter().filter(|r| blocks.contains(&r.id));
                let best = ranked.max_by(|a, b| a.score.total_cmp(&b.score));
                let text = String::from_utf8_lossy(&run.text[part.start..part.end]);
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
        let Some(query) = query else { return best };
        let dim = self.window.engine().card().head_dim;
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
            let groups: Vec<std::ops::Range<usize>> = lines
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
            for (b, s) in best.iter_mut().zip(score_groups(&address, query, dim, &groups)) {
                *b = b.max(s);
            }
            from = to;
        }
        best
    }
}

/// Whether the model itself says that it does not know.
fn is_refusal(answer: &str) -> bool {
    let a = answer.to_lowercase();
    a.starts_with("not in memory") || a.starts_with("i don't know") || a.starts_with("unknown")
}

fn signals(said: &Said, lines: &[Line], supports: &[Support], question: &str) -> Signals {
    let best = supports.first().copied().unwrap_or_default();
    let held: Vec<Vec<String>> = lines.iter().map(|l| crate::cite::words(&l.text)).collect();
    let asked = crate::cite::weigh(&crate::cite::words(question), &held);
    let all: Vec<String> = held.concat();
    Signals {
        telling_logprob: said.telling_logprob,
        answer_in_line: best.answer,
        question_in_line: best.question,
        question_in_passages: crate::cite::coverage(&asked, &all),
    }
}

/// Neighbouring blocks of one source, joined.
struct Run {
    source: SourceId,
    byte_start: u64,
    line_start: u64,
    text: Vec<u8>,
    /// Id, bytes and tokens of each block.
    blocks: Vec<(BlockId, usize, usize)>,
}

/// A line within a run: offsets in its text.
#[derive(Clone, Copy)]
struct Part {
    number: u64,
    start: usize,
    end: usize,
}

impl Run {
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
fn runs(reader: Option<&Reader>, ids: &[BlockId]) -> Vec<Run> {
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
            }
            _ => all.push(Run {
                source: info.source,
                byte_start: info.span.byte_start,
                line_start: info.span.line_start,
                text,
                blocks: vec![block],
            }),
        }
    }
    all
}
