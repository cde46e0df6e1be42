//! Saying: the question for real, the likeliest answers, and how sure the best one is.

use lcedge_memory::BlockId;

use super::Session;
use super::ask::{Answer, Asked, Placed, Question};
use crate::answer_kind::{clashes, is_by_form};
use crate::cite::{Line, LineWeights, Support, cite, coverage, named, names, names_held, support};
use crate::cite::{stands_in, weigh, words};
use crate::confidence::{Signals, confidence, is_telling};
use crate::conversation::newest_first;
use crate::error::AskError;
use crate::limits::{FIRST_TOKEN_MIN, FIRST_TOKEN_SURE, FIRST_TOKENS};
use crate::sample::{Choice, Sampler, probability};
use crate::window::Wanted;

/// What the model said.
pub(super) struct Said {
    placed: Placed,
    /// The lines of what was found.
    lines: Vec<Line>,
    text: String,
    telling_logprob: f32,
    absent: f32,
    tokens: usize,
}

/// One answer, token by token.
#[derive(Default)]
struct Candidate {
    ids: Vec<u32>,
    chosen: Vec<Choice>,
    /// Log-probability of it all, its end included, nats.
    logprob: f32,
}

impl Session {
    /// Runs the question for real and decodes the answer; takes both out of the window again.
    ///
    /// A small reader's mistakes are mostly first tokens. Where the likeliest answer is not copied
    /// from what was recalled, or began unsurely, the answers that begin with the next likely
    /// tokens are decoded as well, and the likeliest one that stands in the passages is taken.
    pub(super) fn say(&mut self, asked: &Asked<'_>, placed: Placed) -> Result<Said, AskError> {
        let question = asked.question;
        let lines = self.passage_lines(&placed.passages, placed.query.as_ref());
        let last = [u32::try_from(asked.turn.ids.len() - 1).unwrap_or(0)];
        let wanted = Wanted { logit_rows: &last, ..Wanted::default() };
        self.window.step(&asked.turn.ids, wanted, &mut self.out)?;
        self.counters.tokens_read_by_model += asked.turn.ids.len() as u64;
        let id = self.codec.absent();
        let absent = id.map_or(0.0, |id| probability(&self.out.logits, id));
        let mut sampler = Sampler::new(question.sampling);
        let others = self.other_firsts(question);
        let first = sampler.choose(&self.out.logits);
        let mut best = self.decode(question, first, &mut sampler)?;
        let sure =
            |c: &Candidate| c.chosen.first().is_some_and(|c| c.probability >= FIRST_TOKEN_SURE);
        let passage = laid_text(&lines, &placed.laid);
        let copied = |s: &Self, c: &Candidate| stands_in(s.codec.decode(&c.ids).trim(), &passage);
        let mut best_copied = copied(self, &best);
        let refused = best.ids.first().copied() == id && id.is_some();
        let settled = refused || passage.is_empty() || best_copied && sure(&best);
        if !settled {
            let greedy = best.ids.first().copied();
            for other in others.into_iter().filter(|o| greedy != Some(o.id)) {
                let next = self.decode(question, Some(other), &mut sampler)?;
                let better = next.logprob > best.logprob || !best_copied;
                if !next.ids.is_empty() && better && copied(self, &next) {
                    (best, best_copied) = (next, true);
                }
            }
        }
        self.window.pop(placed.text_tokens + asked.turn.ids.len())?;
        let text = self.codec.decode(&best.ids).trim().to_owned();
        let telling_logprob = self.telling_logprob(&best.chosen, &question.text);
        Ok(Said { placed, lines, text, telling_logprob, absent, tokens: best.ids.len() })
    }

    /// The likeliest first tokens of an answer; none where answers are drawn at random.
    fn other_firsts(&self, question: &Question) -> Vec<Choice> {
        if question.sampling.temperature > 0.0 {
            return Vec::new();
        }
        let absent = self.codec.absent();
        let mut firsts = crate::sample::likeliest(&self.out.logits, FIRST_TOKENS);
        firsts.retain(|c| {
            c.probability >= FIRST_TOKEN_MIN
                && Some(c.id) != absent
                && !self.codec.ends_answer(c.id)
        });
        firsts
    }

