//! BEAM: a conversation a line, `turns` with `id`, `role`, `time` and `text`, and `questions` with
//! `ability`, `question`, `answer` and `source_ids`, the turns that hold the evidence.

use std::collections::HashMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;

use super::{Asked, Label, Sample, Scoring, parse};

#[derive(Deserialize)]
struct Conversation {
    turns: Vec<Turn>,
    questions: Vec<Question>,
}

#[derive(Deserialize)]
struct Turn {
    id: Value,
    role: String,
    time: Option<String>,
    #[serde(alias = "content")]
    text: String,
}

#[derive(Deserialize)]
struct Question {
    ability: String,
    question: String,
    #[serde(default)]
    answer: Option<Value>,
    #[serde(default, alias = "source_chat_ids")]
    source_ids: Value,
}

/// An answer of more words can't be compared by a program.
const ANSWER_WORDS_MAX: usize = 5;

pub(super) fn sample(object: &[u8]) -> Result<Sample, String> {
    let conversation: Conversation = parse(object, "BEAM")?;
    let mut text = String::new();
    let mut turns = Vec::with_capacity(conversation.turns.len());
    let mut places: HashMap<String, Range<usize>> = HashMap::new();
    for turn in &conversation.turns {
        let start = text.len();
        if let Some(time) = turn.time.as_deref().filter(|t| !t.is_empty()) {
            text.extend(["(", time, ") "]);
        }
        text.extend([turn.role.as_str(), ": ", turn.text.trim_end(), "\n"]);
        turns.push(start..text.len());
        if places.insert(name(&turn.id), start..text.len()).is_some() {
            return Err(format!("two turns have the id {}", turn.id));
        }
    }
    let asked = |q: Question| {
        let mut ids = Vec::new();
        collect(&q.source_ids, &mut ids);
        let place = |id: &String| {
            let found = places.get(id).cloned();
            found.ok_or_else(|| format!("`source_ids` names turn {id}, which is not there"))
        };
        let evidence = ids.iter().map(place).collect::<Result<_, _>>()?;
        let scoring = scoring(&q.ability, q.answer.as_ref());
        Ok(Asked { label: Label::of_task(q.ability), text: q.question, scoring, evidence })
    };
    let questions: Vec<Asked> =
        conversation.questions.into_iter().map(asked).collect::<Result<_, String>>()?;
    Ok(Sample { text, turns, questions })
}

fn scoring(ability: &str, answer: Option<&Value>) -> Scoring {
    if ability == "abstention" {
        return Scoring::Absent;
    }
    match answer.map(name) {
        Some(a) if (1..=ANSWER_WORDS_MAX).contains(&a.split_whitespace().count()) => {
            Scoring::Value(a.trim_end_matches('.').to_owned())
        }
        _ => Scoring::Unscored,
    }
}

/// An identifier, whether the file has it as a number or as text.
fn name(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// Every identifier in a list, or in lists under names (two statements that contradict).
fn collect(value: &Value, ids: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Array(list) => list.iter().for_each(|v| collect(v, ids)),
        Value::Object(named) => named.values().for_each(|v| collect(v, ids)),
        id => {
            let id = name(id);
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"id": "c", "turns": [
        {"id": 0, "role": "user", "time": "May-1-2024", "text": "My cat is Ada."},
        {"id": 1, "role": "assistant", "time": null, "text": "A fine name.\n"},
        {"id": 2, "role": "user", "text": "Ada is 7."}],
        "questions": [
        {"ability": "information_extraction", "question": "How old?", "answer": "7 years.",
         "source_ids": [0, 2]},
        {"ability": "abstention", "question": "Who?", "answer": "Not said.", "source_ids": []},
        {"ability": "contradiction", "question": "Is it?", "answer": "a b c d e f",
         "source_ids": {"a": [1], "b": ["1"]}}]}"#;

    #[test]
    fn turns_follow_one_another_and_evidence_names_them() {
        let made = sample(ROW.as_bytes()).unwrap();
        let turn = |i: usize| &made.text[made.turns[i].clone()];
        assert_eq!(turn(0), "(May-1-2024) user: My cat is Ada.\n");
        assert_eq!(turn(1), "assistant: A fine name.\n");
        assert_eq!(turn(2), "user: Ada is 7.\n");
        assert_eq!(made.turns[2].end, made.text.len());
        let [old, who, is] = &made.questions[..] else { panic!("{:?}", made.questions) };
        assert_eq!(old.evidence, [made.turns[0].clone(), made.turns[2].clone()]);
        assert_eq!(old.scoring, Scoring::Value("7 years".to_owned()));
        assert_eq!((&who.scoring, who.evidence.len()), (&Scoring::Absent, 0));
        assert_eq!((&is.scoring, is.evidence.len()), (&Scoring::Unscored, 1));
        assert_eq!(is.label, Label::of_task("contradiction"));
    }

    #[test]
    fn ids_that_do_not_fit_are_named() {
        let e = sample(ROW.replace("[0, 2]", "[0, 9]").as_bytes()).unwrap_err();
        assert!(e.contains("turn 9"), "{e}");
        let e = sample(ROW.replace("\"id\": 2", "\"id\": 0").as_bytes()).unwrap_err();
        assert!(e.contains("id 0"), "{e}");
        let e = sample(ROW.replace("\"role\": \"assistant\", ", "").as_bytes()).unwrap_err();
        assert!(e.contains("`role`"), "{e}");
    }
}
