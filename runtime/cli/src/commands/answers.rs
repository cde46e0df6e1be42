//! Questions and answers, as JSON and for people.

use lcedge::cite::Citation;
use lcedge::memory::SourceId;
use lcedge::sample::Sampling;
use lcedge::session::{Answer, Question, Session};
use serde::Serialize;

use crate::args::AnswerArgs;
use crate::failure::Failure;
use crate::output::Out;

/// The `answer` object of the contract.
#[derive(Serialize)]
struct AnswerEvent<'a> {
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
    ms: u64,
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
}

impl Asker {
    /// # Errors
    /// As [`check`].
    pub(crate) fn new(args: &AnswerArgs) -> Result<Self, Failure> {
        let sampling = check(args)?;
        let (args_max_tokens, citations) = (args.max_tokens, args.citations);
        Ok(Self { args_max_tokens, citations, sampling, sources: None })
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
        let answer = session.ask(&Question {
            answer_tokens_max: self.args_max_tokens,
            sampling: self.sampling,
            citations_max: self.citations,
            sources: self.sources.clone(),
            ..Question::new(question)
        })?;
        print(out, &answer)?;
        Ok(answer)
    }
}

fn print(out: &Out, a: &Answer) -> Result<(), Failure> {
    out.event(&AnswerEvent {
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
        ms: a.ms,
    })?;
    let paint = out.paint;
    out.line("")?;
    out.line(paint.bold(&a.question))?;
    let sure = paint.dim(&format!("({:.0}% sure)", 100.0 * a.confidence));
    if a.found {
        out.line(format!("  {}  {sure}", paint.green(&a.text.replace('\n', "\n  "))))?;
    } else if a.citations.is_empty() {
        out.line(format!("  {}", paint.yellow("not in memory")))?;
    } else {
        let text = paint.yellow("not in memory");
        out.line(format!("  {text}  {sure}; what comes nearest:"))?;
    }
    for c in &a.citations {
        out.line(format!("  {} {}", paint.cyan(&place(c)), clip(&c.text, TEXT_CHARS_MAX)))?;
    }
    if a.found && a.citations.is_empty() {
        out.line(paint.dim("  (from what is in the window; nothing was recalled)"))?;
    }
    Ok(())
}

/// Longest line of a source that people are shown, in characters.
pub(crate) const TEXT_CHARS_MAX: usize = 200;

/// `log.txt:812:` or `log.txt:812-815:`.
fn place(c: &Citation) -> String {
    if c.line_start == c.line_end {
        format!("{}:{}:", c.source, c.line_start)
    } else {
        format!("{}:{}-{}:", c.source, c.line_start, c.line_end)
    }
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
}
