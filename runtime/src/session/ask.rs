//! Asking: `question -> probe -> recall -> place -> step -> sample -> answer`.

use std::ops::Range;
use std::time::{Duration, Instant};

use lcedge_memory::{AddressQuery, BlockId, Filter, SourceId};

use super::Session;
use super::lines::runs;
use super::recall::{Passages, choose, find};
use super::tally::Counted;
use crate::cite::{Citation, LineWeights, support};
use crate::confidence::Signals;
use crate::config::RecallMode;
use crate::conversation::{self, newest_first};
use crate::error::{AbsorbError, AskError};
use crate::gist::Gist;
use crate::limits::{ANSWER_TOKENS_DEFAULT, CITATIONS_DEFAULT};
use crate::sample::Sampling;
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
    /// Only lines of this time, milliseconds since 1970 UTC; `None` for all.
    pub time: Option<Range<i64>>,
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
            time: None,
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
    /// Whether memory holds the answer: it is sure enough, has a form that the question can ask
    /// for, and says more than the question.
    pub found: bool,
    /// How sure that is, 0 to 1.
    pub confidence: f32,
    /// What the confidence is made of.
    pub signals: Signals,
    /// Passages, the best first.
    pub citations: Vec<Citation>,
    /// The time that was looked in, where the question or its asker named one.
    pub time: Option<Range<i64>>,
    /// What was counted: the answer was not read by the model then.
    pub counted: Option<Counted>,
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
pub(super) struct Asked<'a> {
    pub(super) question: &'a Question,
    pub(super) turn: Turn,
    pub(super) start: Instant,
}

/// The queries of a question's own tokens, run on the window alone.
struct Probed {
    query: Option<AddressQuery>,
}

/// What was found and put into attention.
pub(super) struct Placed {
    pub(super) passages: Passages,
    pub(super) query: Option<AddressQuery>,
    pub(super) recall: RecallMode,
    pub(super) restored_tokens: usize,
    pub(super) text_tokens: usize,
    /// The blocks in attention.
    pub(super) laid: Vec<BlockId>,
    /// Time of reading and laying blocks and of choosing among them, without the model's own.
    laying: Duration,
}

impl Session {
    /// Answers a question from memory. What has been fed is absorbed first; the recent region is
    /// given up for recalled blocks where a store can restore it.
    ///
    /// # Errors
    /// [`AskError`]. The session goes on, unless the engine failed and left the window in doubt.
    pub fn ask(&mut self, question: &Question) -> Result<Answer, AskError> {
        let answered = self.answer_in_steps(question);
        if let Err(AskError::Absorb(e)) = &answered {
            self.latch_on(e);
        }
        answered
    }

    /// What a question finds, without laying or saying anything.
    ///
    /// # Errors
    /// As [`Session::ask`].
    pub fn find(&mut self, question: &Question) -> Result<Passages, AskError> {
        let asked = self.read_question(question)?;
        let probed = self.probe(&asked)?;
        self.search(question, probed.query.as_ref())
    }

    fn answer_in_steps(&mut self, question: &Question) -> Result<Answer, AskError> {
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
        self.look_again();
        Ok(Asked { question, turn, start })
    }

    /// Takes in what another process committed to a store that is only read.
    pub(super) fn look_again(&mut self) {
        let Some(reader) = self.reader.as_ref().filter(|_| self.read_only) else { return };
        if let Err(e) = reader.refresh() {
            self.warn(format!("what was stored last is not seen: {e}"));
        }
    }

    /// Makes room and runs the question once, for its queries.
    fn probe(&mut self, asked: &Asked<'_>) -> Result<Probed, AskError> {
        self.make_room(asked)?;
        if self.reader.as_ref().is_none_or(|r| r.blocks() == 0) {
            return Ok(Probed { query: None });
        }
        Ok(Probed { query: self.queries_of(&asked.turn)? })
    }

