//! Questions and answers, as JSON and for people.

use std::ops::Range;

use lcedge::RecallMode;
use lcedge::cite::Citation;
use lcedge::confidence::Signals;
use lcedge::memory::SourceId;
use lcedge::sample::Sampling;
use lcedge::session::{Answer, Counted, Question, Reply, Session};
use lcedge::when::{self, Clock};
use serde::Serialize;

use crate::args::AnswerArgs;
use crate::failure::Failure;
use crate::output::Out;

/// The `answer` object of the contract.
#[derive(Serialize)]
pub(super) struct AnswerEvent<'a> {
    event: &'static str,
    question: &'a str,
    answer: &'a str,
    found: bool,
    confidence: f32,
    citations: &'a [Citation],
    recalled_blocks: usize,
    recall: &'static str,
    prefilled_tokens: usize,
    restored_tokens: usize,
    answer_tokens: usize,
    /// The time that was looked in, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// Lines were counted: the answer is exact and was not read by the model.
    counted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    counted_lines: Option<&'a Counted>,
    /// With --verbose: what the confidence is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    signals: Option<&'a Signals>,
    /// With --verbose: what the model said, given out or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<&'a str>,
    ms: u64,
}

impl<'a> AnswerEvent<'a> {
    pub(super) fn of(a: &'a Answer) -> Self {
        let clock = Clock::system();
        let edge = |ms: i64| (ms > i64::MIN && ms < i64::MAX).then(|| clock.rfc3339(ms));
        Self {
            event: "answer",
            question: &a.question,
            answer: &a.text,
            found: a.found,
            confidence: a.confidence,
            citations: &a.citations,
            recalled_blocks: a.recalled_blocks,
            recall: a.recall.name(),
            prefilled_tokens: a.prefilled_tokens,
            restored_tokens: a.restored_tokens,
            answer_tokens: a.answer_tokens,
            since: a.time.as_ref().and_then(|t| edge(t.start)),
            until: a.time.as_ref().and_then(|t| edge(t.end)),
            counted: a.counted.is_some(),
            counted_lines: a.counted.as_ref(),
            signals: None,
            said: None,
            ms: a.ms,
        }
    }

    /// With how it came about.
    pub(super) fn and_why(self, a: &'a Answer, verbose: bool) -> Self {
        let (signals, said) = (verbose.then_some(&a.signals), verbose.then_some(a.said.as_str()));
        Self { signals, said, ..self }
    }

    /// Of a turn that asked nothing of the memory.
    pub(super) fn none(said: &'a str, recall: RecallMode) -> Self {
        Self {
            event: "answer",
            question: said,
            answer: "",
            found: false,
            confidence: 0.0,
            citations: &[],
            recalled_blocks: 0,
            recall: recall.name(),
            prefilled_tokens: 0,
            restored_tokens: 0,
            answer_tokens: 0,
            since: None,
            until: None,
            counted: false,
            counted_lines: None,
            signals: None,
            said: None,
            ms: 0,
        }
    }

    /// Adds what an ordinary reply took.
    pub(super) fn and(mut self, reply: &Reply) -> Self {
        self.prefilled_tokens += reply.prefilled_tokens;
        self.answer_tokens = reply.tokens;
        self.ms += reply.ms;
        self
    }
}

/// The time between two flags, milliseconds since 1970 UTC.
///
/// # Errors
/// [`Failure`] of kind `bad_argument` with flag and value.
pub(crate) fn time(
    since: Option<&str>,
    until: Option<&str>,
) -> Result<Option<Range<i64>>, Failure> {
    let clock = Clock::system();
    let read = |flag: &str, text: Option<&str>, end| match text {
        Some(text) => when::given(text, &clock, end)
            .map(Some)
            .map_err(|e| Failure::bad_argument(format!("{flag}: {e}"))),
        None => Ok(None),
    };
    let (since, until) = (read("--since", since, false)?, read("--until", until, true)?);
    let range = since.unwrap_or(i64::MIN)..until.unwrap_or(i64::MAX);
    if range.is_empty() {
        let (a, b) = (clock.minute(range.start), clock.minute(range.end));
        return Err(Failure::bad_argument(format!("--since {a} is not before --until {b}")));
    }
    Ok((since.is_some() || until.is_some()).then_some(range))
}

/// Checks the flags that make an answer.
///
/// # Errors
/// [`Failure`] of kind `bad_argument` with flag and value.
pub(crate) fn check(args: &AnswerArgs) -> Result<Sampling, Failure> {
    let wrong = |what: String| Err(Failure::bad_argument(what));
    if args.max_tokens == 0 {
        return wrong("--max-tokens 0: at least 1 is needed".to_owned());
    }
    if !args.temperature.is_finite() || args.temperature < 0.0 {
        return wrong(format!("--temperature {}: 0 or more is taken", args.temperature));
    }
    for (flag, p) in [("--top-p", args.top_p), ("--min-p", args.min_p)] {
        if !(0.0..=1.0).contains(&p) {
            return wrong(format!("{flag} {p}: 0 to 1 is taken"));
        }
    }
    Ok(Sampling {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        seed: args.seed,
    })
}

/// Questions as they are asked.
pub(crate) struct Asker {
    args_max_tokens: usize,
    citations: usize,
    sampling: Sampling,
    pub(crate) sources: Option<Vec<SourceId>>,
    pub(crate) time: Option<Range<i64>>,
}

