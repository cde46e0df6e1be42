//! Answers that the stored text gives exactly, without the model: how many lines hold what is asked
//! for, and what happened in a time.

use std::ops::Range;
use std::time::Instant;

use lcedge_memory::{BlockId, BlockInfo, Reader, SourceInfo};
use serde::Serialize;

use super::Session;
use super::ask::{Answer, Question};
use super::recall::Passages;
use crate::asked::{Understood, Wanted, meets, understand};
use crate::cite::{Citation, holds_word, stands_whole, words};
use crate::confidence::Signals;
use crate::conversation;
use crate::error::{AbsorbError, AskError};
use crate::when::{Clock, InTime};

/// A line is looked at in pieces of this size, so that none fills the memory.
const LINE_BYTES_MAX: usize = 1 << 20;

/// A block's lines are taken to go on until the next block, when that is not later than this.
const GAP_MS_MAX: i64 = 6 * 3600 * 1000;

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Lines found.
    pub lines: u64,
    /// Words that each of them holds; none where all lines of a time were counted.
    pub words: Vec<String>,
    /// Texts that each of them holds.
    pub phrases: Vec<String>,
}

/// A whole line of a source.
struct Found<'a> {
    number: u64,
    byte_start: u64,
    text: &'a [u8],
    /// The block in which it begins.
    block: BlockId,
    /// Mean surprise of its first block's tokens, nats.
    surprise: f32,
}

impl Session {
    /// Answers a question as [`Session::ask`] does, and understands what it says of time and of
    /// counting: "how often did X fail" counts the lines of the memory that hold what is asked
    /// for, "between ten and eleven" looks in that time alone. Where the memory has nothing of
    /// a time that an ordinary question names, the time is taken for a part of what is asked.
    ///
    /// # Errors
    /// As [`Session::ask`].
    pub fn answer_question(&mut self, question: &Question) -> Result<Answer, AskError> {
        let clock = Clock::system();
        let Some(reader) = &self.reader else { return self.ask(question) };
        let names: Vec<String> = sources(reader, question).into_iter().map(|s| s.name).collect();
        let asked = understand(&question.text, &clock, &names);
        if asked == Understood::default() {
            return self.ask(question);
        }
        let start = Instant::now();
        self.check()?;
        self.drain(false)?;
        self.flush()?;
        self.look_again();
        let mut ordinary = question.clone();
        let mut counts = question.clone();
        if let (Some(name), Some(reader)) = (&asked.source, &self.reader) {
            let of_name = sources(reader, question).into_iter().filter(|s| s.name == *name);
            counts.sources = Some(of_name.map(|s| s.id).collect());
        }
        let (time, has_some) = self.time_of(&asked, &counts, &clock);
        if has_some {
            ordinary.time.clone_from(&time);
        }
        let wanted = match asked.count {
            Some(wanted) => wanted,
            None if asked.happened => Wanted::default(),
            None => return self.ask(&ordinary),
        };
        counts.time = time;
        let whole = asked.source.is_some() && !asked.happened;
        let Some((counted, states)) = self.counted(&counts, &wanted, whole, start)? else {
            return self.ask(&ordinary);
        };
        if counted.found && !states {
            return Ok(counted);
        }
        match self.ask(&ordinary) {
            Ok(answer) if answer.found || states => Ok(answer),
            Ok(_) | Err(AskError::Long { .. }) => Ok(counted),
            Err(e) => Err(e),
        }
    }

    /// The time that a question is about, and whether the memory has anything of it.
    fn time_of(
        &self,
        asked: &Understood,
        question: &Question,
        clock: &Clock,
    ) -> (Option<Range<i64>>, bool) {
        let given = question.time.clone();
        let (Some(span), Some(reader)) = (&asked.span, &self.reader) else { return (given, true) };
        let mut times = written(reader, question);
        if let Some(given) = &given {
            times.retain(|t| meets(given, t));
        }
        let Some(named) = span.resolve(&times, clock) else { return (given, true) };
        let time = match &given {
            Some(g) => named.start.max(g.start)..named.end.min(g.end),
            None => named,
        };
        let has_some = times.iter().any(|t| meets(&time, t));
        (Some(time), has_some)
    }

