//! Recall is of keys and values: when two facts exchange theirs in the store, and text, spans and
//! index stay, the answers follow the keys and values. Recall as text follows the text.

use std::path::Path;

use lcedge::memory::BlockId;
use lcedge::{Question, RecallMode};

use crate::exchange::exchanged;
use crate::ready::{options, ready};

/// Facts of as many tokens each (digits are tokens of their own), their question and values.
const CASES: [(&str, &str, [&str; 2]); 3] = [
    (
        "The meeting notes were short. The access code of the building is {}. \
         Nothing else was said.\n",
        "What is the access code of the building?",
        ["4417", "9035"],
    ),
    (
        "We talked for a while in the kitchen. The phone number of the bakery is {}. \
         Then we left.\n",
        "What is the phone number of the bakery?",
        ["552-1837", "640-9921"],
    ),
    (
        "The captain wrote a short report. The ship carried {} barrels of oil. \
         It arrived on time.\n",
        "How many barrels of oil did the ship carry?",
        ["318", "746"],
    ),
];

/// What is answered when exactly `block` is recalled.
fn said(store: &Path, block: BlockId, question: &str, recall: RecallMode) -> String {
    let mut r = ready(store);
    let q = Question { recall: Some(recall), blocks: Some(vec![block]), ..Question::new(question) };
    r.session.ask(&q).unwrap().said
}

#[test]
fn answers_follow_the_keys_and_values_and_text_recall_the_text() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (one.path().join("store"), two.path().join("store"));
    for (i, (line, question, values)) in CASES.iter().enumerate() {
        let mut r = ready(&one);
        // Each fact is a source of its own, so its block was computed without the other in sight.
        for value in values {
            r.session.begin_source(&format!("{i}-{value}")).unwrap();
            r.session.feed(line.replace("{}", value).as_bytes()).unwrap();
            r.session.finish_source().unwrap();
        }
        r.session.close().unwrap();
        let store_options = lcedge::setup::store_options(&options(&one), &r.prepared.card);
        let reader = lcedge::memory::Reader::open(&one, &store_options).unwrap();
        let ids = values.map(|value| {
            let sources = reader.sources();
            let s = sources.iter().find(|s| s.name == format!("{i}-{value}")).unwrap();
            let blocks = reader.blocks_of(s.id);
            assert_eq!(blocks.len(), 1, "one block a fact");
            blocks[0]
        });
        drop(reader);
        let _ = std::fs::remove_dir_all(&two);
        exchanged(&one, &two, &store_options, ids[0], ids[1]);
        for (id, own, other) in [(ids[0], values[0], values[1]), (ids[1], values[1], values[0])] {
            let holds = |answer: &str, value: &str| {
                assert!(answer.contains(value), "{question} {value} expected, said {answer:?}");
            };
            holds(&said(&one, id, question, RecallMode::Kv), own);
            holds(&said(&two, id, question, RecallMode::Kv), other);
            holds(&said(&two, id, question, RecallMode::Text), own);
        }
    }
}