    /// Decodes the answer that begins with a token, behind the question; takes its tokens out of
    /// the window again.
    fn decode(
        &mut self,
        question: &Question,
        first: Option<Choice>,
        sampler: &mut Sampler,
    ) -> Result<Candidate, AskError> {
        let mut said = Candidate::default();
        let max = question.answer_tokens_max.clamp(1, self.plan.answer_tokens_max);
        let mut next = first;
        let mut stepped = 0;
        while let Some(choice) = next {
            said.logprob += choice.probability.max(1e-9).ln();
            if self.codec.ends_answer(choice.id) {
                break;
            }
            said.ids.push(choice.id);
            said.chosen.push(choice);
            if said.ids.len() >= max {
                break;
            }
            let wanted = Wanted { logit_rows: &[0], ..Wanted::default() };
            self.window.step(&[choice.id], wanted, &mut self.out)?;
            stepped += 1;
            next = sampler.choose(&self.out.logits);
        }
        self.window.pop(stepped)?;
        self.counters.tokens_read_by_model += stepped as u64;
        Ok(said)
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

    pub(super) fn answer(&mut self, asked: Asked<'_>, said: Said) -> Result<Answer, AskError> {
        let question = asked.question;
        let weights = LineWeights::default();
        let mut supports = support(&said.lines, &question.text, &said.text, &weights);
        newest_first(&said.lines, &mut supports);
        let signals = signals(&said, &supports, &question.text);
        let confidence =
            if said.text.is_empty() { 0.0 } else { confidence(&signals, &self.config.confidence) };
        let found = confidence >= self.config.confidence_min
            && !clashes(&question.text, &said.text)
            && !is_refusal(&said.text)
            && !only_repeats(&said.text, &question.text);
        let citations = cite(&said.lines, &supports, question.citations_max);
        let Said { placed, text, tokens, .. } = said;
        Ok(Answer {
            question: question.text.clone(),
            text: if found { text.clone() } else { String::new() },
            said: text,
            found,
            confidence,
            signals,
            citations,
            time: question.time.clone(),
            counted: None,
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

/// The text of the lines that blocks in attention hold part of.
fn laid_text(lines: &[Line], laid: &[BlockId]) -> String {
    let held = |l: &&Line| l.blocks.iter().any(|b| laid.contains(b));
    lines.iter().filter(held).map(|l| l.text.as_str()).collect::<Vec<_>>().join("\n")
}

/// Whether the model itself says that it does not know.
fn is_refusal(answer: &str) -> bool {
    let a = answer.to_lowercase();
    a.starts_with("not in memory") || a.starts_with("i don't know") || a == "unknown"
}

/// Whether an answer is made of the question's own words alone, where the question leaves nothing
/// to choose or to confirm.
fn only_repeats(answer: &str, question: &str) -> bool {
    const CONFIRMS: [&str; 16] = [
        "is", "are", "was", "were", "did", "does", "do", "has", "have", "had", "can", "could",
        "will", "would", "should", "may",
    ];
    let lower = question.to_lowercase();
    let first = lower.split_whitespace().next().unwrap_or_default();
    let chooses = lower.contains(" or ") || lower.contains(" of ") || lower.contains(',');
    let (asked, said) = (words(question), words(answer));
    !chooses
        && !CONFIRMS.contains(&first)
        && !said.is_empty()
        && said.iter().all(|w| asked.contains(w))
}

fn signals(said: &Said, supports: &[Support], question: &str) -> Signals {
    let best = supports.first().copied().unwrap_or_default();
    let best_line = supports.first().and_then(|s| said.lines.get(s.line));
    let held: Vec<Vec<String>> = said.lines.iter().map(|l| words(&l.text)).collect();
    let asked = words(question);
    let names = [names(question), named(question)].concat();
    let of_name = |w: &String| names.iter().any(|n| words(n).contains(w));
    let other: Vec<String> = asked.iter().filter(|w| !of_name(w)).cloned().collect();
    // What the answer is by its form is said by the line that it stands in.
    let form = is_by_form(&said.text).iter().map(|w| (*w).to_owned());
    let form: Vec<String> = form.filter(|_| best.answer > 0.0).collect();
    let with_form = |held: Vec<String>| [held, form.clone()].concat();
    let line = with_form(best_line.map(|l| words(&l.text)).unwrap_or_default());
    let asked_of_all = weigh(&asked, &held);
    Signals {
        telling_logprob: said.telling_logprob,
        answer_in_line: best.answer,
        question_in_line: coverage(&asked_of_all, &line),
        question_in_passages: coverage(&asked_of_all, &with_form(held.concat())),
        names_in_line: best_line.map_or(0.0, |l| names_held(&names, &l.text)),
        asked_in_line: if other.is_empty() { 1.0 } else { coverage(&weigh(&other, &held), &line) },
        absent: said.absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_given_back_is_no_answer_but_a_choice_is() {
        assert!(only_repeats("voucher-sync", "Who wrote voucher-sync?"));
        assert!(only_repeats("shipment RE-2621", "What is in shipment RE-2621?"));
        for (said, asked) in [
            ("40 metres", "Is the cable 40 metres long?"),
            ("Bob", "Which of Alice, Bob and Carol signed?"),
            ("red", "Is it red or green?"),
            ("Agnes", "Who wrote voucher-sync?"),
            ("", "Who wrote it?"),
        ] {
            assert!(!only_repeats(said, asked), "{said} {asked}");
        }
    }

    #[test]
    fn an_unknown_something_is_an_answer() {
        assert!(is_refusal("Unknown") && is_refusal("Not in memory."));
        assert!(!is_refusal("unknown host name"));
    }
}
