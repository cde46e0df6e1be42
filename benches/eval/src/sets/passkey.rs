//! Pass keys, as InfiniteBench has them: `context`, `input` (the question) and `answer`.

use serde::Deserialize;

use super::{Asked, Label, Sample, Scoring, line_around, parse};

#[derive(Deserialize)]
struct Row {
    context: String,
    input: String,
    answer: Answer,
}

/// InfiniteBench has a list of one.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Text(String),
    Number(u64),
    List(Vec<String>),
}

impl Answer {
    /// The answer, or what is wrong with it.
    pub(super) fn one(self) -> Result<String, String> {
        let text = match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::List(list) => list.into_iter().next().unwrap_or_default(),
        };
        if text.trim().is_empty() { Err("`answer` is empty".to_owned()) } else { Ok(text) }
    }
}

pub(super) fn sample(object: &[u8], label: &Label) -> Result<Sample, String> {
    let row: Row = parse(object, "pass keys")?;
    let answer = row.answer.one()?.trim().to_owned();
    let evidence = row.context.find(&answer).map(|at| line_around(&row.context, at));
    let asked = Asked {
        label: label.clone(),
        text: row.input.trim().to_owned(),
        scoring: Scoring::FirstNumber(answer),
        evidence: evidence.into_iter().collect(),
    };
    Ok(Sample { text: row.context, turns: Vec::new(), questions: vec![asked] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_with_the_key_is_the_evidence() {
        for answer in ["\"4711\"", "4711", "[\"4711\"]"] {
            let row = format!(
                r#"{{"context": "one\nThe key is 4711.\ntwo", "input": "Key?",
                     "answer": {answer}}}"#
            );
            let made = sample(row.as_bytes(), &Label::default()).unwrap();
            assert_eq!(made.questions[0].evidence.first(), Some(&(4..20)));
            assert_eq!(made.questions[0].scoring, Scoring::FirstNumber("4711".to_owned()));
        }
        let e = sample(br#"{"context": "", "input": "", "answer": []}"#, &Label::default());
        assert!(e.unwrap_err().contains("`answer` is empty"));
    }
}
