//! RULER: `input` (a context with the question at its end) and `outputs`.

use serde::Deserialize;
use std::ops::Range;

use super::{Asked, Label, Sample, Scoring, parse};

#[derive(Deserialize)]
struct Row {
    input: String,
    outputs: Outputs,
    task: Option<String>,
    length: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Outputs {
    One(String),
    Many(Vec<String>),
}

pub(super) fn sample(object: &[u8], label: &Label) -> Result<Sample, String> {
    let mut row: Row = parse(object, "RULER")?;
    let outputs = match row.outputs {
        Outputs::One(one) => vec![one],
        Outputs::Many(many) => many,
    };
    if outputs.is_empty() || outputs.iter().any(String::is_empty) {
        return Err("`outputs` is empty".to_owned());
    }
    let (end, question) =
        split(&row.input).ok_or("`input` has no question behind its context".to_owned())?;
    row.input.truncate(end);
    let mut label = label.clone();
    if let Some(task) = row.task {
        label.task = task;
    }
    if label.length.is_empty() {
        label.length = row.length.map_or(String::new(), |n| n.next_power_of_two().to_string());
    }
    let evidence = evidence(&row.input, &outputs);
    // The two question-answering tasks accept any of the answers; all others want every value.
    let any = label.task.starts_with("qa");
    let scoring = if any { Scoring::Any(outputs) } else { Scoring::Share(outputs) };
    let asked = Asked { label, text: question, scoring, evidence };
    Ok(Sample { text: row.input, turns: Vec::new(), questions: vec![asked] })
}

/// Where the context ends, and the question: what follows the last "Question:", up to "Answer:",
/// or the last line up to its last question mark (what stands behind it begins the answer).
fn split(input: &str) -> Option<(usize, String)> {
    let whole = input.trim_end();
    let line = whole.rfind('\n').map_or(0, |at| at + 1);
    let (end, question) = match whole.rfind("Question:") {
        Some(at) => {
            let question = &whole[at + "Question:".len()..];
            (at, question.rsplit_once("Answer:").map_or(question, |(before, _)| before))
        }
        None => (line, &whole[line..]),
    };
    let question = match question.rfind('?') {
        Some(mark) => &question[..=mark],
        None => question,
    };
    let question = question.trim().to_owned();
    let context = !input[..end].trim().is_empty();
    (context && !question.is_empty()).then_some((end, question))
}

/// Where the values stand, when each of them stands in the context exactly once.
fn evidence(text: &str, outputs: &[String]) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    for value in outputs {
        let mut places = text.match_indices(value.as_str());
        match (places.next(), places.next()) {
            (Some((at, _)), None) => all.push(at..at + value.len()),
            _ => return Vec::new(),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(input: &str, outputs: &str, task: &str) -> Result<Sample, String> {
        let input = serde_json::to_string(input).unwrap();
        let row =
            format!(r#"{{"index": 1, "input": {input}, "outputs": {outputs}, "length": 900}}"#);
        sample(row.as_bytes(), &Label::of_task(task))
    }

    #[test]
    fn the_question_is_the_last_line() {
        for end in ["", " The number for b is", "\n"] {
            let input =
                format!("Remember.\nThe number for b is: 42.\nWhat is the number for b?{end}");
            let made = made(&input, r#"["42"]"#, "niah").unwrap();
            let asked = &made.questions[0];
            assert_eq!(asked.text, "What is the number for b?");
            assert_eq!(made.text, "Remember.\nThe number for b is: 42.\n");
            assert_eq!(&made.text[asked.evidence[0].clone()], "42");
            assert_eq!(asked.label.to_string(), "niah at 1024");
            assert_eq!(asked.scoring, Scoring::Share(vec!["42".to_owned()]));
        }
    }

    #[test]
    fn the_question_may_be_announced() {
        let input =
            "VAR A = 5\nVAR B = A\nQuestion: Find all variables of value 5. Answer: They are";
        let tracing = made(input, r#"["A", "B"]"#, "vt").unwrap();
        assert_eq!(tracing.questions[0].text, "Find all variables of value 5.");
        assert_eq!(tracing.text, "VAR A = 5\nVAR B = A\n");
        assert!(tracing.questions[0].evidence.is_empty(), "names stand there more than once");
        let qa = made("Document 1: x\n\nQuestion: Who? Answer:", r#"["x", "y"]"#, "qa_1").unwrap();
        assert_eq!(qa.questions[0].text, "Who?");
        assert!(matches!(qa.questions[0].scoring, Scoring::Any(_)));
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        assert!(made("only one line?", r#"["1"]"#, "niah").unwrap_err().contains("`input`"));
        assert!(made("a\nb?", "[]", "niah").unwrap_err().contains("`outputs`"));
        assert!(made("a\nb?", "7", "niah").unwrap_err().contains("RULER"));
    }
}