    /// Runs a question's turn over what is in attention and takes it out again, for the queries of
    /// the question's own tokens; `None` for a model without addresses.
    fn queries_of(&mut self, turn: &Turn) -> Result<Option<AddressQuery>, AskError> {
        let Some(finder) = self.finder.clone() else { return Ok(None) };
        let memory = finder.memory_row() > 0;
        let wanted = Wanted { queries: !memory, memory, ..Wanted::default() };
        self.window.step(&turn.ids, wanted, &mut self.out)?;
        self.window.pop(turn.ids.len())?;
        self.counters.tokens_read_by_model += turn.ids.len() as u64;
        let rows: Vec<usize> = turn.question.clone().collect();
        Ok(finder.query(&self.out, turn.ids.len(), &rows))
    }

    /// With a store, all recent tokens go (they are stored); without, as many stay as fit.
    fn make_room(&mut self, asked: &Asked<'_>) -> Result<(), AskError> {
        if self.reader.is_some() {
            return Ok(self.give_up_recent()?);
        }
        let answer = asked.question.answer_tokens_max.clamp(1, self.plan.answer_tokens_max);
        let need = asked.turn.ids.len() + answer;
        let over = need.saturating_sub(self.window.room());
        Ok(self.drop_oldest(over.min(self.window.recent()), true)?)
    }

    /// Empties recent and memory region; the store restores them before more is absorbed.
    pub(super) fn give_up_recent(&mut self) -> Result<(), AbsorbError> {
        self.remember_window();
        let recent = self.window.recent();
        self.drop_oldest(recent, false)?;
        self.recent_lost |= recent > 0;
        self.coarse.clear();
        self.gist.iter_mut().for_each(Gist::forget_question);
        self.recalls_exactly = self.config.coarse_blocks == 0;
        self.lay_memory(&[], 0)
    }

    fn place(&mut self, asked: &Asked<'_>, probed: Probed) -> Result<Placed, AskError> {
        let question = asked.question;
        let mut recall = question.recall.unwrap_or(self.config.recall);
        let search = Instant::now();
        let mut passages = self.search(question, probed.query.as_ref())?;
        let searched = search.elapsed();
        if question.recall.is_none()
            && !passages.blocks.is_empty()
            && (self.lacks_kv(&passages.blocks) || self.cost.reading_loses())
        {
            // Where keys and values were given up, or take longer to read than to compute, the text
            // is encoded again, and the answer says so.
            recall = RecallMode::Text;
        }
        let mut placed = Placed {
            query: probed.query,
            recall,
            restored_tokens: 0,
            text_tokens: 0,
            laid: Vec::new(),
            laying: Duration::ZERO,
            passages: Passages::default(),
        };
        match recall {
            RecallMode::Kv => {
                self.choose_coarse(&passages);
                self.fold_for_question(&passages, placed.query.as_ref())?;
                let start = Instant::now();
                // A trained address chooses the line before anything is laid.
                let chosen = match placed.query.as_ref().filter(|_| self.tail.row() > 0) {
                    Some(query) => self.best_blocks(question, &passages, Some(query)),
                    None => passages.blocks.clone(),
                };
                let tokens = self.tokens_of(&chosen);
                self.lay_memory(&chosen, tokens)?;
                placed.laying += start.elapsed();
                placed.restored_tokens = self.recalled.iter().map(|r| r.1).sum();
                if question.blocks.is_none() && chosen.len() == passages.blocks.len() {
                    passages.blocks = self.recalled.iter().map(|r| r.0).collect();
                    self.focus(asked, &mut placed, &passages)?;
                }
                placed.laid = self.recalled.iter().map(|r| r.0).collect();
            }
            RecallMode::Text => {
                let blocks = self.best_blocks(question, &passages, placed.query.as_ref());
                placed.text_tokens = self.read_again(&blocks)?;
                placed.laid = blocks;
            }
        }
        self.counters.restored_tokens += placed.restored_tokens as u64;
        if self.reader.is_some() {
            self.note_recall(searched, placed.laying);
        }
        placed.passages = passages;
        Ok(placed)
    }

