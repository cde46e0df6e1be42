//! Whether an answer has the form that its question asks for: "how many" asks for a number, "when"
//! for a time, "who" for a name. English questions; all others are not judged.
//!
//! A model that knows a name but not what is asked of it tends to give out what it does know: a
//! time for a place, a version for a number. The form gives many of these away.

/// The form that a question's first words ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// How many, how much, how old.
    Number,
    /// How large, hot, fast and so on: a number, or words.
    Measure,
    /// How long.
    Duration,
    /// When, at what time, on which date.
    Time,
    /// Who, whose, by whom.
    Name,
    /// Where.
    Place,
    /// Nothing that would be known.
    Any,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    /// One number, with or without a unit.
    Number,
    /// A clock's time, a date, a day.
    Time,
    /// Digits with two dots or more, or with colons: versions, addresses.
    Dotted,
    /// A path or URL.
    Path,
    /// Letters and digits mixed in one word.
    Code,
    /// Words.
    Words,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const TIMES: [&str; 19] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "today",
    "yesterday",
    "tomorrow",
    "noon",
    "midnight",
    "morning",
    "evening",
    "afternoon",
    "night",
    "week",
    "month",
    "year",
];
const NUMBERS: [&str; 14] = [
    "no", "none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "twelve", "dozen",
];
const UNITS_OF_TIME: [&str; 12] =
    ["s", "ms", "m", "h", "d", "sec", "min", "hour", "day", "week", "month", "year"];

/// How well an answer's form suits the question: 1 it does, 0 it does not, 0.5 nothing is known.
#[must_use]
pub fn fits(question: &str, answer: &str) -> f32 {
    use {Asked as A, Given as G};
    let answer = answer.trim().trim_end_matches(['.', ',', ';', '!']);
    if answer.is_empty() {
        return 0.0;
    }
    let number_word = has_word(answer, &NUMBERS);
    match (asked(question), given(answer)) {
        (A::Any, _) => 0.5,
        (A::Number, G::Number) | (A::Time, G::Time) | (A::Name, G::Words) => 1.0,
        (A::Measure, G::Number) => 1.0,
        (A::Measure, G::Words | G::Code) => 0.5,
        (A::Number, G::Words) => f32::from(number_word),
        (A::Duration, G::Number | G::Words | G::Code) => f32::from(is_duration(answer)),
        (A::Time, G::Words) => f32::from(has_word(answer, &TIMES)),
        (A::Time, G::Number | G::Code) | (A::Name | A::Place, G::Code) => 0.5,
        (A::Place, G::Words | G::Path | G::Dotted) => 1.0,
        (A::Place, G::Number) => 0.5,
        _ => 0.0,
    }
}

fn asked(question: &str) -> Asked {
    let q = question.trim().to_lowercase();
    let words: Vec<&str> =
        q.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    // A preposition or "and" may come before the question's word: "at what hour", "by whom".
    let skip = usize::from(matches!(
        words.first(),
        Some(
            &("at"
                | "on"
                | "in"
                | "by"
                | "since"
                | "until"
                | "from"
                | "and"
                | "to"
                | "with"
                | "so")
        )
    ));
    let word = |i: usize| words.get(skip + i).copied().unwrap_or_default();
    match (word(0), word(1)) {
        ("how", "many" | "much" | "old" | "often") => Asked::Number,
        (
            "how",
            "large" | "big" | "fast" | "heavy" | "high" | "deep" | "wide" | "tall" | "far" | "loud"
            | "hot" | "cold" | "warm" | "full",
        ) => Asked::Measure,
        ("how", "long") => Asked::Duration,
        ("when", _) => Asked::Time,
        ("what" | "which", "time" | "date" | "day" | "hour" | "month") => Asked::Time,
        ("who" | "whom" | "whose", _) => Asked::Name,
        ("where", _) => Asked::Place,
        _ => Asked::Any,
    }
}

fn given(answer: &str) -> Given {
    let words: Vec<&str> = answer.split_whitespace().collect();
    let digits = |w: &str| w.bytes().any(|b| b.is_ascii_digit());
    if is_time(answer) {
        return Given::Time;
    }
    if answer.starts_with('/') || answer.contains("://") || answer.matches('/').count() > 1 {
        return Given::Path;
    }
    if words.iter().any(|w| w.bytes().any(|b| b.is_ascii_digit()) && is_dotted(w)) {
        return Given::Dotted;
    }
    if words.iter().any(|w| is_number(w)) {
        return Given::Number;
    }
    if words.iter().any(|w| digits(w)) { Given::Code } else { Given::Words }
}

/// A number as people write it, a unit or currency sign at its end or start allowed.
fn is_number(word: &str) -> bool {
    let inner = word.trim_matches(|c: char| !c.is_alphanumeric());
    let inner = inner.trim_end_matches(|c: char| c.is_alphabetic());
    let plain = inner.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',');
    !inner.is_empty() && plain && inner.matches('.').count() <= 1
}