    /// Counts the lines that hold what is wanted; the first and the last of them are the citations.
    /// `whole`: without words, empty lines count too. Also gives whether each line states how
    /// often something is, so that their number is no answer; `None` without a store.
    fn counted(
        &self,
        question: &Question,
        wanted: &Wanted,
        whole: bool,
        start: Instant,
    ) -> Result<Option<(Answer, bool)>, AskError> {
        let Some(reader) = &self.reader else { return Ok(None) };
        let everything = wanted.words.is_empty() && wanted.phrases.is_empty();
        let blank = whole && everything;
        let mut evidence = Evidence::new(question.citations_max, everything);
        let (mut lines, mut stating) = (0, 0);
        for source in sources(reader, question) {
            each_line(reader, &source, question.time.as_ref(), &mut |line| {
                let text = String::from_utf8_lossy(line.text);
                let empty = text.trim().is_empty();
                if empty && blank {
                    lines += 1;
                } else if !empty && holds(&text, wanted) && tells(&source.name, &text) {
                    lines += 1;
                    stating += u64::from(!everything && states_frequency(&text, wanted));
                    evidence.add(&source.name, &line, &text);
                }
            })?;
        }
        let counted =
            Counted { lines, words: wanted.words.clone(), phrases: wanted.phrases.clone() };
        let found = lines > 0;
        let text = if found { lines.to_string() } else { String::new() };
        let answer = Answer {
            question: question.text.clone(),
            said: text.clone(),
            text,
            found,
            confidence: if found { 1.0 } else { 0.0 },
            signals: Signals::default(),
            citations: evidence.citations(),
            time: question.time.clone(),
            counted: Some(counted),
            passages: Passages::default(),
            query: None,
            recalled_blocks: 0,
            recall: self.config.recall,
            prefilled_tokens: 0,
            restored_tokens: 0,
            answer_tokens: 0,
            ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        Ok(Some((answer, found && stating == lines)))
    }
}

/// The sources that a question is about: the newest versions, or those that it names.
fn sources(reader: &Reader, question: &Question) -> Vec<SourceInfo> {
    let mut all = reader.sources();
    match &question.sources {
        Some(ids) => all.retain(|s| ids.contains(&s.id)),
        None => all.retain(|s| !s.superseded),
    }
    all
}

/// When the blocks that a question is about were written: from their first line to that of the next
/// block, where that is not long after.
fn written(reader: &Reader, question: &Question) -> Vec<(i64, i64)> {
    let mut all = Vec::new();
    for source in sources(reader, question) {
        let blocks = reader.blocks_of(source.id).into_iter().filter_map(|id| reader.block(id).ok());
        let times: Vec<i64> = blocks.map(|b| b.time_unix_ms).collect();
        let next = times.iter().skip(1).chain(times.last());
        all.extend(times.iter().zip(next).map(|(&t, &next)| {
            let near = (t..t.saturating_add(GAP_MS_MAX)).contains(&next);
            (t, if near { next } else { t })
        }));
    }
    all
}

/// Whether a line says how often something is, with words that are not looked for.
fn states_frequency(line: &str, wanted: &Wanted) -> bool {
    const FREQUENCIES: [&str; 11] = [
        "every", "daily", "hourly", "weekly", "monthly", "yearly", "nightly", "once", "twice",
        "times", "per",
    ];
    let held = words(line);
    let asked = |f: &str| {
        wanted.words.iter().any(|w| w == f)
            || wanted.phrases.iter().any(|p| p.to_lowercase().contains(f))
    };
    FREQUENCIES.iter().any(|f| held.iter().any(|h| h == f) && !asked(f))
}

fn holds(line: &str, wanted: &Wanted) -> bool {
    let low = line.to_lowercase();
    if !wanted.phrases.iter().all(|p| low.contains(&p.to_lowercase())) {
        return false;
    }
    if wanted.words.is_empty() {
        return true;
    }
    let held = words(line);
    wanted.words.iter().all(|w| holds_word(&held, w) || stands_whole(&low, w))
}

/// Whether a line says something: of a conversation, what the user said and did not ask.
fn tells(source: &str, line: &str) -> bool {
    !conversation::is_one(source) || conversation::is_statement(line)
}

/// Gives every line of a source that lies in a time, whole, in order.
fn each_line(
    reader: &Reader,
    source: &SourceInfo,
    time: Option<&Range<i64>>,
    give: &mut dyn FnMut(Found<'_>),
) -> Result<(), AskError> {
    let mut text: Vec<u8> = Vec::new();
    let (mut number, mut byte) = (1, 0);
    let mut begun = (BlockId(0), 0.0, 0);
    let mut in_time: Option<InTime<'_>> = None;
    for id in reader.blocks_of(source.id) {
        let read = |e: lcedge_memory::ReadError| AbsorbError::Read(e.to_string());
        let info: BlockInfo = reader.block(id).map_err(read)?;
        let in_time = in_time.get_or_insert_with(|| InTime::new(time, info.time_unix_ms));
        let mut send = |text: &[u8], number, byte_start, (block, surprise, ms)| {
            if in_time.holds(text, ms) {
                give(Found { number, byte_start, text, block, surprise });
            }
        };
        if byte + text.len() as u64 != info.span.byte_start {
            // Something between was forgotten.
            if !text.is_empty() {
                send(&text, number, byte, begun);
            }
            text.clear();
        }
        if text.is_empty() {
            (number, byte) = (info.span.line_start, info.span.byte_start);
        }
        let more = reader.text(id).map_err(read)?;
        let own = (id, info.surprise_nats / f32::from(info.tokens.max(1)), info.time_unix_ms);
        for part in more.split_inclusive(|b| *b == b'\n') {
            if text.is_empty() {
                begun = own;
            }
            text.extend_from_slice(part);
            let whole = text.strip_suffix(b"\n");
            if whole.is_some() || text.len() >= LINE_BYTES_MAX {
                send(whole.unwrap_or(&text), number, byte, begun);
                number += u64::from(whole.is_some());
                byte += text.len() as u64;
                text.clear();
            }
        }
    }
    if let Some(mut in_time) = in_time.filter(|_| !text.is_empty())
        && in_time.holds(&text, begun.2)
    {
        let (block, surprise, _) = begun;
        give(Found { number, byte_start: byte, text: &text, block, surprise });
    }
    Ok(())
}

/// The lines that are shown of all that were counted: the first and the last ones, or the most
/// surprising ones in order of time.
struct Evidence {
    max: usize,
    surprising: bool,
    /// In order, with their surprise.
    lines: Vec<(f32, Citation)>,
}

impl Evidence {
    const fn new(max: usize, surprising: bool) -> Self {
        Self { max, surprising, lines: Vec::new() }
    }

    fn add(&mut self, source: &str, line: &Found<'_>, text: &str) {
        let citation = Citation {
            source: source.to_owned(),
            line_start: line.number,
            line_end: line.number,
            byte_start: line.byte_start,
            byte_end: line.byte_start + line.text.len() as u64,
            score: 1.0,
            found_by: vec!["lexical"],
            blocks: vec![line.block],
            text: text.trim_end_matches('\r').to_owned(),
        };
        self.lines.push((line.surprise, citation));
        if self.lines.len() > self.max {
            let out = if self.surprising {
                let least = self.lines.iter().enumerate().min_by(|a, b| a.1.0.total_cmp(&b.1.0));
                least.map_or(0, |l| l.0)
            } else {
                self.max.div_ceil(2)
            };
            self.lines.remove(out);
        }
    }

    fn citations(self) -> Vec<Citation> {
        self.lines.into_iter().map(|l| l.1).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_all_words_by_their_stem_and_all_phrases_as_they_are() {
        let wanted = |w: &[&str], p: &[&str]| Wanted {
            words: w.iter().map(|w| (*w).to_owned()).collect(),
            phrases: p.iter().map(|p| (*p).to_owned()).collect(),
        };
        let line =
            "Mar  2 04:01:41 sshd[1878]: Failed password for invalid user test from 10.0.3.7";
        assert!(holds(line, &wanted(&["fail", "test"], &[])));
        assert!(holds(line, &wanted(&["10.0.3.7"], &["failed PASSWORD"])));
        assert!(!holds(line, &wanted(&["fail", "root"], &[])));
        assert!(!holds(line, &wanted(&[], &["password failed"])));
        assert!(!holds(line, &wanted(&["10.0.3.77"], &[])));
        let glued = "dropped 10.0.3.7:443 -> [10.0.3.9]:22";
        assert!(holds(glued, &wanted(&["10.0.3.7", "10", "0", "3", "7"], &[])));
        assert!(holds(glued, &wanted(&["10.0.3.9", "drop"], &[])));
        assert!(!holds(glued, &wanted(&["10.0.3.74"], &[])));
    }

    #[test]
    fn a_line_that_states_how_often_is_told() {
        let wanted = |w: &str| Wanted { words: words(w), phrases: Vec::new() };
        for (line, asked, want) in [
            ("The filter was changed every 90 days", "filter changed", true),
            ("The filter was changed twice.", "filter changed", true),
            ("The filter was changed on May 2", "filter changed", false),
            ("nightly backup failed", "nightly backup failed", false),
        ] {
            assert_eq!(states_frequency(line, &wanted(asked)), want, "{line}");
        }
    }

    #[test]
    fn the_first_and_the_last_are_shown() {
        let mut shown = Evidence::new(3, false);
        for n in 1..=9 {
            let line =
                Found { number: n, byte_start: 0, text: b"x", block: BlockId(n), surprise: 0.0 };
            shown.add("a", &line, "x");
        }
        let numbers: Vec<u64> = shown.citations().iter().map(|c| c.line_start).collect();
        assert_eq!(numbers, [1, 2, 9]);
        let mut shown = Evidence::new(2, true);
        for (n, surprise) in [(1, 0.5), (2, 3.0), (3, 0.1), (4, 2.0)] {
            shown.add(
                "a",
                &Found { number: n, byte_start: 0, text: b"x", block: BlockId(n), surprise },
                "x",
            );
        }
        let numbers: Vec<u64> = shown.citations().iter().map(|c| c.line_start).collect();
        assert_eq!(numbers, [2, 4]);
    }
}