    fn tokens_of(&self, blocks: &[BlockId]) -> usize {
        let Some(reader) = &self.reader else { return 0 };
        blocks.iter().filter_map(|&id| reader.block(id).ok()).map(|b| usize::from(b.tokens)).sum()
    }

    /// Whether the keys and values of some of these blocks were given up.
    fn lacks_kv(&self, blocks: &[BlockId]) -> bool {
        let Some(reader) = &self.reader else { return false };
        blocks.iter().any(|&id| reader.block(id).is_ok_and(|b| b.kv.is_none()))
    }

    /// From coarse to fine: with all passages in attention the question is run again, and only
    /// the blocks of the lines that its queries and words support best stay for the answer. An
    /// small model reads one passage much better than eight that look alike.
    fn focus(
        &mut self,
        asked: &Asked<'_>,
        placed: &mut Placed,
        passages: &Passages,
    ) -> Result<(), AskError> {
        if self.config.focus_lines == 0 || passages.blocks.len() <= self.config.focus_lines {
            return Ok(());
        }
        let Some(query) = self.queries_of(&asked.turn)? else { return Ok(()) };
        placed.query = Some(query);
        let start = Instant::now();
        let blocks = self.best_blocks(asked.question, passages, placed.query.as_ref());
        let kept: Vec<_> =
            self.recalled.iter().filter(|r| blocks.contains(&r.0)).copied().collect();
        let ids: Vec<BlockId> = kept.iter().map(|r| r.0).collect();
        self.lay_memory(&ids, kept.iter().map(|r| r.1).sum())?;
        placed.laying += start.elapsed();
        Ok(())
    }

    /// The blocks of the lines that support a question best, in order of time; all of them when
    /// the session does not focus or the question names its blocks.
    fn best_blocks(
        &self,
        question: &Question,
        passages: &Passages,
        query: Option<&AddressQuery>,
    ) -> Vec<BlockId> {
        if self.config.focus_lines == 0 || question.blocks.is_some() {
            return passages.blocks.clone();
        }
        let lines = self.passage_lines(passages, query);
        let mut best = support(&lines, &question.text, "", &LineWeights::default());
        newest_first(&lines, &mut best);
        let best = best.iter().take(self.config.focus_lines);
        let mut blocks: Vec<BlockId> =
            best.flat_map(|s| lines[s.line].blocks.iter().copied()).collect();
        blocks.sort_unstable();
        blocks.dedup();
        blocks
    }

    fn search(
        &mut self,
        question: &Question,
        query: Option<&AddressQuery>,
    ) -> Result<Passages, AskError> {
        let Some(reader) = &self.reader else { return Ok(Passages::default()) };
        let filter = Filter {
            sources: question.sources.as_deref(),
            time_unix_ms: question.time.clone(),
            reaching_in: true,
            ..Filter::default()
        };
        let mut found = find(reader, &self.config.fusion, query, &question.text, &filter)?;
        found.time.clone_from(&question.time);
        found.replies = conversation::asks_for_replies(&question.text);
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
    fn read_again(&mut self, blocks: &[BlockId]) -> Result<usize, AskError> {
        let mut n = 0;
        for run in runs(self.reader.as_ref(), blocks) {
            let ids = self.codec.encode(&run.text)?.ids;
            let room = self.plan.ask_recall_tokens.saturating_sub(n);
            let ids = &ids[..ids.len().min(room)];
            for part in ids.chunks(self.plan.chunk_tokens) {
                let start = Instant::now();
                self.window.step(part, Wanted::default(), &mut self.out)?;
                self.cost.note_computed(part.len(), start.elapsed());
                n += part.len();
            }
        }
        self.counters.tokens_read_by_model += n as u64;
        self.counters.prefilled_tokens += n as u64;
        Ok(n)
    }
}
