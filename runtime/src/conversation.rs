//! Conversations in the memory: each is a source `chat/NAME` of lines, the odd ones what the user
//! said and the even ones what was replied.
//!
//! ```text
//! User: My name is Ana.
//! Assistant: Nice to meet you, Ana.
//! ```
//!
//! What was asked before says nothing, and of two statements that hold the same words of a question
//! the newer one counts: both stay, and both can be cited.

use crate::cite::{Line, Support};

/// What the name of a conversation's source begins with.
pub const PREFIX: &str = "chat/";

const USER: &str = "User: ";
const ASSISTANT: &str = "Assistant: ";

/// Longest name of a conversation, in bytes.
pub const NAME_BYTES_MAX: usize = 200;

/// Who says a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// As programs name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// The source of a conversation; `None` for a name that is empty, too long, or holds characters
/// that no terminal shows.
#[must_use]
pub fn source(name: &str) -> Option<String> {
    let fits = !name.trim().is_empty() && name.len() <= NAME_BYTES_MAX;
    (fits && !name.chars().any(char::is_control)).then(|| format!("{PREFIX}{name}"))
}

/// Whether a source is a conversation.
#[must_use]
pub fn is_one(source: &str) -> bool {
    source.starts_with(PREFIX)
}

/// The turn that a line of a conversation belongs to, from 1, and who says it.
#[must_use]
pub const fn turn_of(line: u64) -> (u64, Role) {
    (line.div_ceil(2), if line % 2 == 1 { Role::User } else { Role::Assistant })
}

/// An exchange as the conversation keeps it: two lines.
#[must_use]
pub fn exchange(user: &str, assistant: &str) -> String {
    format!("{USER}{}\n{ASSISTANT}{}\n", one_line(user), one_line(assistant))
}

/// The exchanges in the text of a conversation, in order; lines that are cut off are left out.
#[must_use]
pub fn exchanges(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let pair = |two: &[&str]| {
        Some((two[0].strip_prefix(USER)?.to_owned(), two[1].strip_prefix(ASSISTANT)?.to_owned()))
    };
    lines.windows(2).filter_map(pair).collect()
}

/// Text on one line, without characters that no terminal shows.
#[must_use]
pub fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    words.filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Whether a line is what the user said, and no question.
#[must_use]
pub fn is_statement(line: &str) -> bool {
    line.strip_prefix(USER).is_some_and(|said| !asks(said))
}

/// Whether an answer may be read from a line: what was asked before says nothing, and what the
/// model replied may be made up, so that it counts only where `replies` are asked for.
#[must_use]
pub fn is_evidence(line: &str, replies: bool) -> bool {
    match line.strip_prefix(USER) {
        Some(said) => !asks(said),
        None => replies || !line.starts_with(ASSISTANT.trim_end()),
    }
}

/// Whether a question is about what the model itself said.
#[must_use]
pub fn asks_for_replies(question: &str) -> bool {
    let low = question.to_lowercase();
    let mut words = low.split(|c: char| !c.is_alphanumeric());
    words.any(|w| matches!(w, "you" | "your" | "yours" | "yourself"))
}

/// Whether a question asks for a fact about the person who asks, which a model could only make up:
/// "what is my name", "where do I live". Not "how do I boil an egg".
#[must_use]
pub fn asks_about_user(question: &str) -> bool {
    const WORDS_MAX: usize = 12;
    const ASKS: [&str; 8] = ["what", "what's", "who", "whose", "when", "where", "which", "how"];
    const ADVICE: [&str; 9] =
        ["should", "can", "could", "would", "may", "must", "best", "way", "you"];
    let low = question.to_lowercase();
    let words: Vec<&str> = low
        .split_whitespace()
        .map(|w| w.trim_matches(|c: char| !c.is_alphanumeric() && c != '\''))
        .collect();
    let has = |list: &[&str]| words.iter().any(|w| list.contains(w));
    let how = words.first() == Some(&"how")
        && !matches!(words.get(1), Some(&"old" | &"tall" | &"many" | &"much" | &"often"));
    words.first().is_some_and(|w| ASKS.contains(w))
        && words.len() <= WORDS_MAX
        && (has(&["my", "mine", "our", "ours", "i", "me"]) || low.contains("did we "))
        && !has(&ADVICE)
        && !how
}

/// Whether what a person says is a question: it ends as one or begins as one.
#[must_use]
pub fn asks(text: &str) -> bool {
    const OPENINGS: [&str; 33] = [
        "who", "whom", "whose", "what", "what's", "when", "where", "which", "why", "how", "is",
        "are", "am", "was", "were", "do", "does", "did", "has", "have", "had", "can", "could",
        "will", "would", "should", "shall", "may", "might", "who's", "where's", "when's", "how's",
    ];
    let text = text.trim();
    if text.ends_with('?') {
        return true;
    }
    let end = |c: char| !c.is_alphanumeric() && c != '\'';
    let low = text.to_lowercase();
    let mut words = low.split_whitespace().map(|w| w.trim_matches(end));
    let first = words.next().unwrap_or_default();
    let tells = matches!(first, "tell" | "remind") && words.next() == Some("me");
    // "May" and "will" also open statements, but hardly without another sign of a question.
    tells || OPENINGS.contains(&first) && !text.ends_with(['.', '!'])
}

