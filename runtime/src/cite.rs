//! Citations: from recalled blocks to the lines that support an answer.
//!
//! Each line of the recalled passages gets three scores: by address (late interaction of the
//! question with the line's own keys), by the question's words, and by the answer's words. Words
//! weigh by how few of the lines hold them. All is pure and tested on its own.

use std::collections::HashMap;

use lcedge_memory::BlockId;
use serde::Serialize;

use crate::rank::FoundBy;

/// A line of a recalled passage.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Name of the source.
    pub source: String,
    /// Number, from 1.
    pub number: u64,
    /// First byte in the source.
    pub byte_start: u64,
    /// Behind its last byte (the line's end is left out).
    pub byte_end: u64,
    /// Its text.
    pub text: String,
    /// Late-interaction score of the question with its keys; `f32::MIN` when it has none.
    pub address: f32,
    /// Fused score of the best block that holds part of it.
    pub block_score: f32,
    /// Who found that block.
    pub found_by: FoundBy,
    /// The blocks that hold part of it.
    pub blocks: Vec<BlockId>,
}

/// Where a recalled passage came from, and how well it supports the answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Citation {
    /// Name of the source.
    pub source: String,
    /// First line, from 1.
    pub line_start: u64,
    /// Last line, inclusive.
    pub line_end: u64,
    /// First byte.
    pub byte_start: u64,
    /// Behind the last byte.
    pub byte_end: u64,
    /// How well it supports the answer, 0 to 1.
    pub score: f32,
    /// Which ranking found it: `address`, `lexical`.
    pub found_by: Vec<&'static str>,
    /// The blocks that hold part of it.
    pub blocks: Vec<BlockId>,
    /// The passage.
    pub text: String,
}

/// Weights of the scores of a line; the defaults were chosen on the calibration family of
/// `lcedge eval needles`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LineWeights {
    /// Late interaction with the line's keys.
    pub address: f32,
    /// Words of the question.
    pub question: f32,
    /// Words of the answer.
    pub answer: f32,
    /// The fused score of the line's block.
    pub block: f32,
}

impl Default for LineWeights {
    fn default() -> Self {
        Self { address: 1.0, question: 1.0, answer: 0.6, block: 1.0 }
    }
}

/// Words that say nothing of what is asked.
const STOP: [&str; 62] = [
    "a", "an", "and", "are", "as", "at", "be", "been", "by", "can", "did", "do", "does", "for",
    "from", "had", "has", "have", "how", "i", "in", "is", "it", "its", "me", "my", "of", "on",
    "or", "our", "please", "say", "says", "she", "he", "tell", "that", "the", "their", "them",
    "there", "they", "this", "to", "us", "was", "we", "were", "what", "when", "where", "which",
    "who", "whose", "why", "will", "with", "you", "your", "give", "many", "much",
];

/// The words of a text that mean something, lower case: runs of letters and digits, and whole
/// tokens such as addresses, versions and identifiers.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut add = |w: &str| {
        let w = w.to_lowercase();
        if !w.is_empty() && !STOP.contains(&w.as_str()) && !all.contains(&w) {
            all.push(w);
        }
    };
    for token in text.split_whitespace() {
        let token = token.trim_matches(|c: char| !c.is_alphanumeric());
        let parts: Vec<&str> = token.split(|c: char| !c.is_alphanumeric()).collect();
        if parts.len() > 1 && token.chars().any(|c| c.is_ascii_digit()) {
            add(token);
        }
        parts.into_iter().for_each(&mut add);
    }
    all
}

/// Whether an identifier (an address, a version, a number with a prefix) stands in a text, both
/// lower case, whatever marks it is glued to: `10.0.0.7` stands in `10.0.0.7:443`, `src=10.0.0.7,`
/// and `[10.0.0.7]`, and in none of `110.0.0.7`, `10.0.0.71` and `10.0.0.7.1`. A word without a
/// mark within stands nowhere: [`words`] gives those.
#[must_use]
pub fn stands_whole(text: &str, word: &str) -> bool {
    if !word.contains(|c: char| !c.is_alphanumeric()) {
        return false;
    }
    let joins = |c: char| matches!(c, '.' | '-' | '_') || c == ':' && word.contains(':');
    let goes_on = |near: &mut dyn Iterator<Item = char>| match near.next() {
        Some(c) if joins(c) => near.next().is_some_and(char::is_alphanumeric),
        Some(c) => c.is_alphanumeric(),
        None => false,
    };
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !goes_on(&mut before.chars().rev()) && !goes_on(&mut after.chars())
    })
}

