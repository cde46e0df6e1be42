//! Key-value retrieval, in two published forms: "Lost in the Middle" (`ordered_kv_records`, `key`,
//! `value`) and InfiniteBench (`context`, `input`, `answer`).

use std::fmt::Write as _;

use serde::Deserialize;

use super::passkey::Answer;
use super::{Asked, Label, Sample, Scoring, line_around, parse};

#[derive(Deserialize)]
struct Row {
    ordered_kv_records: Option<Vec<(String, String)>>,
    key: Option<String>,
    value: Option<String>,
    context: Option<String>,
    input: Option<String>,
    answer: Option<Answer>,
}

pub(super) fn sample(object: &[u8], label: &Label) -> Result<Sample, String> {
    let row: Row = parse(object, "key-value retrieval")?;
    let missing = |name: &str| format!("this is no sample of key-value retrieval: missing {name}");
    let (text, question, value, label) = if let Some(records) = &row.ordered_kv_records {
        let key = row.key.ok_or_else(|| missing("field `key`"))?;
        let value = row.value.ok_or_else(|| missing("field `value`"))?;
        let length = format!("{} keys", records.len());
        let question = format!("What is the value of the key \"{key}\"?");
        (listed(records), question, value, Label { task: "kv".to_owned(), length })
    } else {
        let none = "field `ordered_kv_records` (or `context`)";
        let context = row.context.ok_or_else(|| missing(none))?;
        let question = row.input.ok_or_else(|| missing("field `input`"))?;
        let answer = row.answer.ok_or_else(|| missing("field `answer`"))?.one()?;
        (context, question.trim().to_owned(), answer, label.clone())
    };
    let evidence = text.find(&value).map(|at| record_around(&text, at, value.len()));
    let asked = Asked {
        label,
        text: question,
        scoring: Scoring::Any(vec![value]),
        evidence: evidence.into_iter().collect(),
    };
    Ok(Sample { text, turns: Vec::new(), questions: vec![asked] })
}

/// The records as the object that both sets show, one a line.
fn listed(records: &[(String, String)]) -> String {
    let mut text = String::from("JSON data:\n{");
    for (i, (key, value)) in records.iter().enumerate() {
        let (start, end) = if i == 0 { ("", ",") } else { (" ", ",") };
        let end = if i + 1 == records.len() { "}" } else { end };
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{start}\"{key}\": \"{value}\"{end}");
    }
    text
}

/// The record's line, or the value alone where all records stand in one line.
fn record_around(text: &str, at: usize, len: usize) -> std::ops::Range<usize> {
    let line = line_around(text, at);
    if line.len() < 8 * len + 200 { line } else { at..at + len }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_listed_one_a_line() {
        let row =
            br#"{"ordered_kv_records": [["k1", "v1"], ["k2", "v2"]], "key": "k2", "value": "v2"}"#;
        let made = sample(row, &Label::default()).unwrap();
        assert_eq!(made.text, "JSON data:\n{\"k1\": \"v1\",\n \"k2\": \"v2\"}\n");
        let asked = &made.questions[0];
        assert_eq!(&made.text[asked.evidence[0].clone()], " \"k2\": \"v2\"}");
        assert_eq!(asked.label.to_string(), "kv at 2 keys");
        assert!(asked.text.contains("\"k2\""));
        assert_eq!(asked.scoring.score("It is V2.", true), Some(1.0));
    }

    #[test]
    fn the_other_form_is_read_too() {
        let row = br#"{"context": "{\"a\": \"x-1\", \"b\": \"x-2\"}",
            "input": "Key: b ", "answer": "x-2"}"#;
        let made = sample(row, &Label::of_task("kv")).unwrap();
        assert_eq!(made.questions[0].text, "Key: b");
        assert_eq!(made.questions[0].evidence.len(), 1);
    }

    #[test]
    fn what_is_missing_is_named() {
        for (row, name) in [
            (r#"{}"#, "ordered_kv_records"),
            (r#"{"ordered_kv_records": [], "value": "v"}"#, "`key`"),
            (r#"{"ordered_kv_records": [], "key": "v"}"#, "`value`"),
            (r#"{"context": "", "answer": "a"}"#, "`input`"),
            (r#"{"ordered_kv_records": 7}"#, "expected"),
        ] {
            let e = sample(row.as_bytes(), &Label::default()).unwrap_err();
            assert!(e.contains(name), "{row}: {e}");
        }
    }
}