/// Where the best line is of a conversation: puts the newest of the user's statements that hold as
/// much of the question first. What a person said last about a thing is what holds, and counts for
/// more than what was replied. Other sources keep their order.
pub fn newest_first(lines: &[Line], supports: &mut [Support]) {
    let Some(best) = supports.first().copied() else { return };
    if !is_one(&lines[best.line].source) || best.question <= 0.0 {
        return;
    }
    let is_said = |s: &Support| {
        let line = &lines[s.line];
        is_one(&line.source) && is_statement(&line.text)
    };
    let as_much = |s: &Support| s.question >= best.question - 1e-3;
    // Blocks rise in the order of time, over all conversations.
    let when = |s: &Support| {
        let line = &lines[s.line];
        (line.blocks.last().copied(), line.number)
    };
    let all = supports.iter().enumerate().filter(|(_, s)| is_said(s) && as_much(s));
    if let Some((at, _)) = all.max_by_key(|(_, s)| when(s)) {
        supports[..=at].rotate_right(1);
        // The first citation is the one that counts most.
        supports[0].score = supports[0].score.max(best.score);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cite::{LineWeights, support};
    use crate::rank::FoundBy;
    use lcedge_memory::BlockId;

    #[test]
    fn an_exchange_is_two_lines_whatever_is_in_it() {
        let text = exchange(" My name\tis \u{0}Ana.\r\n", "Nice\n\n* to meet you\u{1b}[31m");
        assert_eq!(text, "User: My name is Ana.\nAssistant: Nice * to meet you [31m\n");
        assert_eq!(exchange("", ""), "User: \nAssistant: \n");
        let both = format!("cut off\n{text}{}User: and", exchange("a", "b"));
        let first = ("My name is Ana.".to_owned(), "Nice * to meet you [31m".to_owned());
        assert_eq!(exchanges(&both), [first, ("a".to_owned(), "b".to_owned())]);
        assert_eq!((turn_of(1), turn_of(2)), ((1, Role::User), (1, Role::Assistant)));
        assert_eq!(turn_of(7), (4, Role::User));
    }

    #[test]
    fn names_that_no_one_could_type_again_are_refused() {
        assert_eq!(source("home").as_deref(), Some("chat/home"));
        for name in ["", " ", "a\nb", "\u{1b}", &"x".repeat(201)] {
            assert_eq!(source(name), None, "{name:?}");
        }
    }

    #[test]
    fn questions_are_known_by_their_end_or_their_beginning() {
        for text in ["What is my name", "who?", "My name is?", "Remind me who I am.", "is it late"]
        {
            assert!(asks(text), "{text}");
        }
        for text in ["My name is Ana", "Is it late, I said.", "I know who did it", "Tell Bob.", ""]
        {
            assert!(!asks(text), "{text}");
        }
        assert!(!is_evidence("User: who is it?", true) && is_evidence("User: It is I", false));
        assert!(is_evidence("Assistant: 9", true) && !is_evidence("Assistant: 9", false));
        assert!(asks_for_replies("What did you say?") && !asks_for_replies("What is young?"));
        assert!(is_statement("User: I am Ana") && !is_statement("Assistant: I am SmolLM"));
    }

    #[test]
    fn what_only_the_user_can_know_is_told_apart() {
        for text in ["What is my name?", "where do I live", "How old am I?", "What's our address?"]
        {
            assert!(asks_about_user(text), "{text}");
        }
        for text in [
            "How do I boil an egg?",
            "What should I cook?",
            "What is the capital of Japan?",
            "What is the best way to train my dog?",
            "Which planet do we live on?",
            "My name is Ana",
            "Tell me a joke",
            "",
        ] {
            assert!(!asks_about_user(text), "{text}");
        }
    }

    fn line(number: u64, source: &str, text: &str, address: f32) -> Line {
        Line {
            source: source.into(),
            number,
            byte_start: 0,
            byte_end: 1,
            text: text.into(),
            address,
            block_score: 0.5,
            found_by: FoundBy::default(),
            blocks: vec![BlockId(number)],
        }
    }

    fn order(lines: &[Line], question: &str) -> Vec<u64> {
        let mut found = support(lines, question, "", &LineWeights::default());
        newest_first(lines, &mut found);
        found.iter().map(|s| lines[s.line].number).collect()
    }

    #[test]
    fn the_newer_statement_of_the_same_comes_first() {
        let question = "What is my favourite colour?";
        let lines = [
            line(1, "chat/a", "User: My favourite colour is blue.", 3.0),
            line(2, "chat/a", "Assistant: Blue is a fine favourite colour.", 2.0),
            line(5, "chat/a", "User: My favourite colour is green now.", 2.0),
            line(7, "chat/a", "User: I like the colour of the sky.", 2.5),
        ];
        let got = order(&lines, question);
        assert_eq!((got[0], got[1]), (5, 1), "both stay");
        // Of another session, which is newer.
        let mut two = lines.clone();
        two[2].source = "chat/b".into();
        assert_eq!(order(&two, question)[0], 5);
        // What was replied counts for less.
        let replied =
            [lines[0].clone(), line(6, "chat/a", "Assistant: favourite colour: red", 9.0)];
        assert_eq!(order(&replied, question)[0], 1);
        // Nothing changes for other sources, or for what holds less.
        let mut log = lines.clone();
        log.iter_mut().for_each(|l| l.source = "a.log".into());
        assert_eq!(order(&log, question)[0], 1);
        let less = [lines[0].clone(), lines[3].clone()];
        assert_eq!(order(&less, question)[0], 1);
    }
}