/// The names in a text: words with a digit, a joint (`-`, `_`, `.`, `/`, `:`, `@`) or a capital
/// letter that does not open the text, without the marks around them.
#[must_use]
pub fn names(text: &str) -> Vec<&str> {
    let word = |w: &'_ str| -> bool {
        w.chars().any(|c| c.is_ascii_digit() || "-_./:@".contains(c))
            || w.chars().next().is_some_and(char::is_uppercase)
    };
    let marks = |c: char| !c.is_alphanumeric();
    let all = text.split_whitespace().enumerate().map(|(i, w)| (i, w.trim_matches(marks)));
    let own = |w: &str| w.strip_suffix("'s").map_or(w.len(), str::len);
    let rest = |w: &'_ str| w.char_indices().nth(1).map_or(w.len(), |(at, _)| at);
    all.map(|(i, w)| (i, &w[..own(w)]))
        .filter(|(i, w)| {
            w.len() > 1 && word(if *i == 0 { &w[rest(w)..] } else { w }) || is_number(w)
        })
        .map(|(_, w)| w)
        .collect()
}

/// What is named: the plain words right behind a name that has an article (`depot` in "the Aldford
/// depot"). A place of the same name that is something else is another one.
#[must_use]
pub fn named(text: &str) -> Vec<&str> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let capital = |w: &str| w.chars().next().is_some_and(char::is_uppercase);
    let plain = |w: &str| w.len() > 2 && w.chars().all(char::is_lowercase);
    let noun = |three: &[&'_ str]| -> bool {
        three[0].eq_ignore_ascii_case("the") && capital(three[1]) && plain(three[2])
    };
    let behind = words.windows(3).map(|w| {
        let last = w[2].trim_end_matches(|c: char| !c.is_alphanumeric());
        (noun(&[w[0], w[1], last]) && w[1].chars().all(char::is_alphabetic)).then_some(last)
    });
    behind.flatten().filter(|w| !STOP.contains(w)).collect()
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a piece of text is copied from another: all of it, upper and lower case and any white
/// space alike, not as part of longer words. Nothing stands nowhere.
#[must_use]
pub fn stands_in(piece: &str, text: &str) -> bool {
    let even = |t: &str| t.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let piece = even(piece.trim_end_matches(['.', ',', ';', '!', '?']));
    !piece.is_empty() && names_held(&[piece.as_str()], &even(text)) == 1.0
}

/// The share of `names` that stand whole in a text, upper and lower case alike; 1 of none.
#[must_use]
pub fn names_held(names: &[&str], text: &str) -> f32 {
    let text = text.to_lowercase();
    let stands = |name: &&&str| {
        let name = name.to_lowercase();
        text.match_indices(&name).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + name.len()..].chars().next();
            !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
        })
    };
    if names.is_empty() {
        return 1.0;
    }
    names.iter().filter(stands).count() as f32 / names.len() as f32
}

/// How much of `wanted` a text holds, by weight; a word counts whole when it stands in the text,
/// and by four fifths when only a word of the same stem does.
#[must_use]
pub fn coverage(wanted: &[(String, f32)], held: &[String]) -> f32 {
    let total: f32 = wanted.iter().map(|w| w.1).sum();
    if total <= 0.0 {
        return 0.0;
    }
    let part = |w: &str| {
        if held.iter().any(|h| h == w) {
            1.0
        } else if held.iter().any(|h| same_stem(h, w)) {
            0.8
        } else {
            0.0
        }
    };
    wanted.iter().map(|(w, weight)| weight * part(w)).sum::<f32>() / total
}

/// Whether a word is among others, or one of the same stem; words with digits have none.
#[must_use]
pub fn holds_word(held: &[String], word: &str) -> bool {
    let letters = |w: &str| w.chars().all(char::is_alphabetic);
    let stem = letters(word);
    held.iter().any(|h| {
        h == word
            || stem
                && letters(h)
                && (same_stem(h, word) || is_form_of(h, word) || is_form_of(word, h))
    })
}

/// Whether a word is a short one with "s" or "es" behind it. What has no vowel within is a name
/// and not a word: "sdas" is none of "sda".
fn is_form_of(long: &str, short: &str) -> bool {
    let vowel = |b: u8| matches!(b, b'a' | b'e' | b'i' | b'o' | b'u');
    let hisses = short.ends_with(['s', 'x', 'z', 'o']);
    short.len() == 3
        && short.bytes().take(2).any(vowel)
        && match long.strip_prefix(short) {
            Some("s") => !short.ends_with('s'),
            Some("es") => hisses,
            _ => false,
        }
}

