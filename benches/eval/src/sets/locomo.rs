//! LoCoMo as it is published: a `conversation` with `session_1`, `session_1_date_time` and so on,
//! and `qa` with `question`, `answer`, `evidence` (ids of turns) and `category`.

use std::collections::HashMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Asked, Label, Sample, Scoring, parse};

#[derive(Deserialize)]
struct Dialogue {
    conversation: Map<String, Value>,
    qa: Vec<Question>,
}

#[derive(Deserialize)]
struct Turn {
    speaker: String,
    dia_id: String,
    #[serde(default)]
    text: String,
    /// What a picture that was sent shows.
    blip_caption: Option<String>,
}

#[derive(Deserialize)]
struct Question {
    question: String,
    answer: Option<Value>,
    #[serde(default)]
    evidence: Vec<String>,
    category: u8,
}

pub(super) fn sample(object: &[u8]) -> Result<Sample, String> {
    let dialogue: Dialogue = parse(object, "LoCoMo")?;
    let mut text = String::new();
    let mut turns = Vec::new();
    let mut places = HashMap::new();
    for (number, session) in sessions(&dialogue.conversation) {
        let said: Vec<Turn> = Vec::deserialize(session)
            .map_err(|e| format!("session_{number} of this sample of LoCoMo: {e}"))?;
        let date = dialogue.conversation.get(&format!("session_{number}_date_time"));
        let date = date.and_then(Value::as_str).unwrap_or_default();
        for turn in said {
            let start = text.len();
            if !date.is_empty() {
                text.extend(["(", date, ") "]);
            }
            text.extend([turn.speaker.as_str(), ": ", turn.text.trim()]);
            if let Some(caption) = &turn.blip_caption {
                text.extend([" [shares a picture: ", caption.trim(), "]"]);
            }
            text.push('\n');
            turns.push(start..text.len());
            places.insert(turn.dia_id, start..text.len());
        }
    }
    if turns.is_empty() {
        return Err("`conversation` of this sample of LoCoMo has no session with turns".to_owned());
    }
    let questions = dialogue.qa.into_iter().map(|q| asked(q, &places)).collect::<Result<_, _>>()?;
    Ok(Sample { text, turns, questions })
}

/// The sessions in order of their numbers.
fn sessions(conversation: &Map<String, Value>) -> Vec<(u32, &Value)> {
    let number = |key: &String| key.strip_prefix("session_")?.parse().ok();
    let mut all: Vec<(u32, &Value)> =
        conversation.iter().filter_map(|(key, value)| Some((number(key)?, value))).collect();
    all.sort_by_key(|session| session.0);
    all
}

fn asked(q: Question, places: &HashMap<String, Range<usize>>) -> Result<Asked, String> {
    // One entry may hold several ids.
    let ids = q.evidence.iter().flat_map(|e| e.split([';', ',', ' ']));
    let mut evidence: Vec<Range<usize>> = Vec::new();
    for place in ids.filter_map(|id| places.get(id.trim())) {
        if !evidence.contains(place) {
            evidence.push(place.clone());
        }
    }
    let name = match q.category {
        1 => "multi_hop",
        2 => "temporal",
        3 => "open_domain",
        4 => "single_hop",
        5 => "adversarial",
        other => return Err(format!("category {other}: LoCoMo has 1 to 5")),
    };
    let answer = q.answer.as_ref().map(|a| a.as_str().map_or_else(|| a.to_string(), str::to_owned));
    let scoring = match (q.category, answer) {
        // The question of a trick: nothing of the sort was said.
        (5, _) => Scoring::Absent,
        (_, None) => return Err(format!("the question {:?} has no `answer`", q.question)),
        (1, Some(a)) => Scoring::F1Parts(a.split(',').map(|part| part.trim().to_owned()).collect()),
        (3, Some(a)) => Scoring::F1(a.split(';').next().unwrap_or_default().trim().to_owned()),
        (_, Some(a)) => Scoring::F1(a),
    };
    Ok(Asked { label: Label::of_task(name), text: q.question, scoring, evidence })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"sample_id": "x", "conversation": {
        "speaker_a": "Ann", "speaker_b": "Ben",
        "session_10": [{"speaker": "Ben", "dia_id": "D10:1", "text": "It rained."}],
        "session_2_date_time": "1 May, 2023",
        "session_2": [{"speaker": "Ann", "dia_id": "D2:1", "text": "I bought a kite. "},
                      {"speaker": "Ben", "dia_id": "D2:2", "text": "Look",
                       "blip_caption": "a red kite"}]},
        "qa": [{"question": "What did Ann buy?", "answer": "a kite", "evidence": ["D2:1"],
                "category": 4},
               {"question": "When?", "answer": 2023, "evidence": ["D2:1; D10:1", "D7:7"],
                "category": 2},
               {"question": "Both?", "answer": "a, b", "evidence": [], "category": 1},
               {"question": "Why a boat?", "adversarial_answer": "x", "evidence": ["D2:2"],
                "category": 5}]}"#;

    #[test]
    fn sessions_come_in_order_and_turns_with_their_date() {
        let made = sample(ROW.as_bytes()).unwrap();
        let turns: Vec<&str> = made.turns.iter().map(|t| &made.text[t.clone()]).collect();
        assert_eq!(
            turns,
            [
                "(1 May, 2023) Ann: I bought a kite.\n",
                "(1 May, 2023) Ben: Look [shares a picture: a red kite]\n",
                "Ben: It rained.\n"
            ]
        );
        let [buy, when, both, boat] = &made.questions[..] else { panic!() };
        assert_eq!(buy.evidence, [made.turns[0].clone()]);
        assert_eq!(when.evidence, [made.turns[0].clone(), made.turns[2].clone()]);
        assert_eq!(when.scoring, Scoring::F1("2023".to_owned()));
        assert_eq!(both.scoring, Scoring::F1Parts(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!((&boat.scoring, boat.label.task.as_str()), (&Scoring::Absent, "adversarial"));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (from, to, word) in [
            ("\"category\": 4", "\"category\": 9", "category 9"),
            ("\"answer\": \"a kite\", ", "", "`answer`"),
            ("\"dia_id\": \"D10:1\", ", "", "`dia_id`"),
            ("\"qa\"", "\"questions\"", "`qa`"),
        ] {
            let e = sample(ROW.replace(from, to).as_bytes()).unwrap_err();
            assert!(e.contains(word), "{e}");
        }
        let e = sample(br#"{"conversation": {"speaker_a": "Ann"}, "qa": []}"#).unwrap_err();
        assert!(e.contains("no session"), "{e}");
    }
}