/// Two dots or colons or more between digits: a version, an IP or MAC address.
fn is_dotted(word: &str) -> bool {
    word.matches('.').count() >= 2 || word.matches(':').count() >= 3
}

/// A clock's time (`10:22`), a date (`2027-11-26`, `26 November 2027`, `3/4/2027`).
fn is_time(answer: &str) -> bool {
    let number = |w: &str, max: u32| w.parse::<u32>().is_ok_and(|n| n <= max);
    let clock = |w: &str| {
        let w = w.trim_end_matches(|c: char| c.is_alphabetic());
        let parts: Vec<&str> = w.split(':').collect();
        matches!(parts.len(), 2 | 3) && parts.iter().all(|p| p.len() <= 2 && number(p, 60))
    };
    let date = |w: &str| {
        let w = w.split('T').next().unwrap_or_default();
        let parts: Vec<&str> = w.split(['-', '/', '.']).collect();
        parts.len() == 3
            && parts.iter().all(|p| p.len() <= 4 && number(p, 3000))
            && parts.iter().filter(|p| p.len() == 4).count() == 1
    };
    let lower = answer.to_lowercase();
    let month = lower.split(|c: char| !c.is_alphabetic()).any(|w| {
        w.len() >= 3 && MONTHS.iter().any(|m| w.starts_with(m)) && (w.len() == 3 || is_month(w))
    });
    answer.split_whitespace().any(|w| {
        let w = w.trim_matches(|c: char| !c.is_alphanumeric());
        clock(w) || date(w)
    }) || month && answer.bytes().any(|b| b.is_ascii_digit())
}

fn is_month(word: &str) -> bool {
    const LONG: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    LONG.contains(&word)
}

/// A number or number word with a unit of time, or a clock's time.
fn is_duration(answer: &str) -> bool {
    let lower = answer.to_lowercase();
    let some = lower.bytes().any(|b| b.is_ascii_digit()) || has_word(&lower, &NUMBERS);
    let letters = lower.split(|c: char| !c.is_alphabetic());
    let unit = letters.filter(|w| !w.is_empty()).any(|w| {
        UNITS_OF_TIME.contains(&w.trim_end_matches('s'))
            || UNITS_OF_TIME.contains(&w)
            || w.starts_with("second")
            || w.starts_with("minute")
    });
    some && unit
}

fn has_word(text: &str, list: &[&str]) -> bool {
    let lower = text.to_lowercase();
    lower
        .split(|c: char| !c.is_alphanumeric())
        .any(|w| list.contains(&w) || list.contains(&w.trim_end_matches('s')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_asked_for_is_known_where_it_is_clear() {
        let table: &[(&str, &str, f32)] = &[
            ("How many cores has the host?", "6.28.7", 0.0),
            ("How many cores has the host?", "16", 1.0),
            ("How many were there?", "seven", 1.0),
            ("How much was paid?", "9624.07 EUR", 1.0),
            ("How much was paid?", "/var/spool/x.db", 0.0),
            ("How large is the backup?", "5:15 pm", 0.0),
            ("How large is the backup?", "12 GB", 1.0),
            ("How hot did it get?", "very hot", 0.5),
            ("How long did it take?", "2h 45m", 1.0),
            ("How long did it take?", "four minutes", 1.0),
            ("How long did it take?", "10.0.0.7", 0.0),
            ("How long did it take?", "Agnes Colombo", 0.0),
            ("When is the project due?", "26 November 2027", 1.0),
            ("At what hour is it inspected?", "10:22 am", 1.0),
            ("On which date does it come?", "2027-11-26", 1.0),
            ("When does she retire?", "next Monday", 1.0),
            ("When does she retire?", "locker 17-B", 0.5),
            ("When does she retire?", "Agnes Colombo", 0.0),
            ("When does she retire?", "10.0.0.7", 0.0),
            ("Who repaired it?", "Agnes Colombo", 1.0),
            ("Who is the vendor?", "NM5-1621", 0.5),
            ("Who is the vendor?", "1:02 pm", 0.0),
            ("By whom was it signed off?", "8080", 0.0),
            ("Where does it stand?", "9:30 am", 0.0),
            ("Where are the drawings?", "/var/spool/intake/b.db", 1.0),
            ("Where does the tunnel end?", "10.142.233.34", 1.0),
            ("Where is it?", "hall 4", 0.5),
            ("Which port is it?", "2222", 0.5),
            ("Wer hat die Schl\u{fc}ssel?", "Anna", 0.5),
            ("Who was it?", "", 0.0),
            ("When did it march?", "May Arden", 0.0),
        ];
        for &(question, answer, want) in table {
            assert_eq!(fits(question, answer), want, "{question} {answer}");
        }
    }
}
