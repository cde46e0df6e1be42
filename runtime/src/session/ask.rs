//! Asking: `question -> probe -> recall -> place -> step -> sample -> answer`.

use std::time::{Duration, Instant};

use lcedge_memory::{AddressQuery, BlockId, SourceId};

use super::Session;
use super::lines::runs;
use super::recall::{Passages, choose, find};
use crate::cite::{Citation, Line, LineWeights, Support, cite, support};
use crate::confidence::{Signals, confidence, is_telling};
use crate::config::RecallMode;
use crate::error::AskError;
use crate::limits::{ANSWER_TOKENS_DEFAULT, CITATIONS_DEFAULT};
use crate::sample::{Choice, Sampler, Sampling, probability};
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
    /// Time of reading and laying blocks and of choosing among them, without the model's own.
    laying: Duration,
}

/// What the model said.
struct Said {
    placed: Placed,
    text: String,
    telling_logprob: f32,
    absent: f32,
    tokens: usize,
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
    fn look_again(&mut self) {
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
            let recent = self.window.recent();
            self.drop_oldest(recent, false)?;
            self.recent_lost |= recent > 0;
            self.coarse.clear();
            self.recalls_exactly = self.config.coarse_blocks == 0;
            self.lay_memory(&[], 0)?;
            return Ok(());
        }
        let need = asked.turn.ids.len() + self.answer_max(asked.question);
        let over = need.saturating_sub(self.window.room());
        Ok(self.drop_oldest(over.min(self.window.recent()), true)?)
    }

    fn place(&mut self, asked: &Asked<'_>, probed: Probed) -> Result<Placed, AskError> {
        let question = asked.question;
        let mut recall = question.recall.unwrap_or(self.config.recall);
        let search = Instant::now();
        let mut passages = self.search(question, probed.query.as_ref())?;
        let searched = search.elapsed();
        if question.recall.is_none() && self.lacks_kv(&passages.blocks) {
            // Where keys and values were given up, the text is encoded again, and the answer says
            // so.
            recall = RecallMode::Text;
        }
        let mut placed = Placed {
            query: probed.query,
            recall,
            restored_tokens: 0,
            text_tokens: 0,
            laying: Duration::ZERO,
            passages: Passages::default(),
        };
        match recall {
            RecallMode::Kv => {
                self.choose_coarse(&passages);
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
            }
            RecallMode::Text => {
                let blocks = self.best_blocks(question, &passages, placed.query.as_ref());
                placed.text_tokens = self.read_again(&blocks)?;
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
        let best = support(&lines, &question.text, "", &LineWeights::default());
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
    fn read_again(&mut self, blocks: &[BlockId]) -> Result<usize, AskError> {
        let mut n = 0;
        for run in runs(self.reader.as_ref(), blocks) {
            let ids = self.codec.encode(&run.text)?.ids;
            let room = self.plan.ask_recall_tokens.saturating_sub(n);
            let ids = &ids[..ids.len().min(room)];
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
        let (mut stepped, mut absent) = (0, 0.0);
        while ids.len() < self.answer_max(question) {
            let last = [u32::try_from(input.len() - 1).unwrap_or(0)];
            let wanted = Wanted { logit_rows: &last, ..Wanted::default() };
            self.window.step(input, wanted, &mut self.out)?;
            in_window += input.len();
            stepped += input.len();
            if ids.is_empty() {
                let id = self.codec.absent();
                absent = id.map_or(0.0, |id| probability(&self.out.logits, id));
            }
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
        Ok(Said { placed, text, telling_logprob, absent, tokens: ids.len() })
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
        let confidence =
            if said.text.is_empty() { 0.0 } else { confidence(&signals, &self.config.confidence) };
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
}

/// Whether the model itself says that it does not know.
fn is_refusal(answer: &str) -> bool {
    let a = answer.to_lowercase();
    a.starts_with("not in memory") || a.starts_with("i don't know") || a.starts_with("unknown")
}

fn signals(said: &Said, lines: &[Line], supports: &[Support], question: &str) -> Signals {
    let best = supports.first().copied().unwrap_or_default();
    let best_line = supports.first().and_then(|s| lines.get(s.line));
    let held: Vec<Vec<String>> = lines.iter().map(|l| crate::cite::words(&l.text)).collect();
    let asked = crate::cite::weigh(&crate::cite::words(question), &held);
    let all: Vec<String> = held.concat();
    Signals {
        telling_logprob: said.telling_logprob,
        answer_in_line: best.answer,
        question_in_line: best.question,
        question_in_passages: crate::cite::coverage(&asked, &all),
        names_in_line: best_line
            .map_or(0.0, |l| crate::cite::names_held(&crate::cite::names(question), &l.text)),
        absent: said.absent,
    }
}