/// Whether two words differ only in a common ending.
fn same_stem(a: &str, b: &str) -> bool {
    let common = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let shorter = a.len().min(b.len());
    let longer = a.len().max(b.len());
    common >= 4
        && common + 1 >= shorter
        && longer - common <= 3
        && !a.bytes().any(|c| c.is_ascii_digit())
}

/// Words with their weight: rarer among `lines` weighs more; a word in none weighs most.
#[must_use]
pub fn weigh(wanted: &[String], lines: &[Vec<String>]) -> Vec<(String, f32)> {
    let n = lines.len() as f32;
    let weight = |w: &String| {
        let df = lines.iter().filter(|l| l.iter().any(|h| h == w || same_stem(h, w))).count();
        ((n + 1.0) / (df as f32 + 0.5)).ln().max(0.05)
    };
    wanted.iter().map(|w| (w.clone(), weight(w))).collect()
}

/// How a line was scored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Support {
    /// Index of the line.
    pub line: usize,
    /// Weighted sum of the others, 0 to 1.
    pub score: f32,
    /// Share of the question's weight that the line holds.
    pub question: f32,
    /// Share of the answer's weight that the line holds.
    pub answer: f32,
}

/// Scores every line; best first. Lines of equal score keep their order.
#[must_use]
pub fn support(lines: &[Line], question: &str, answer: &str, w: &LineWeights) -> Vec<Support> {
    let held: Vec<Vec<String>> = lines.iter().map(|l| words(&l.text)).collect();
    let asked = weigh(&words(question), &held);
    let said: Vec<String> = {
        let asked_words = words(question);
        words(answer).into_iter().filter(|w| !asked_words.contains(w)).collect()
    };
    let said = weigh(&said, &held);
    let known = lines.iter().map(|l| l.address).filter(|&a| a > f32::MIN);
    let (low, high) = known.fold((f32::MAX, f32::MIN), |(lo, hi), a| (lo.min(a), hi.max(a)));
    let used_answer = if said.is_empty() { 0.0 } else { w.answer };
    let used_address = if high > low { w.address } else { 0.0 };
    let total = used_address + w.question + used_answer + w.block;
    let mut all: Vec<Support> = lines
        .iter()
        .zip(&held)
        .enumerate()
        .map(|(i, (line, held))| {
            let question = coverage(&asked, held);
            let answer = coverage(&said, held);
            let near = if line.address > f32::MIN && high > low {
                (line.address - low) / (high - low)
            } else {
                0.0
            };
            let sum = used_address * near
                + w.question * question
                + used_answer * answer
                + w.block * line.block_score;
            Support { line: i, score: sum / total.max(f32::MIN_POSITIVE), question, answer }
        })
        .collect();
    all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.line.cmp(&b.line)));
    all
}

