//! What a question says of time and of counting, where that is certain: "between ten and eleven",
//! "in the last two hours", "how often did X fail".
//!
//! Only clear patterns are taken; everything else is an ordinary question, and a question's time
//! is given up again where the memory has nothing that is dated so ([`crate::session`]).

use std::ops::Range;

use jiff::civil::{Date, Time};

use crate::when::{Clock, ago, given};

/// Seconds of a day.
const DAY: u32 = 24 * 3600;

/// A time that a question names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// From and until, milliseconds since 1970 UTC.
    Fixed(Range<i64>),
    /// Times of day, in seconds from its start; the day is the last one that the memory has.
    OfDay(Range<u32>),
}

impl Span {
    /// The time, in a memory whose passages were written at `times`; each goes on until the second
    /// of the pair. A time of day is of the last day on which something was written then, else of
    /// the last day of all.
    #[must_use]
    pub fn resolve(&self, times: &[(i64, i64)], clock: &Clock) -> Option<Range<i64>> {
        let day = match self {
            Self::Fixed(range) => return Some(range.clone()),
            Self::OfDay(day) => day,
        };
        let of = |t: &(i64, i64)| {
            let range = on(clock.civil(t.0).date(), day, clock)?;
            meets(&range, t).then_some(range)
        };
        let last = times.iter().filter_map(of).max_by_key(|r| r.start);
        last.or_else(|| {
            let newest = times.iter().map(|t| t.0).max().unwrap_or_else(|| clock.now_ms());
            on(clock.civil(newest).date(), day, clock)
        })
    }
}

/// Whether something that was written from the first time to the second lies partly in a range.
#[must_use]
pub fn meets(range: &Range<i64>, written: &(i64, i64)) -> bool {
    written.0 < range.end && range.start < written.1.max(written.0.saturating_add(1))
}

/// What lines are counted for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Words that a line must hold, all of them, lower case.
    pub words: Vec<String>,
    /// Texts that a line must hold as they are, upper and lower case alike.
    pub phrases: Vec<String>,
}

/// What a question asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Understood {
    /// The time that it is about.
    pub span: Option<Span>,
    /// It asks how often: lines are counted that hold these.
    pub count: Option<Wanted>,
    /// It asks what happened in a time and for nothing else.
    pub happened: bool,
}

/// A word of a question.
struct Word<'a> {
    raw: &'a str,
    low: String,
    used: bool,
}

/// A time of day as it stands in a question.
#[derive(Clone, Copy)]
struct OfDay {
    seconds: u32,
    /// Words that it takes.
    words: usize,
    /// It can be nothing else.
    certain: bool,
    /// The half of the day was named.
    half: Option<bool>,
}

/// Openings that ask how often.
const HOW_OFTEN: [&str; 3] = ["how often", "how many times", "how frequently"];
/// Verbs behind them.
const HELPERS: [&str; 14] = [
    "do", "does", "did", "is", "are", "was", "were", "has", "have", "had", "can", "could", "will",
    "would",
];
/// Openings that ask for lines.
const HOW_MANY_LINES: [&str; 4] =
    ["how many lines", "count the lines", "count all lines", "count lines"];
/// Openings that ask for whatever happened.
const HAPPENED: [&str; 6] = [
    "what happened",
    "what has happened",
    "what had happened",
    "what went on",
    "what was going on",
    "what did happen",
];
/// Words that say nothing of what is counted.
const EMPTY: [&str; 29] = [
    "often",
    "times",
    "time",
    "happen",
    "happened",
    "happens",
    "occur",
    "occurred",
    "occurs",
    "appear",
    "appears",
    "appeared",
    "mention",
    "mentions",
    "mentioned",
    "line",
    "lines",
    "log",
    "logs",
    "contain",
    "contains",
    "containing",
    "ever",
    "altogether",
    "total",
    "count",
    "all",
    "text",
    "far",
];