impl Asker {
    /// # Errors
    /// As [`check`].
    pub(crate) fn new(args: &AnswerArgs) -> Result<Self, Failure> {
        let sampling = check(args)?;
        let (args_max_tokens, citations) = (args.max_tokens, args.citations);
        Ok(Self { args_max_tokens, citations, sampling, sources: None, time: None })
    }

    /// Shows this many citations.
    pub(crate) fn citations(&mut self, n: usize) {
        self.citations = n;
    }

    /// Asks and prints.
    ///
    /// # Errors
    /// [`Failure`]; the session goes on.
    pub(crate) fn ask(
        &self,
        out: &Out,
        session: &mut Session,
        question: &str,
    ) -> Result<Answer, Failure> {
        let answer = session.answer_question(&Question {
            answer_tokens_max: self.args_max_tokens,
            sampling: self.sampling,
            citations_max: self.citations,
            sources: self.sources.clone(),
            time: self.time.clone(),
            ..Question::new(question)
        })?;
        print(out, &answer)?;
        Ok(answer)
    }
}

fn print(out: &Out, a: &Answer) -> Result<(), Failure> {
    out.event(&AnswerEvent::of(a).and_why(a, out.verbose))?;
    let clock = Clock::system();
    let paint = out.paint;
    out.line("")?;
    out.line(paint.bold(&shown_text(&a.question)))?;
    let sure = paint.dim(&format!("({:.0}% sure)", 100.0 * a.confidence));
    if let Some(counted) = &a.counted {
        let what = paint.dim(&format!("({})", counted_what(counted, a.time.as_ref(), &clock)));
        let n = if a.found { paint.green(&a.text) } else { paint.yellow("none in memory") };
        out.line(format!("  {n}  {what}"))?;
    } else if a.found {
        out.line(format!("  {}  {sure}", paint.green(&shown_text(&a.text))))?;
    } else if a.citations.is_empty() {
        out.line(format!("  {}", paint.yellow("not in memory")))?;
    } else {
        let text = paint.yellow("not in memory");
        out.line(format!("  {text}  {sure}; what comes nearest:"))?;
    }
    if let Some(time) = a.time.as_ref().filter(|_| a.counted.is_none()) {
        out.line(paint.dim(&format!("  (looked{})", time_words(time, &clock).replace(',', ""))))?;
    }
    for c in &a.citations {
        out.line(format!("  {} {}", paint.cyan(&place(c)), clip(&c.text, TEXT_CHARS_MAX)))?;
    }
    if a.found && a.counted.is_none() && a.citations.is_empty() {
        out.line(paint.dim("  (from what is in the window; nothing was recalled)"))?;
    }
    Ok(())
}

/// What was counted, for people.
pub(super) fn counted_what(counted: &Counted, time: Option<&Range<i64>>, clock: &Clock) -> String {
    let quoted = counted.phrases.iter().map(|p| format!("\"{p}\""));
    let all: Vec<String> = quoted.chain(counted.words.iter().cloned()).collect();
    let mut what = if all.is_empty() {
        "lines in all; the most surprising of them".to_owned()
    } else {
        format!("lines with {}", all.join(", "))
    };
    if let Some(time) = time {
        what.push_str(&time_words(time, clock));
    }
    what
}

/// `, from 2026-03-02 04:10, until 2026-03-02 04:20`.
fn time_words(time: &Range<i64>, clock: &Clock) -> String {
    let mut words = String::new();
    if time.start > i64::MIN {
        words.push_str(&format!(", from {}", clock.minute(time.start)));
    }
    if time.end < i64::MAX {
        words.push_str(&format!(", until {}", clock.minute(time.end)));
    }
    words
}

/// Longest line of a source that people are shown, in characters.
pub(crate) const TEXT_CHARS_MAX: usize = 200;

/// `log.txt:812:` or `log.txt:812-815:`.
pub(super) fn place(c: &Citation) -> String {
    let source = shown_name(&c.source);
    if c.line_start == c.line_end {
        format!("{source}:{}:", c.line_start)
    } else {
        format!("{source}:{}-{}:", c.line_start, c.line_end)
    }
}

/// The name of a source as people are shown it: no terminal takes a part of it for a command.
pub(crate) fn shown_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Text of several lines, without what a terminal would take for a command.
fn shown_text(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.chars().map(shown).collect::<String>().replace('\n', "\n  ")
}

/// One line of text that a terminal can show: control characters made visible, long ones cut.
pub(crate) fn clip(text: &str, chars: usize) -> String {
    let shown = |c: char| match c {
        '\t' => ' ',
        '\n' => '\u{b6}',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    let text = text.trim_end();
    let mut out: String = text.chars().take(chars).map(shown).collect();
    if text.chars().nth(chars).is_some() {
        out.push_str(" ...");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_one_clean_line() {
        assert_eq!(clip("a\tb\x1b[31m\n", 99), "a b\u{fffd}[31m");
        assert_eq!(clip("abcdef", 3), "abc ...");
        assert_eq!(clip("abc", 3), "abc");
    }

    #[test]
    fn nothing_that_is_shown_commands_a_terminal() {
        assert_eq!(shown_name("a\x1b]0;b\x07\n\u{202e}.log"), r"a\u{1b}]0;b\u{7}\n\u{202e}.log");
        assert_eq!(shown_name("größe 7.log"), "größe 7.log");
        assert_eq!(shown_text("a\x1b[31m\nb"), "a\u{fffd}[31m\n  b");
    }
}
