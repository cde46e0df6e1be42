//! Conversing: an ordinary reply behind the recent turns, and both kept as the conversation's next
//! two lines.

use std::time::Instant;

use super::Session;
use crate::conversation::exchange;
use crate::error::{AbsorbError, AskError};
use crate::limits::CHAT_HISTORY_TOKENS;
use crate::sample::{Sampler, Sampling};
use crate::window::Wanted;

/// What a person says, and how it is replied to.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// What is said.
    pub text: String,
    /// The exchanges before it, oldest first: what was said and what was replied. As many of the
    /// last ones as fit are put before it.
    pub before: Vec<(String, String)>,
    /// Instead of the template's own system message.
    pub system: Option<String>,
    /// Longest reply in tokens.
    pub reply_tokens_max: usize,
    /// Most sentences of the reply, where it is to be short.
    pub sentences_max: Option<usize>,
    /// How tokens are chosen.
    pub sampling: Sampling,
}

/// What was replied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Its text.
    pub text: String,
    /// Its tokens.
    pub tokens: usize,
    /// It was stopped before its end.
    pub stopped: bool,
    /// Tokens computed before it.
    pub prefilled_tokens: usize,
    /// Time of it all.
    pub ms: u64,
}

impl Session {
    /// Replies to what a person says, behind the exchanges before it, as the model's chat template
    /// has them. `tell` is given each piece of the reply and says whether to go
    /// on. Neither the turn nor the reply is kept: [`Session::keep_exchange`] does that.
    ///
    /// # Errors
    /// [`AskError::Long`] when the turn does not fit, else as [`Session::ask`].
    pub fn reply(
        &mut self,
        turn: &Turn,
        tell: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Reply, AskError> {
        let replied = self.reply_in_steps(turn, tell);
        if let Err(AskError::Absorb(e)) = &replied {
            self.latch_on(e);
        }
        replied
    }

    fn reply_in_steps(
        &mut self,
        turn: &Turn,
        tell: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Reply, AskError> {
        let start = Instant::now();
        self.check()?;
        let ids = self.chat_ids(turn)?;
        self.drain(false)?;
        let most = turn.reply_tokens_max.clamp(1, self.plan.answer_tokens_max);
        if self.reader.is_some() {
            // The conversation is there as messages, not as the lines that it is kept as.
            self.give_up_recent()?;
        } else {
            let over = (ids.len() + most).saturating_sub(self.window.room());
            self.drop_oldest(over.min(self.window.recent()), true)?;
        }
        for part in ids.chunks(self.plan.chunk_tokens) {
            let last = [u32::try_from(part.len() - 1).unwrap_or(0)];
            let wanted = Wanted { logit_rows: &last, ..Wanted::default() };
            self.window.step(part, wanted, &mut self.out)?;
        }
        let (said, stopped, stepped) = self.speak(turn, most, tell)?;
        self.window.pop(ids.len() + stepped)?;
        self.counters.tokens_read_by_model += (ids.len() + stepped) as u64;
        Ok(Reply {
            text: self.codec.decode(&said).trim().to_owned(),
            tokens: said.len(),
            stopped,
            prefilled_tokens: ids.len(),
            ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// A turn as tokens, with as many of the exchanges before it as have room.
    fn chat_ids(&self, turn: &Turn) -> Result<Vec<u32>, AskError> {
        let max = self.plan.question_tokens_max;
        let system = turn.system.as_deref();
        let text = turn.text.trim();
        let alone = self.codec.chat_turn(system, &[], text)?.ids;
        if alone.len() > max || alone.is_empty() {
            return Err(AskError::Long { tokens: alone.len(), max });
        }
        let room = alone.len() + CHAT_HISTORY_TOKENS.min(self.plan.window_tokens / 2);
        let mut ids = alone;
        for n in 1..=turn.before.len() {
            let more = self.codec.chat_turn(system, &turn.before[turn.before.len() - n..], text)?;
            if more.ids.len() > room {
                break;
            }
            ids = more.ids;
        }
        Ok(ids)
    }

    /// Samples a reply from the last step's logits on. Gives its tokens, whether it was stopped,
    /// and how many of the tokens were stepped.
    fn speak(
        &mut self,
        turn: &Turn,
        most: usize,
        tell: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(Vec<u32>, bool, usize), AskError> {
        let mut sampler = Sampler::new(turn.sampling);
        let (mut said, mut told, mut stepped) = (Vec::new(), 0, 0);
        while let Some(choice) = sampler.choose(&self.out.logits) {
            if self.codec.ends_answer(choice.id) {
                break;
            }
            said.push(choice.id);
            let text = self.codec.decode(&said);
            // A character that is not whole yet waits, and so does what may become a next turn.
            let whole = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
            if let Some(end) = whole.find(NEXT_TURN[0]).or_else(|| whole.find(NEXT_TURN[1])) {
                // The model goes on with what the user might say: that is no part of the reply.
                said = self.codec.encode(&whole.as_bytes()[..end])?.ids;
                break;
            }
            let begun = last_sentence(whole);
            let said_before = whole[..begun].contains(whole[begun..].trim_end());
            if said_before && whole[begun..].trim_end().ends_with(ENDS) {
                // It goes round in circles.
                said = self.codec.encode(whole[..begun].trim_end().as_bytes())?.ids;
                told = told.max(begun);
                break;
            }
            let whole =
                if said_before { &whole[..begun] } else { without_beginning_of_turn(whole) };
            let goes_on = tell(whole.get(told..).unwrap_or_default());
            told = told.max(whole.len());
            if turn.sentences_max.is_some_and(|n| sentences(&text) >= n) {
                break;
            }
            if !goes_on {
                return Ok((said, true, stepped));
            }
            if said.len() >= most || repeats(&said) {
                break;
            }
            let wanted = Wanted { logit_rows: &[0], ..Wanted::default() };
            self.window.step(&[choice.id], wanted, &mut self.out)?;
            stepped += 1;
        }
        let text = self.codec.decode(&said);
        tell(text.get(told..).unwrap_or_default());
        Ok((said, false, stepped))
    }

    /// Keeps an exchange as the next two lines of the conversation that is open; it is durable and
    /// can be recalled when this returns.
    ///
    /// # Errors
    /// [`AbsorbError`]; what was kept before stays.
    pub fn keep_exchange(&mut self, user: &str, assistant: &str) -> Result<(), AbsorbError> {
        self.feed(exchange(user, assistant).as_bytes())?;
        self.drain(false)?;
        self.flush()
    }
}

/// Where a reply begins to speak for others, as small models do.
const NEXT_TURN: [&str; 2] = ["\nUser:", "\nAssistant:"];

/// What ends a sentence.
const ENDS: [char; 3] = ['.', '!', '?'];

/// Where the last sentence of a text begins.
fn last_sentence(text: &str) -> usize {
    let ends = [". ", "! ", "? ", "\n"];
    ends.iter().filter_map(|e| Some(text.rfind(e)? + e.len())).max().unwrap_or(0)
}

/// Whole sentences of a text.
fn sentences(text: &str) -> usize {
    let inner: usize = [". ", "! ", "? "].iter().map(|e| text.matches(e).count()).sum();
    inner + usize::from(text.ends_with(ENDS))
}

/// A text without an end that may become the next turn.
fn without_beginning_of_turn(text: &str) -> &str {
    match text.rfind('\n') {
        Some(at) if NEXT_TURN.iter().any(|t| t.starts_with(&text[at..])) => &text[..at],
        _ => text,
    }
}

/// Whether a reply goes round in circles: its last tokens have just been said twice.
fn repeats(said: &[u32]) -> bool {
    (6..=40).any(|n| {
        let mut parts = said.rchunks_exact(n);
        let (a, b, c) = (parts.next(), parts.next(), parts.next());
        a.is_some() && a == b && b == c
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_round_in_circles_is_seen() {
        let once: Vec<u32> = (0..9).collect();
        assert!(!repeats(&[once.clone(), once.clone()].concat()));
        assert!(repeats(&[vec![77], once.clone(), once.clone(), once].concat()));
        assert!(!repeats(&[1, 1, 1, 1, 1]) && repeats(&[1; 18]));
    }

    #[test]
    fn sentences_are_told_apart() {
        assert_eq!(last_sentence("One. Two! Thr"), 10);
        assert_eq!(last_sentence("One"), 0);
        assert_eq!((sentences("One. Two!"), sentences("One. Tw"), sentences("")), (2, 1, 0));
    }

    #[test]
    fn what_may_become_the_next_turn_waits() {
        assert_eq!(without_beginning_of_turn("Hello.\nUs"), "Hello.");
        assert_eq!(without_beginning_of_turn("Hello.\n"), "Hello.");
        assert_eq!(without_beginning_of_turn("Hello.\nUsual"), "Hello.\nUsual");
        assert_eq!(without_beginning_of_turn("Hello"), "Hello");
    }
}