/// Reads a question.
#[must_use]
pub fn understand(question: &str, clock: &Clock) -> Understood {
    let (rest, phrases) = unquoted(question);
    let mut words = split(&rest);
    let joined: Vec<&str> = words.iter().map(|w| w.low.as_str()).collect();
    let joined = joined.join(" ");
    let opens =
        |all: &[&str]| all.iter().find(|o| starts(&joined, o)).map(|o| o.split(' ').count());
    let happened = opens(&HAPPENED);
    let often = opens(&HOW_OFTEN).filter(|n| {
        words.get(*n).is_some_and(|w| HELPERS.contains(&w.low.as_str()) || w.low == "there")
    });
    let counts = often.or_else(|| opens(&HOW_MANY_LINES));
    let opening = happened.or(counts);
    words[..opening.unwrap_or(0)].iter_mut().for_each(|w| w.used = true);
    let span = span(&mut words, opening.is_some(), clock);
    let left: Vec<&str> = words.iter().filter(|w| !w.used).map(|w| w.raw).collect();
    let mut left = crate::cite::words(&left.join(" "));
    left.retain(|w| !EMPTY.contains(&w.as_str()) && !HELPERS.contains(&w.as_str()));
    let nothing_else = left.is_empty() && phrases.is_empty();
    let wanted = Wanted { words: left, phrases };
    Understood {
        happened: happened.is_some() && span.is_some() && nothing_else,
        count: (counts.is_some() && !nothing_else).then_some(wanted),
        span,
    }
}

fn starts(text: &str, opening: &str) -> bool {
    text.strip_prefix(opening).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// The text without what stands between double quotes, and that.
fn unquoted(text: &str) -> (String, Vec<String>) {
    let mut rest = String::new();
    let mut phrases = Vec::new();
    let parts: Vec<&str> = text.split(['"', '\u{201c}', '\u{201d}']).collect();
    for (i, part) in parts.iter().enumerate() {
        // An opening quote without a closing one quotes nothing.
        if i % 2 == 1 && i + 1 < parts.len() {
            let phrase = part.trim();
            if !phrase.is_empty() {
                phrases.push(phrase.to_owned());
            }
            rest.push(' ');
        } else {
            rest.push_str(part);
        }
    }
    (rest, phrases)
}

fn split(text: &str) -> Vec<Word<'_>> {
    let marks = |c: char| matches!(c, '?' | '!' | '.' | ',' | ';' | '(' | ')' | '\'');
    let words = text.split_whitespace().map(|w| w.trim_matches(marks)).filter(|w| !w.is_empty());
    words.map(|raw| Word { raw, low: raw.to_lowercase(), used: false }).collect()
}

