//! Line retrieval of LongEval: a `prompt` with numbered lines and the question at its end, and the
//! `expected_number`.

use serde::Deserialize;

use super::{Asked, Label, Sample, Scoring, parse};

#[derive(Deserialize)]
struct Row {
    prompt: String,
    expected_number: u64,
    correct_line: Option<String>,
    num_lines: Option<u64>,
}

const END: &str = "Now the record is over.";

pub(super) fn sample(object: &[u8], label: &Label) -> Result<Sample, String> {
    let mut row: Row = parse(object, "LongEval")?;
    let at = row.prompt.rfind(END).ok_or_else(|| format!("`prompt` has no {END:?}"))?;
    let question = row.prompt[at + END.len()..].trim().to_owned();
    row.prompt.truncate(at);
    let line = row.correct_line.as_deref().map(str::trim).filter(|line| !line.is_empty());
    let evidence = line.and_then(|line| Some((row.prompt.find(line)?, line.len())));
    let label = match row.num_lines {
        Some(n) => Label { task: "lines".to_owned(), length: n.to_string() },
        None => label.clone(),
    };
    let asked = Asked {
        label,
        text: question,
        scoring: Scoring::LastNumber(row.expected_number.to_string()),
        evidence: evidence.map(|(at, len)| at..at + len).into_iter().collect(),
    };
    Ok(Sample { text: row.prompt, turns: Vec::new(), questions: vec![asked] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_what_follows_the_record() {
        let row = br#"{"prompt":
            "Lines:\nline a-b: <7>\nline c-d: <9>\n\nNow the record is over. What?",
            "expected_number": 9, "correct_line": "line c-d: <9>\n", "num_lines": 2}"#;
        let made = sample(row, &Label::default()).unwrap();
        let asked = &made.questions[0];
        assert_eq!(asked.text, "What?");
        assert_eq!(asked.label.to_string(), "lines at 2");
        assert_eq!(&made.text[asked.evidence[0].clone()], "line c-d: <9>");
        assert!(!made.text.contains("over"));
        let e = sample(br#"{"prompt": "x", "expected_number": 1}"#, &Label::default());
        assert!(e.unwrap_err().contains("record is over"));
    }
}
