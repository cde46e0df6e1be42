//! BABILong: one object a sample, `input`, `question` and `target`.

use serde::Deserialize;

use super::{Asked, Label, Sample, Scoring, parse};

#[derive(Deserialize)]
struct Row {
    input: String,
    question: String,
    target: String,
}

pub(super) fn sample(object: &[u8], label: &Label) -> Result<Sample, String> {
    let row: Row = parse(object, "BABILong")?;
    let question = row.question.trim().to_owned();
    let scoring = match labels_of(&label.task) {
        Some(labels) => Scoring::Label { target: row.target, labels, question: question.clone() },
        None => Scoring::Value(row.target),
    };
    let asked = Asked { label: label.clone(), text: question, scoring, evidence: Vec::new() };
    Ok(Sample { text: row.input, turns: Vec::new(), questions: vec![asked] })
}

const ROOMS: &[&str] = &["bathroom", "bedroom", "garden", "hallway", "kitchen", "office"];
const YES_NO: &[&str] = &["no", "yes"];

/// What a task's answers are made of (bAbI's own vocabulary), for a task named `qa1` to `qa20`.
fn labels_of(task: &str) -> Option<&'static [&'static str]> {
    let at = task.find("qa")?;
    let digits: String = task[at + 2..].chars().take_while(char::is_ascii_digit).collect();
    Some(match digits.parse::<u8>().ok()? {
        1..=4 | 11..=13 => ROOMS,
        5 => &["Bill", "Fred", "Jeff", "Mary", "apple", "football", "milk"],
        6 | 9 | 17 | 18 => YES_NO,
        7 => &["none", "one", "three", "two"],
        8 => &["apple", "football", "milk", "nothing"],
        10 => &["maybe", "no", "yes"],
        14 => &["bedroom", "cinema", "kitchen", "office", "park", "school"],
        15 => &["cat", "mouse", "sheep", "wolf"],
        16 => &["gray", "green", "white", "yellow"],
        20 => &["bedroom", "bored", "garden", "hungry", "kitchen", "thirsty", "tired"],
        _ => return None,
    })
}

/// BABILong's own rule: of the task's labels, those of the question left out, the answer's first
/// sentence names the target (all parts of it, where it is a list) and no other.
pub(super) fn only_label(target: &str, said: &str, question: &str, labels: &[&str]) -> bool {
    let said = said.to_lowercase();
    let said = said.split('.').next().unwrap_or_default();
    let said = said.split("<context>").next().unwrap_or_default();
    let said = said.split("<example>").next().unwrap_or_default();
    let (target, question) = (target.to_lowercase(), question.to_lowercase());
    let named = |label: &&str| {
        let label = label.to_lowercase();
        said.contains(&label) && !question.contains(&label)
    };
    let named: Vec<String> = labels.iter().filter(|l| named(l)).map(|l| l.to_lowercase()).collect();
    let wanted: Vec<&str> = target.split(',').map(str::trim).collect();
    named.len() == wanted.len() && wanted.iter().all(|w| named.iter().any(|n| n == w))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_sample() {
        let row = br#"{"input": "The attic is west of the shed.", "question": "What is it? ",
            "target": "shed", "n_tokens_gpt2": 9}"#;
        let made = sample(row, &Label::of_task("qa99")).unwrap();
        assert_eq!(made.text, "The attic is west of the shed.");
        assert_eq!(made.questions[0].text, "What is it?");
        assert_eq!(made.questions[0].scoring, Scoring::Value("shed".to_owned()));
        let made = sample(row, &Label::of_task("babilong_qa4")).unwrap();
        assert!(matches!(made.questions[0].scoring, Scoring::Label { labels: ROOMS, .. }));
        let e = sample(br#"{"input": "", "question": ""}"#, &Label::default()).unwrap_err();
        assert!(e.contains("`target`"), "{e}");
    }

    #[test]
    fn one_label_of_the_task_and_no_other() {
        let right = |said| only_label("office", said, "What is north of the garden?", ROOMS);
        assert!(right("The office."));
        assert!(right("The OFFICE is north of the garden. The kitchen is not."));
        assert!(!right("The office or the kitchen."));
        assert!(!right("It is the garden."));
        assert!(!right(""));
        let list = labels_of("qa8").unwrap();
        let right = |said| only_label("apple,milk", said, "What is Mary carrying?", list);
        assert!(right("milk and the apple"));
        assert!(!right("apple"));
        assert!(!right("apple, milk, football"));
        assert_eq!(labels_of("qa19"), None);
        assert_eq!(labels_of("needles"), None);
    }
}