/// The time that a question names; its words are marked as used. `events`: it asks for what
/// happened or how often, so that a day alone is a time too.
fn span(words: &mut [Word<'_>], events: bool, clock: &Clock) -> Option<Span> {
    if let Some(found) = recent(words, clock) {
        return Some(found);
    }
    let mut day = None;
    if let Some((at, n, date)) = find_day(words, clock) {
        day = Some((at..at + n, date));
    }
    let times = find_times(words, events);
    let span = match (&times, &day) {
        (Some((_, times)), Some((_, date))) => Span::Fixed(on(*date, times, clock)?),
        (Some((_, times)), None) => Span::OfDay(times.clone()),
        (None, Some((_, date))) if events => Span::Fixed(on(*date, &(0..DAY), clock)?),
        (None, _) => return None,
    };
    let used = times.map(|t| t.0).into_iter().chain(day.map(|d| d.0));
    used.for_each(|r| words[r].iter_mut().for_each(|w| w.used = true));
    Some(span)
}

/// A part of a day.
fn on(date: Date, times: &Range<u32>, clock: &Clock) -> Option<Range<i64>> {
    let at = |seconds: u32| {
        let (days, rest) = (seconds / DAY, seconds % DAY);
        let day = (0..days).try_fold(date, |d, _| d.tomorrow().ok())?;
        let small = |n: u32| i8::try_from(n).unwrap_or(0);
        let time =
            Time::new(small(rest / 3600), small(rest / 60 % 60), small(rest % 60), 0).ok()?;
        clock.ms(day.to_datetime(time))
    };
    Some(at(times.start)?..at(times.end)?)
}

/// "in the last two hours", "within the past day".
fn recent(words: &mut [Word<'_>], clock: &Clock) -> Option<Span> {
    let low = |words: &[Word<'_>], i: usize| words.get(i).map_or("", |w| w.low.as_str()).to_owned();
    let at = (0..words.len()).find(|&i| {
        matches!(low(words, i).as_str(), "in" | "within" | "during" | "over")
            && low(words, i + 1) == "the"
            && matches!(low(words, i + 2).as_str(), "last" | "past")
    })?;
    let number = low(words, at + 3);
    let (n, unit, taken) = match number_word(&number).or_else(|| number.parse().ok()) {
        Some(n) => (n, low(words, at + 4), 5),
        None => (1, number, 4),
    };
    let length = ago(&format!("{n} {unit}"))?;
    words[at..at + taken].iter_mut().for_each(|w| w.used = true);
    let now = clock.now_ms();
    // What is written in this moment belongs to it.
    Some(Span::Fixed(now.saturating_sub(length)..now.saturating_add(1)))
}

/// "yesterday", "today", "on 2026-03-02", "on March 2": where it stands, its words and the day.
fn find_day(words: &[Word<'_>], clock: &Clock) -> Option<(usize, usize, Date)> {
    let today = clock.civil(clock.now_ms()).date();
    for (i, word) in words.iter().enumerate() {
        match word.low.as_str() {
            "today" => return Some((i, 1, today)),
            "yesterday" => return Some((i, 1, today.yesterday().ok()?)),
            "on" => {
                let low = |n: usize| words.get(i + n).map_or("", |w| w.low.as_str());
                if low(1).len() == 10
                    && low(1).as_bytes().iter().filter(|b| **b == b'-').count() == 2
                    && let Ok(ms) = given(low(1), clock, false)
                {
                    return Some((i, 2, clock.civil(ms).date()));
                }
                let month = month_of(low(1)).zip(day_number(low(2)));
                let month = month.or_else(|| month_of(low(2)).zip(day_number(low(1))));
                if let Some((month, day)) = month {
                    let year: Option<i16> = low(3).parse().ok().filter(|y| *y > 1969);
                    let date = match year {
                        Some(year) => Date::new(year, month, day).ok(),
                        None => latest(month, day, today),
                    };
                    return Some((i, if year.is_some() { 4 } else { 3 }, date?));
                }
            }
            _ => {}
        }
    }
    None
}

/// The last such day that is not ahead.
fn latest(month: i8, day: i8, today: Date) -> Option<Date> {
    let years = (today.year() - 8..=today.year()).rev();
    years.filter_map(|y| Date::new(y, month, day).ok()).find(|d| *d <= today)
}

fn month_of(word: &str) -> Option<i8> {
    const NAMES: [&str; 12] = [
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
    let at = NAMES.iter().position(|n| *n == word || (word.len() == 3 && n.starts_with(word)))?;
    i8::try_from(at + 1).ok()
}

fn day_number(word: &str) -> Option<i8> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let suffix = &word[digits.len()..];
    let day: i8 = digits.parse().ok()?;
    (matches!(suffix, "" | "st" | "nd" | "rd" | "th") && (1..=31).contains(&day)).then_some(day)
}

/// "between ten and eleven", "from 10:00 to 10:30", "after 10:00", "before noon".
fn find_times(words: &[Word<'_>], events: bool) -> Option<(Range<usize>, Range<u32>)> {
    for (i, word) in words.iter().enumerate() {
        let (joints, after): (&[&str], _) = match word.low.as_str() {
            "between" => (&["and"], None),
            "from" => (&["to", "until", "till"], None),
            "after" | "since" => (&[], Some(true)),
            "before" | "until" => (&[], Some(false)),
            _ => continue,
        };
        let Some(a) = of_day(words, i + 1) else { continue };
        let next = i + 1 + a.words;
        if let Some(after) = after {
            if a.certain {
                let range = if after { a.seconds..DAY } else { 0..a.seconds };
                return Some((i..next, range)).filter(|r| !r.1.is_empty());
            }
            continue;
        }
        if !words.get(next).is_some_and(|w| joints.contains(&w.low.as_str())) {
            continue;
        }
        let Some(b) = of_day(words, next + 1) else { continue };
        let end = next + 1 + b.words;
        let closes = words.get(end).is_none_or(|w| {
            matches!(w.low.as_str(), "on" | "yesterday" | "today" | "in" | "this" | "last")
        });
        if a.certain || b.certain || (events && word.low == "between" && closes) {
            let start = match (a.half, b.half) {
                // "between 10 and 11 pm"
                (None, Some(true)) if !a.certain && a.seconds < DAY / 2 => a.seconds + DAY / 2,
                _ => a.seconds,
            };
            let until = if b.seconds <= start { b.seconds + DAY } else { b.seconds };
            return Some((i..end, start..until));
        }
    }
    None
}

/// The time of day that begins with a word.
fn of_day(words: &[Word<'_>], at: usize) -> Option<OfDay> {
    let word = words.get(at)?.low.as_str();
    let exactly = |seconds| Some(OfDay { seconds, words: 1, certain: true, half: None });
    match word {
        "noon" | "midday" => return exactly(DAY / 2),
        "midnight" => return exactly(0),
        _ => {}
    }
    let (digits, glued) = match word.find("am").or_else(|| word.find("pm")) {
        Some(n) if n + 2 == word.len() => (&word[..n], Some(word.ends_with("pm"))),
        _ => (word, None),
    };
    let seconds = match digits.split_once(':') {
        Some((hour, rest)) => {
            let (minute, second) = rest.split_once(':').unwrap_or((rest, "0"));
            clock_time(hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?)?
        }
        None => clock_time(number_word(digits).or_else(|| digits.parse().ok())?, 0, 0)?,
    };
    let next = words.get(at + 1).map_or("", |w| w.low.as_str());
    let (half, taken, named) = match (glued, next) {
        (Some(half), _) => (Some(half), 1, true),
        (None, "am" | "a.m") => (Some(false), 2, true),
        (None, "pm" | "p.m") => (Some(true), 2, true),
        (None, "o'clock") => (None, 2, true),
        _ => (None, 1, digits.contains(':')),
    };
    let seconds = match half {
        Some(_) if seconds > DAY / 2 + 3599 => return None,
        Some(true) if seconds < DAY / 2 => seconds + DAY / 2,
        Some(false) if seconds >= DAY / 2 => seconds - DAY / 2,
        _ => seconds,
    };
    Some(OfDay { seconds, words: taken, certain: named, half })
}

fn clock_time(hour: u32, minute: u32, second: u32) -> Option<u32> {
    let valid = hour < 24 && minute < 60 && second < 60 || (hour, minute, second) == (24, 0, 0);
    valid.then_some(hour * 3600 + minute * 60 + second)
}

fn number_word(word: &str) -> Option<u32> {
    const NAMES: [&str; 12] = [
        "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    let at = NAMES.iter().position(|n| *n == word)?;
    u32::try_from(at + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    /// 24 November 2026, 12:00 UTC.
    fn clock() -> Clock {
        Clock::new(1_795_521_600_000, TimeZone::UTC)
    }

    fn span_of(question: &str) -> String {
        let c = clock();
        let short = |ms: i64| c.minute(ms).replace("2026-", "");
        match understand(question, &c).span {
            None => "-".to_owned(),
            Some(Span::Fixed(r)) => format!("{}..{}", short(r.start), short(r.end)),
            Some(Span::OfDay(r)) => format!("{}..{}", r.start / 60, r.end / 60),
        }
    }

    #[test]
    fn times_are_taken_where_they_are_certain() {
        for (question, want) in [
            ("What happened between ten and eleven?", "600..660"),
            ("What happened between 10 and 11?", "600..660"),
            ("What happened between ten and eleven yesterday?", "11-23 10:00..11-23 11:00"),
            ("What happened between 11 pm and 1 am?", "1380..1500"),
            ("What happened between 2 and 3 pm?", "840..900"),
            ("Who logged in between 04:10 and 04:20?", "250..260"),
            ("Who logged in from 10:00 to noon on 2026-03-02?", "03-02 10:00..03-02 12:00"),
            ("What happened after 10:30 on March 2nd?", "03-02 10:30..03-03 00:00"),
            ("Which jobs ran before midnight?", "-"),
            ("Which jobs ran after 9am?", "540..1440"),
            ("What happened yesterday?", "11-23 00:00..11-24 00:00"),
            ("What happened on 2 March 2025?", "2025-03-02 00:00..2025-03-03 00:00"),
            ("How often did it fail today?", "11-24 00:00..11-25 00:00"),
            ("Who logged in in the last two hours?", "11-24 10:00..11-24 12:00"),
            ("What happened within the past day?", "11-23 12:00..11-24 12:00"),
            // Not certain.
            ("What did Ana buy yesterday?", "-"),
            ("Which number is between one and ten?", "-"),
            ("How many errors lie between 5 and 10?", "-"),
            ("How often was the level between 5 and 10 volts?", "-"),
            ("What is the distance from 10 to 11?", "-"),
            ("What happened before the restart?", "-"),
            ("What happened on the ship?", "-"),
            ("What was rolled out on 2026-03-02?", "-"),
            ("What is the last thing in the last chapter?", "-"),
            ("What lies between Rome and Paris?", "-"),
            ("", "-"),
        ] {
            assert_eq!(span_of(question), want, "{question}");
        }
    }

    #[test]
    fn counting_is_taken_where_it_is_asked_for() {
        let counted = |question: &str| {
            understand(question, &clock()).count.map(|c| (c.words.join(" "), c.phrases.join("|")))
        };
        for (question, words, phrases) in [
            ("How often did oleg use sudo?", "oleg use sudo", ""),
            (
                "how many times did 10.0.3.7 fail between ten and eleven?",
                "10.0.3.7 10 0 3 7 fail",
                "",
            ),
            (
                "How often is \"Failed password\" logged for tomcat?",
                "logged tomcat",
                "Failed password",
            ),
            ("How many lines contain \"session opened\"?", "", "session opened"),
            ("How many times was the certificate renewed today?", "certificate renewed", ""),
            ("Count the lines with ERROR and db", "error db", ""),
        ] {
            let want = Some((words.to_owned(), phrases.to_owned()));
            assert_eq!(counted(question), want, "{question}");
        }
        for question in [
            "How many barrels did the ship carry?",
            "How often?",
            "How many times?",
            "How many lines are there?",
            "How many times two is ten?",
            "Say how often did it fail",
            "How oftentimes did it fail?",
            "\"",
        ] {
            assert_eq!(counted(question), None, "{question}");
        }
    }

    #[test]
    fn what_happened_asks_for_nothing_else() {
        let happened = |q: &str| understand(q, &clock()).happened;
        assert!(happened("What happened between ten and eleven?"));
        assert!(happened("What was going on after 10:00 yesterday?"));
        assert!(!happened("What happened to disk sda between ten and eleven?"));
        assert!(!happened("What happened?"));
    }

    #[test]
    fn a_time_of_day_is_of_the_last_day_that_there_is() {
        let c = clock();
        let at = |text: &str| given(text, &c, false).unwrap();
        let times = [
            (at("2026-03-01T10:30"), at("2026-03-01T10:31")),
            (at("2026-03-02T09:00"), at("2026-03-02T10:05")),
            (at("2026-03-03T18:00"), at("2026-03-03T18:00")),
        ];
        let range = Span::OfDay(600 * 60..660 * 60).resolve(&times, &c).unwrap();
        assert_eq!(
            (c.minute(range.start), c.minute(range.end)),
            ("2026-03-02 10:00".into(), "2026-03-02 11:00".into())
        );
        let night = Span::OfDay(1380 * 60..1500 * 60).resolve(&times, &c).unwrap();
        assert_eq!(c.minute(night.end), "2026-03-04 01:00", "of the last day of all");
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_is_typed_breaks_it(
            text in "\\PC{0,60}|(how often did|what happened between|on|in the last|march| ){0,9}\
                     |what happened (between|from|on|after) [0-9:]{1,6}( am| and|) [0-9a-z:]{1,7}"
        ) {
            let _ = understand(&text, &clock());
        }
    }
}