/// The best `max` lines as citations.
#[must_use]
pub fn cite(lines: &[Line], supports: &[Support], max: usize) -> Vec<Citation> {
    let mut seen: HashMap<(&str, u64), ()> = HashMap::new();
    let mut all = Vec::new();
    for s in supports {
        let l = &lines[s.line];
        if l.text.trim().is_empty() || seen.insert((&l.source, l.number), ()).is_some() {
            continue;
        }
        all.push(Citation {
            source: l.source.clone(),
            line_start: l.number,
            line_end: l.number,
            byte_start: l.byte_start,
            byte_end: l.byte_end,
            score: s.score,
            found_by: l.found_by.names(),
            blocks: l.blocks.clone(),
            text: l.text.clone(),
        });
        if all.len() == max {
            break;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, text: &str, address: f32) -> Line {
        Line {
            source: "a.log".into(),
            number,
            byte_start: number * 100,
            byte_end: number * 100 + text.len() as u64,
            text: text.into(),
            address,
            block_score: 0.5,
            found_by: FoundBy { address: Some(1), lexical: None },
            blocks: Vec::new(),
        }
    }

    #[test]
    fn words_keep_identifiers_whole_and_in_parts() {
        assert_eq!(
            words("What is the port of host db-7.local (10.0.3.7)?"),
            ["port", "host", "db-7.local", "db", "7", "local", "10.0.3.7", "10", "0", "3"]
        );
    }

    #[test]
    fn identifiers_stand_whole_whatever_they_are_glued_to() {
        for text in [
            "10.0.0.7",
            "from 10.0.0.7:443 to",
            "[10.0.0.7]",
            "[10.0.0.7]:22",
            "src=10.0.0.7,dst=10.0.0.9",
            "http://10.0.0.7/index",
            "10.0.0.7->10.0.0.9",
            "user@10.0.0.7",
            "it was 10.0.0.7.",
            "110.0.0.7 and 10.0.0.7",
        ] {
            assert!(stands_whole(text, "10.0.0.7"), "{text}");
        }
        for text in
            ["110.0.0.7", "10.0.0.71", "10.0.0.7.1", "1.10.0.0.7", "x-10.0.0.7", "10.0.0.7_b", ""]
        {
            assert!(!stands_whole(text, "10.0.0.7"), "{text}");
        }
        assert!(stands_whole("(cn-4821)", "cn-4821") && !stands_whole("cn-4821-b", "cn-4821"));
        // A time is no part of a longer one, an address with colons of none.
        assert!(stands_whole("at 10:22,", "10:22") && !stands_whole("at 10:22:33", "10:22"));
        assert!(!stands_whole("port 443", "443"), "words without marks are words");
    }

    #[test]
    fn names_stand_whole_or_not_at_all() {
        let asked = names("When was INC-76663 of Juniper 16 seen on 10.0.0.7 by curlew-4's owner?");
        assert_eq!(asked, ["INC-76663", "Juniper", "16", "10.0.0.7", "curlew-4"]);
        assert_eq!(names("Which address did root log in from?"), [""; 0]);
        assert_eq!(named("What is the code of the Aldford depot?"), ["depot"]);
        for text in ["When does Anna travel?", "Is it the Aldford?", "the T-7 pump", "the Alps are"]
        {
            assert_eq!(named(text), [""; 0], "{text}");
        }
        assert_eq!(names("Über wen sprach Anna?"), ["Anna"]);
        assert_eq!(names("Когда?"), [""; 0]);
        assert_eq!(names("É?"), [""; 0]);
        assert_eq!(names_held(&["curlew-4"], "backup of curlew-47 done"), 0.0);
        assert_eq!(names_held(&["Curlew-47", "x-1"], "backup of curlew-47: done"), 0.5);
        assert_eq!(names_held(&[], "anything"), 1.0);
    }

    #[test]
    fn what_is_copied_stands_in_the_text() {
        let line = "backup of  Curlew-47\tdone at 10:22 am, 12 GB.";
        for copied in ["curlew-47 done", "10:22 am", "12 GB.", "backup of Curlew-47 done"] {
            assert!(stands_in(copied, line), "{copied}");
        }
        for not in ["curlew-4", "22 am, 12", "", ".", "0:22 am", "done by ten"] {
            assert_eq!(stands_in(not, line), not == "22 am, 12", "{not}");
        }
    }

    #[test]
    fn the_line_that_holds_question_and_answer_comes_first() {
        let lines = [
            line(1, "Accepted password for alice from 10.0.0.1 port 22", 3.0),
            line(2, "Accepted publickey for root from 203.0.113.77 port 51122", 2.0),
            line(3, "session opened for user root", 1.0),
        ];
        let q = "Which address did root log in from?";
        let s = support(&lines, q, "203.0.113.77", &LineWeights::default());
        assert_eq!(s[0].line, 1);
        assert!(s[0].answer > 0.99);
        let c = cite(&lines, &s, 2);
        assert_eq!((c.len(), c[0].line_start, c[0].byte_start), (2, 2, 200));
        assert_eq!(c[0].found_by, ["address"]);
    }

    #[test]
    fn words_found_nowhere_weigh_most() {
        let held = vec![words("user alice logged in"), words("user bob logged out")];
        let w = weigh(&words("user zorblax"), &held);
        assert!(w[1].1 > 2.0 * w[0].1, "{w:?}");
        assert!(coverage(&w, &held[0]) < 0.4);
    }

    #[test]
    fn a_word_is_held_by_its_stem_and_an_identifier_as_it_is() {
        for (held, word, want) in [
            ("runs", "run", true),
            ("run", "runs", true),
            ("boxes", "box", true),
            ("failed", "fail", true),
            ("errors", "error", true),
            ("sdas", "sda", false),
            ("sdb", "sda", false),
            ("pass", "pas", false),
            ("rung", "run", false),
            ("node", "node1", false),
            ("node12", "node1", false),
            ("id7s", "id7", false),
        ] {
            assert_eq!(holds_word(&[held.to_owned()], word), want, "{held} {word}");
        }
    }

    #[test]
    fn the_same_line_is_cited_once() {
        let lines = [line(1, "x y", 0.0), line(1, "x y", 0.0), line(2, " ", 0.0)];
        let s = support(&lines, "x", "", &LineWeights::default());
        assert_eq!(cite(&lines, &s, 9).len(), 1);
    }
}
